#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "dipole_filter.hpp"
#include "qsmpi/inversion/tfi.hpp"
#include "weighted_gradient.hpp"

namespace qsmpi::inversion::detail {

/// Kinds of places for sources.
enum TfiRegion : std::uint8_t { tfi_void = 0, tfi_tissue = 1, tfi_inside = 2 };

/// The normal equations of tfi(): y lives on the padded grid, data, regions and edges on the box in its corner.
class TfiProblem {
public:
    /// @param squared_weight  w^2, 0: no data
    /// @param edges           bit a: the gradient along axis a is spared
    TfiProblem(DipoleFilter& dipole, VolumeF field_ppm, VolumeF squared_weight, Volume<std::uint8_t> regions,
               Volume<std::uint8_t> edges, const TfiOptions& options);

    /// Counts sources outside the mask in units of this many ppm from now on, in y too.
    void set_preconditioner(double preconditioner_ppm, VolumeF& y);
    /// out <- minus the gradient at y. Also takes the weights of the norm from y, for curvature().
    void descent(const VolumeF& y, VolumeF& out);
    /// q <- (P (D w^2 D + lambda G^T M W M G) P + R) p; returns <p, q>.
    double curvature(const VolumeF& p, VolumeF& q);
    /// x = P y in the mask, 0 elsewhere in the box. The preconditioner is 1 there.
    void map(const VolumeF& y, VolumeF& x) const;

private:
    void set_sizes(double preconditioner_ppm);
    void model(const VolumeF& y);
    double back(const VolumeF& p, float field_sign, VolumeF& out);

    DipoleFilter& dipole_;
    VolumeF field_ppm_, squared_weight_;
    Volume<std::uint8_t> regions_, edges_;
    Dims box_, padded_;
    float lambda_, smoothing_;
    std::array<float, 3> size_{}, ridge_{};  // P and the diagonal of R, by region
    double model_error_ppm_, void_size_ppm_, tissue_size_ppm_, inside_size_ppm_;
    double total_weight_ = 0.0;
    WeightedGradient norm_;
    VolumeF modelled_, inner_;  // of the box: D P y, and P y in the mask
    float constant_ = 0.0F;     // of the residual
};

}  // namespace qsmpi::inversion::detail
