#include "weighted_gradient.hpp"

#include <algorithm>

namespace qsmpi::inversion::detail {

WeightedGradient::WeightedGradient(const Grid& box)
    : weight_{VolumeF(box, 0.0F), VolumeF(box, 0.0F), VolumeF(box, 0.0F)}
{
}

void WeightedGradient::add_row(const VolumeF& u, std::size_t y, std::size_t z, float* row) const
{
    const auto [nx, ny, nz] = u.dims();
    const Vec3& h = u.grid().voxel_mm;
    const std::size_t at = u.dims().index(0, y, z);
    const float* here = u.data() + at;
    // Flux through the faces towards y + 1, y - 1, ... ; a face of the box has none.
    const auto add = [&](const float* weight, std::ptrdiff_t stride, bool has_next, bool has_last, double spacing) {
        const auto r = static_cast<float>(1.0 / (spacing * spacing));
        if (has_next) {
#pragma omp simd
            for (std::size_t i = 0; i < nx; ++i) row[i] -= r * weight[i] * ((here + stride)[i] - here[i]);
        }
        if (has_last) {
#pragma omp simd
            for (std::size_t i = 0; i < nx; ++i) row[i] += r * (weight - stride)[i] * (here[i] - (here - stride)[i]);
        }
    };
    const float* weight_x = weight_[0].data() + at;
    const auto rx = static_cast<float>(1.0 / (h[0] * h[0]));
    for (std::size_t i = 0; i + 1 < nx; ++i) {
        const float flux = rx * weight_x[i] * (here[i + 1] - here[i]);
        row[i] -= flux;
        row[i + 1] += flux;
    }
    add(weight_[1].data() + at, static_cast<std::ptrdiff_t>(nx), y + 1 < ny, y > 0, h[1]);
    add(weight_[2].data() + at, static_cast<std::ptrdiff_t>(nx * ny), z + 1 < nz, z > 0, h[2]);
}

void WeightedGradient::apply(const VolumeF& u, VolumeF& out) const
{
    const Dims& n = u.dims();
    parallel::for_each(n.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < n.ny; ++y) {
            float* row = &out(0, y, z);
            std::fill_n(row, n.nx, 0.0F);
            add_row(u, y, z, row);
        }
    });
}

}  // namespace qsmpi::inversion::detail
