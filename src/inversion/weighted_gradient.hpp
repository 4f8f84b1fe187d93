#pragma once
#include <array>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion::detail {

/// Forward difference [1/mm] of u along an axis at voxel (x, y, z); 0 across the far face.
[[nodiscard]] inline float forward_difference(const VolumeF& u, int axis, std::size_t x, std::size_t y, std::size_t z)
{
    const Dims& n = u.dims();
    const std::size_t at = axis == 0 ? x : axis == 1 ? y : z;
    if (at + 1 >= n[axis]) return 0.0F;
    const std::size_t i = n.index(x, y, z), stride = axis == 0 ? 1 : axis == 1 ? n.nx : n.nx * n.ny;
    return (u[i + stride] - u[i]) * static_cast<float>(1.0 / u.grid().voxel_mm[static_cast<std::size_t>(axis)]);
}

/// G^T W G on a box: forward differences [1/mm], 0 across the far faces, and a weight for each of their components.
class WeightedGradient {
public:
    /// All weights 0.
    explicit WeightedGradient(const Grid& box);
    /// weight <- body(axis, voxel, gradient of u along the axis there), in parallel.
    template <typename Body>
    void set_weights(const VolumeF& u, Body&& body)
    {
        const Dims& n = u.dims();
        parallel::for_each(n.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < n.ny; ++y)
                for (int axis = 0; axis < 3; ++axis)
                    for (std::size_t x = 0; x < n.nx; ++x) {
                        const std::size_t i = n.index(x, y, z);
                        weight_[static_cast<std::size_t>(axis)][i] =
                            body(axis, i, forward_difference(u, axis, x, y, z));
                    }
        });
    }
    /// row += G^T W G u for the voxels (0.., y, z).
    void add_row(const VolumeF& u, std::size_t y, std::size_t z, float* row) const;
    /// out = G^T W G u.
    void apply(const VolumeF& u, VolumeF& out) const;

private:
    std::array<VolumeF, 3> weight_;
};

}  // namespace qsmpi::inversion::detail
