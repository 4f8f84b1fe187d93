#pragma once
#include "tv_admm.hpp"

namespace qsmpi::inversion::detail {

/// ADMM for min 1/2 ||w (D x - f)||^2 + lambda ||grad x||_1: as TvAdmm, and v = D x is split off too.
///
/// On the padded grid t = D x + e (relaxed, e the scaled dual) is kept; v = (w^2 f + mu t) / (w^2 + mu) and e = t - v
/// follow from it, and outside of the box, where w = 0, v = t. An iteration takes 4 half FFTs.
class WeightedTv {
public:
    /// Mask and weight live on the box; `dipole` and `fft` on the padded grid, which must outlive this.
    /// @throws InputError if a weight in the mask is negative or not finite
    WeightedTv(const numerics::Fft3& fft, const numerics::DipoleKernel& dipole, const Mask& mask, const VolumeF& weight,
               double mu, const TvAdmm::Settings& settings);

    /// The field f to explain from now on, finite; 0 before. Map and duals stay.
    void set_field(const VolumeF& field_ppm);
    /// Adds what the map leaves of the field, f - D x, to the field: a Bregman iteration; less of it where it is many times
    /// the usual, which is error of the data. Map and duals stay.
    void add_back();
    /// Takes this share of the sources that the map has outside the mask out of what is kept between iterations: for a
    /// field from which such sources are removed by others. Costs one filter.
    void forget_outside(const Mask& mask, float share);
    /// One iteration. @return ||x - x_before|| / ||x||
    double step();
    [[nodiscard]] VolumeF& x() { return x_; }

private:
    void update_x();
    void data_row(std::size_t y, std::size_t z, float* row) const;
    void accept_dipole_row(std::size_t y, std::size_t z, const float* row);

    const numerics::Fft3& fft_;
    const numerics::DipoleKernel& dipole_;
    numerics::LaplacianKernel laplacian_;
    float mu_, rho_, relaxation_;
    GradientSplit split_;
    VolumeF trust_, pulled_;  ///< of the box: w^2 / (w^2 + mu), and that times the field
    VolumeF t_;               ///< of the padded grid
    VolumeF x_, next_;
    numerics::Spectrum spectrum_, work_;
    double change_ = 0.0;
};

}  // namespace qsmpi::inversion::detail
