#pragma once
#include "qsmpi/core/volume.hpp"
#include "qsmpi/inversion/tv.hpp"

namespace qsmpi::inversion::detail {

/// The splitting z = grad x with scaled dual u of an ADMM for total variation, on the box of the data.
///
/// Only v = grad x + u (relaxed) is kept: z = shrink(v, t) and u = v - z both follow from it. Gradients are forward
/// differences [1/mm] within the box; across its far faces they are 0, so nothing reaches beyond the box.
class GradientSplit {
public:
    /// @param threshold  t = lambda / rho of the shrinkage
    /// @param guide      on the box, must outlive this: where two neighbours differ in it by d, t is 1 / (1 + d^2) of
    ///                   itself, at least guide_floor of it; null: t everywhere. Anisotropic norm only
    /// @param unguided   part of t that is left where d is not a number
    GradientSplit(const Grid& box, TvNorm norm, double threshold, double relaxation, const VolumeF* guide = nullptr,
                  double unguided = 1.0);

    /// Starts from z = shrink(grad x, t), u = grad x - z.
    void start(const VolumeF& x);
    /// v <- relaxation grad x + (1 - relaxation) z + u: one sweep, 4 reads and 3 writes a voxel.
    void update(const VolumeF& x);
    /// The same; returns the sum over voxels of |grad x - z_new|.
    [[nodiscard]] double update_and_measure(const VolumeF& x);
    /// One row of grad^T (z - u), the source of the x-update.
    void row(std::size_t y, std::size_t z, float* out) const;
    /// Raises the penalty rho by `factor`: u and t shrink by it, z stays.
    void raise_penalty(double factor);

    /// The least part of the threshold that an edge of the guide leaves.
    static constexpr float guide_floor = 0.25F;

private:
    template <bool isotropic, bool measure, bool guided>
    double sweep(const VolumeF& x, float relaxation);
    template <bool measure>
    double dispatch(const VolumeF& x, float relaxation);
    template <bool guided>
    void anisotropic_row(std::size_t y, std::size_t z, float* out) const;

    Grid grid_;
    TvNorm norm_;
    float threshold_, relaxation_;
    const VolumeF* guide_;
    float unguided_;
    VolumeF vx_, vy_, vz_;
};

}  // namespace qsmpi::inversion::detail
