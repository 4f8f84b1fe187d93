#pragma once
#include "dipole_filter.hpp"
#include "qsmpi/inversion/medi.hpp"
#include "weighted_gradient.hpp"

namespace qsmpi::inversion::detail {

/// The objective of medi() on the box of the data, its gradient, and the curvature that a Gauss-Newton step uses.
class MediProblem {
public:
    /// Everything lives on the box; `field_ppm`, `dipole` and `csf_mask` must outlive this.
    /// @param squared_weight  w^2, 0 outside the mask
    /// @param csf_mask        null: no term
    MediProblem(DipoleFilter& dipole, const VolumeF& field_ppm, VolumeF squared_weight, Volume<std::uint8_t> edges,
                const Mask* csf_mask, double radians_per_ppm, const MediOptions& options);

    /// s of the model from now on; 0: its linear limit.
    void set_radians_per_ppm(double s) { s_ = static_cast<float>(s); }
    [[nodiscard]] double objective(const VolumeF& x);
    /// out <- minus the gradient at x. Also takes the weights of the norm from x, for curvature().
    void descent(const VolumeF& x, VolumeF& out);
    /// q <- (D w^2 D + lambda G^T M W M G + csf term) p; returns <p, q>.
    double curvature(const VolumeF& p, VolumeF& q);
    /// Takes weight from the voxels whose misfit at x is beyond 6 standard deviations.
    void reweight(const VolumeF& x);

private:
    [[nodiscard]] double csf_mean(const VolumeF& x) const;
    void add_csf_row(const VolumeF& x, float mean, std::size_t y, std::size_t z, float* row) const;

    DipoleFilter& dipole_;
    const VolumeF& field_ppm_;
    VolumeF squared_weight_;
    Volume<std::uint8_t> edges_;  // bit a: the gradient along axis a is spared
    const Mask* csf_mask_;
    float s_, lambda_, smoothing_, csf_lambda_;
    WeightedGradient norm_;
    VolumeF scratch_;
};

/// Bit a of a voxel: the gradient of the magnitude along axis a, within the mask, is among the `fraction` steepest.
[[nodiscard]] Volume<std::uint8_t> magnitude_edges(const VolumeF& magnitude, const Mask& mask, double fraction);

}  // namespace qsmpi::inversion::detail
