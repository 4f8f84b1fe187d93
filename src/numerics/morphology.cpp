#include "qsmpi/numerics/morphology.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::numerics {
namespace {

/// The ball as rows along x: at (dy, dz) it holds the voxels with |dx| <= half_width; -1 where it holds none.
/// A voxel at exactly the radius belongs to it, hence the small margin.
struct Ball {
    Ball(const Grid& grid, double radius_mm) : r2(radius_mm * radius_mm * (1.0 + 1e-6)), h(grid.voxel_mm)
    {
        for (std::size_t a = 0; a < 3; ++a)
            reach[a] = static_cast<int>(
                std::min(std::sqrt(r2) / h[a], static_cast<double>(grid.dims[static_cast<int>(a)])));
    }
    [[nodiscard]] int half_width(int dy, int dz) const
    {
        const double rest = r2 - dy * dy * h[1] * h[1] - dz * dz * h[2] * h[2];
        return rest < 0.0 ? -1 : std::min(reach[0], static_cast<int>(std::sqrt(rest) / h[0]));
    }
    /// Byte operations a voxel of dilate_by_rows, about.
    [[nodiscard]] int cost() const { return (2 * reach[2] + 1) * (2 * reach[1] + 1 + 2 * reach[0]); }

    double r2;
    Vec3 h;
    std::array<int, 3> reach{};
};

/// Union of shifted rows: for each slice in reach, rows widened along x to every half width, then or-ed together.
Mask dilate_by_rows(const Mask& mask, bool seed, const Ball& ball)
{
    const auto& d = mask.dims();
    const auto widest = static_cast<std::size_t>(ball.reach[0]);
    const std::size_t slice_size = d.nx * d.ny;
    Mask out(mask.grid(), 0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::vector<std::uint8_t> widened((widest + 1) * slice_size), row(d.nx + 2 * widest, 0);
        for (int dz = -ball.reach[2]; dz <= ball.reach[2]; ++dz) {
            const auto from_z = static_cast<std::ptrdiff_t>(z) + dz;
            if (from_z < 0 || from_z >= static_cast<std::ptrdiff_t>(d.nz)) continue;
            const auto width_here = static_cast<std::size_t>(std::max(0, ball.half_width(0, dz)));
            for (std::size_t y = 0; y < d.ny; ++y) {
                const std::uint8_t* from = &mask(0, y, static_cast<std::size_t>(from_z));
                for (std::size_t x = 0; x < d.nx; ++x) row[widest + x] = (from[x] != 0) == seed;
                std::copy_n(row.data() + widest, d.nx, widened.data() + y * d.nx);
                for (std::size_t w = 1; w <= width_here; ++w) {
                    const std::uint8_t* narrow = widened.data() + (w - 1) * slice_size + y * d.nx;
                    std::uint8_t* wide = widened.data() + w * slice_size + y * d.nx;
                    const std::uint8_t* left = row.data() + widest - w;
                    const std::uint8_t* right = row.data() + widest + w;
#pragma omp simd
                    for (std::size_t x = 0; x < d.nx; ++x)
                        wide[x] = static_cast<std::uint8_t>(narrow[x] | left[x] | right[x]);
                }
            }
            for (int dy = -ball.reach[1]; dy <= ball.reach[1]; ++dy) {
                const int width = ball.half_width(dy, dz);
                if (width < 0) continue;
                const std::uint8_t* source = widened.data() + static_cast<std::size_t>(width) * slice_size;
                const std::size_t first = dy < 0 ? static_cast<std::size_t>(-dy) : 0;
                const std::size_t end = dy > 0 ? d.ny - std::min(d.ny, static_cast<std::size_t>(dy)) : d.ny;
                for (std::size_t y = first; y < end; ++y) {
                    std::uint8_t* to = &out(0, y, z);
                    const std::uint8_t* from = source + d.nx * (y + static_cast<std::size_t>(dy));
#pragma omp simd
                    for (std::size_t x = 0; x < d.nx; ++x) to[x] = static_cast<std::uint8_t>(to[x] | from[x]);
                }
            }
        }
    });
    return out;
}

Mask where(const Mask& mask, bool inside)
{
    Mask out(mask.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = (mask[i] != 0) == inside;
    });
    return out;
}

/// 1 where a voxel with (mask != 0) == seed lies in the ball around; the world beyond the grid holds none.
Mask dilate_kind(const Mask& mask, bool seed, double radius_mm)
{
    constexpr int dearer_than_a_distance_transform = 600;
    const Ball ball(mask.grid(), radius_mm);
    if (ball.cost() < dearer_than_a_distance_transform) return dilate_by_rows(mask, seed, ball);
    const VolumeF distance_mm = distance_inside_mm(where(mask, !seed), false);
    const auto radius = static_cast<float>(std::sqrt(ball.r2));
    Mask out(mask.grid());
    parallel::for_blocks(out.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = distance_mm[i] <= radius;
    });
    return out;
}

}  // namespace

Mask erode(const Mask& mask, double radius_mm, bool border_is_outside)
{
    if (!(radius_mm > 0.0)) return where(mask, true);
    const Mask near_outside = dilate_kind(mask, false, radius_mm);
    const auto& d = mask.dims();
    // Layers of voxels within the radius of the first voxel beyond the grid.
    const Ball ball(mask.grid(), radius_mm);
    const auto in_border = [&](std::size_t i, int axis) {
        const auto layers = static_cast<std::size_t>(ball.reach[static_cast<std::size_t>(axis)]);
        return border_is_outside && (i < layers || i + layers >= d[axis]);
    };
    Mask out(mask.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) {
            const bool row_in_border = in_border(z, 2) || in_border(y, 1);
            for (std::size_t x = 0; x < d.nx; ++x)
                out(x, y, z) = near_outside(x, y, z) == 0 && !row_in_border && !in_border(x, 0);
        }
    });
    return out;
}

Mask dilate(const Mask& mask, double radius_mm)
{
    return radius_mm > 0.0 ? dilate_kind(mask, true, radius_mm) : where(mask, true);
}

Mask close(const Mask& mask, double radius_mm)
{
    return erode(dilate(mask, radius_mm), radius_mm, false);
}

Mask open(const Mask& mask, double radius_mm)
{
    return dilate(erode(mask, radius_mm, false), radius_mm);
}

}  // namespace qsmpi::numerics
