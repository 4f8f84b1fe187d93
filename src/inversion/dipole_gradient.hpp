#pragma once
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion::detail {

/// The x-update of an ADMM that splits off both D x (penalty mu) and grad x (penalty rho).
struct DipoleGradientStep {
    const numerics::DipoleKernel& dipole;
    const numerics::LaplacianKernel& laplacian;
    float mu, rho;
    float support = 0.0F;  ///< penalty of x itself; with 0 the mean of x is not known and becomes 0

    /// X = (mu D A + rho G) / (mu D^2 + rho L + support), and D X in the same go: the tile of a filter of the padded grid
    /// holds A and `gradient`, a spectrum of the same grid, G; they become D X and X.
    void solve(const numerics::Tile& tile, numerics::Spectrum& gradient) const;
};

}  // namespace qsmpi::inversion::detail
