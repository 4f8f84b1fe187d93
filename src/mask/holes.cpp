#include "qsmpi/mask/holes.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::mask {
namespace {

// Along so few voxels nothing can be enclosed.
constexpr std::size_t thin_voxels = 2;

struct Margin {
    std::array<std::size_t, 3> low{};
    Grid grid;
};

Margin margin_of(const Grid& grid)
{
    Margin m{{}, grid};
    const auto widen = [&](std::size_t& n, std::size_t axis) {
        if (n > thin_voxels) return;
        m.low[axis] = 1;
        n += 2;
    };
    widen(m.grid.dims.nx, 0);
    widen(m.grid.dims.ny, 1);
    widen(m.grid.dims.nz, 2);
    return m;
}

// The mask with a layer of inside voxels at both ends of thin axes, so that holes end there.
Mask with_lids(const Mask& mask, const Margin& m)
{
    Mask out(m.grid, 1);
    const Dims& d = mask.dims();
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) out(x + m.low[0], y + m.low[1], z + m.low[2]) = mask(x, y, z) != 0;
    });
    return out;
}

Mask without_lids(const Mask& lidded, const Margin& m, const Grid& grid)
{
    Mask out(grid);
    const Dims& d = grid.dims;
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) out(x, y, z) = lidded(x + m.low[0], y + m.low[1], z + m.low[2]);
    });
    return out;
}

}  // namespace

Mask fill(const Mask& mask, double largest_hole_ml)
{
    require(largest_hole_ml >= 0.0, str("fill: ", largest_hole_ml, " ml; expected 0 (all holes) or more"));
    std::size_t largest = std::numeric_limits<std::size_t>::max();
    if (largest_hole_ml > 0.0) {
        // A hole of exactly the limit is filled, whatever the rounding of the division.
        const double voxels = largest_hole_ml * 1000.0 / mask.grid().voxel_mm3() * (1.0 + 1e-9);
        largest = static_cast<std::size_t>(std::min(voxels, 1e18));
    }
    const Margin m = margin_of(mask.grid());
    if (m.grid == mask.grid()) return numerics::fill_holes(mask, largest);
    return without_lids(numerics::fill_holes(with_lids(mask, m), largest), m, mask.grid());
}

Mask patch(const Mask& mask)
{
    const Dims& d = mask.dims();
    Mask out(mask.grid());
    const auto range = [](std::size_t i, std::size_t n) { return std::array{i > 0 ? i - 1 : i, i + 1 < n ? i + 1 : i}; };
    parallel::for_each(d.nz, [&](std::size_t z) {
        const auto rz = range(z, d.nz);
        for (std::size_t y = 0; y < d.ny; ++y) {
            const auto ry = range(y, d.ny);
            for (std::size_t x = 0; x < d.nx; ++x) {
                out(x, y, z) = mask(x, y, z) != 0;
                if (mask(x, y, z) != 0) continue;
                const auto rx = range(x, d.nx);
                std::size_t inside = 0;
                for (std::size_t k = rz[0]; k <= rz[1]; ++k)
                    for (std::size_t j = ry[0]; j <= ry[1]; ++j)
                        for (std::size_t i = rx[0]; i <= rx[1]; ++i) inside += mask(i, j, k) != 0;
                const std::size_t neighbours = (rx[1] - rx[0] + 1) * (ry[1] - ry[0] + 1) * (rz[1] - rz[0] + 1) - 1;
                // Where there is hardly a neighbourhood one neighbour tells nothing.
                out(x, y, z) = neighbours >= 7 && inside + 1 >= neighbours;
            }
        }
    });
    return out;
}

Mask peel(const Mask& mask, double radius_mm)
{
    if (!(radius_mm > 0.0)) return numerics::erode(mask, 0.0);
    Mask out = numerics::erode(fill(mask), radius_mm, false);
    parallel::for_blocks(out.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = out[i] != 0 && mask[i] != 0;
    });
    return out;
}

Mask smooth(const Mask& mask, double sigma_mm)
{
    if (!(sigma_mm > 0.0)) return numerics::erode(mask, 0.0);
    VolumeF values(mask.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) values[i] = mask[i] != 0 ? 1.0f : 0.0f;
    });
    values = numerics::gaussian_smooth(values, sigma_mm);
    Mask out(mask.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = values[i] > 0.5f;
    });
    return out;
}

}  // namespace qsmpi::mask
