#pragma once
#include <functional>
#include <vector>

#include "gradient_split.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion::detail {

/// Fills the factors A and B of one tile, each nz * Tile::width floats laid out as Tile::multiply expects them.
using Symbols = std::function<void(const numerics::Tile& tile, float* a, float* b)>;

/// ADMM for min 1/2 <x, A x> - <x, B data> + lambda ||grad x||_1, where A >= 0 and B are diagonal in k-space.
///
/// The x-update X = (B F data + rho F grad^T(z - u)) / (A + rho L) is a constant part plus a filter, so an iteration
/// is one filter of the box and one sweep over it: 2 half FFTs. The mean of x is 0 by convention.
class TvAdmm {
public:
    struct Settings {
        double lambda, rho, relaxation;
        TvNorm norm;
        const VolumeF* guide = nullptr;  ///< see GradientSplit
        double unguided = 1.0;           ///< see GradientSplit
    };
    /// `data` lives on the box, `fft` on the padded grid; both must outlive this. Costs one filter.
    TvAdmm(const numerics::Fft3& fft, const VolumeF& data, Symbols symbols, const Settings& settings);

    /// Starts the splitting from grad x of the volume that x() holds.
    void start() { split_.start(x_); }
    /// x from the splitting, in place. @return ||x - x_before|| / ||x||
    double update_x();
    /// The splitting from x.
    void update_split() { split_.update(x_); }
    /// The same; returns the sum over voxels of |grad x - z|.
    double update_split_and_measure() { return split_.update_and_measure(x_); }
    /// Raises rho by a factor. Costs one filter.
    void raise_penalty(double factor);
    [[nodiscard]] VolumeF& x() { return x_; }

private:
    void update_constant();

    const numerics::Fft3& fft_;
    const VolumeF& data_;
    Symbols symbols_;
    numerics::LaplacianKernel laplacian_;
    double rho_;
    GradientSplit split_;
    VolumeF constant_, x_;
    numerics::Spectrum work_;
    std::vector<double> changes_, norms_;  // squares of each row
};

/// ||change|| / ||value|| from the sums of squares of each row; 0 when there is nothing.
[[nodiscard]] double relative_change(const std::vector<double>& changes, const std::vector<double>& norms);

}  // namespace qsmpi::inversion::detail
