#pragma once
#include <utility>

#include "data_prox.hpp"
#include "gradient_split.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion::detail {

/// ADMM for min sum_i phi_i((D x + q)_i) + lambda ||grad x||_1 + beta/2 ||h^2 Lap q||^2, where the data term acts
/// voxel by voxel: linear or nonlinear, squares or magnitudes, all are one DataProx. The field q of sources outside
/// the mask is an option, and so is x = 0 outside the mask.
///
/// Besides grad x also v = D x + q is split off, and h^2 Lap q, h being the voxel's edge. On the padded grid t = D x
/// + q + e (relaxed, e the scaled dual) is kept, on the box v = prox(t); e = t - v follows, and outside of the box,
/// where phi = 0, v = t.
class ProxTv {
public:
    struct Settings {
        double lambda;      ///< weight of the total variation
        double rho, mu;     ///< penalties of the gradient and of the data splitting; the prox was made for mu
        double relaxation;  ///< in [1, 1.9]
        double support = 0.0;  ///< penalty of a third splitting y = x, y = 0 outside the mask; 0: x is free there
        double harmonic = 0.0;          ///< beta: how harmonic q must be in the mask; 0: q = 0
        double harmonic_penalty = 0.0;  ///< of the splitting of h^2 Lap q
        TvNorm norm = TvNorm::anisotropic;
    };
    /// `mask` lives on the box, `dipole` and `fft` on the padded grid; all must outlive this.
    ProxTv(const numerics::Fft3& fft, const numerics::DipoleKernel& dipole, const Mask& mask, DataProx prox,
           const Settings& settings);

    /// Starts from x instead of 0, with duals of 0. Costs one filter.
    void start(VolumeF x);
    /// Exchanges the data term for another of the same mu, keeping all else.
    void set_prox(DataProx prox) { prox_ = std::move(prox); }
    /// One iteration, four half FFTs, with q six. @return ||x - x_before|| / ||x||
    double step();
    [[nodiscard]] VolumeF& x() { return x_; }

private:
    void update_x();
    void update_v();
    void update_support(std::size_t begin, std::size_t end);
    void combine_with_harmonic(const numerics::Tile& tile);
    void harmonic_row(std::size_t y, std::size_t z, float* row) const;
    void update_harmonic();
    void gradient_row(std::size_t y, std::size_t z, float* row) const;
    void data_row(std::size_t y, std::size_t z, float* row) const;
    void accept_dipole_row(std::size_t y, std::size_t z, const float* row);

    const numerics::Fft3& fft_;
    const numerics::DipoleKernel& dipole_;
    numerics::LaplacianKernel laplacian_;
    DataProx prox_;
    float mu_, rho_, relaxation_, support_, harmonic_, harmonic_penalty_;
    float square_mm2_;  ///< h^2
    const Mask& mask_;
    GradientSplit split_;
    VolumeF t_;  ///< of the padded grid
    VolumeF v_;  ///< of the box, as are all below
    VolumeF s_;  ///< x + its dual (relaxed), if there is a support
    VolumeF x_, next_;
    VolumeF l_, next_l_;  ///< of the padded grid: h^2 Lap q + its dual (relaxed), if there is a q
    numerics::Spectrum spectrum_, harmonic_spectrum_, work_;
    double change_ = 0.0;
};

}  // namespace qsmpi::inversion::detail
