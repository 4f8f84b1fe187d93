#include "qsmpi/mask/bias.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/threshold.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::mask {
namespace {

constexpr std::size_t blocks_per_axis = 15;
constexpr double bright_end = 0.9, near_it = 0.1;
constexpr int votes_needed = 2;
// Values of one block that its quantile is taken from, about.
constexpr std::size_t block_sample = 4000;
// The two smoothings, as parts of sigma: together sigma.
const double first_share = std::sqrt(1.0 - 0.49), second_share = 0.7;

/// Overlapping blocks: centres every `step` voxels, reaching `step` to either side.
struct Blocks {
    std::array<std::size_t, 3> step{}, count{};
    std::vector<float> bright;  ///< quantile of each block; NaN without foreground
    [[nodiscard]] std::size_t index(std::size_t x, std::size_t y, std::size_t z) const { return x + count[0] * (y + count[1] * z); }
};

struct Range {
    std::size_t begin, end;
};

Range reach(std::size_t block, std::size_t step, std::size_t n)
{
    const std::size_t centre = block * step;
    return {centre > step ? centre - step : 0, std::min(n, centre + step + 1)};
}

/// Blocks that reach voxel i: those whose centre is at most `step` away.
Range blocks_at(std::size_t i, std::size_t step, std::size_t count)
{
    const std::size_t last = std::min(count - 1, (i + step) / step);
    return {i > step ? (i - step + step - 1) / step : 0, last + 1};
}

Blocks bright_ends(const VolumeF& magnitude, const Mask& foreground)
{
    const Dims& d = magnitude.dims();
    Blocks b;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const std::size_t n = d[static_cast<int>(axis)];
        b.step[axis] = (n + blocks_per_axis - 1) / blocks_per_axis;
        b.count[axis] = (n - 1) / b.step[axis] + 1;
    }
    b.bright.assign(b.count[0] * b.count[1] * b.count[2], std::numeric_limits<float>::quiet_NaN());
    parallel::for_each_dynamic(b.count[1] * b.count[2], [&](std::size_t row) {
        const std::size_t by = row % b.count[1], bz = row / b.count[1];
        const Range ry = reach(by, b.step[1], d.ny), rz = reach(bz, b.step[2], d.nz);
        std::vector<float> values;
        for (std::size_t bx = 0; bx < b.count[0]; ++bx) {
            const Range rx = reach(bx, b.step[0], d.nx);
            const std::size_t voxels = (rx.end - rx.begin) * (ry.end - ry.begin) * (rz.end - rz.begin);
            const std::size_t stride = std::max<std::size_t>(1, voxels / block_sample);
            values.clear();
            std::size_t order = 0;
            for (std::size_t z = rz.begin; z < rz.end; ++z)
                for (std::size_t y = ry.begin; y < ry.end; ++y)
                    for (std::size_t x = rx.begin; x < rx.end; ++x)
                        if (foreground(x, y, z) != 0 && order++ % stride == 0) values.push_back(magnitude(x, y, z));
            if (!values.empty()) b.bright[b.index(bx, by, bz)] = static_cast<float>(numerics::quantile(values, bright_end));
        }
    });
    return b;
}

/// 1 where at least two blocks find the voxel about as bright as their bright end.
VolumeF main_tissue(const VolumeF& magnitude, const Mask& foreground)
{
    const Dims& d = magnitude.dims();
    const Blocks b = bright_ends(magnitude, foreground);
    VolumeF weight(magnitude.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        const Range rz = blocks_at(z, b.step[2], b.count[2]);
        for (std::size_t y = 0; y < d.ny; ++y) {
            const Range ry = blocks_at(y, b.step[1], b.count[1]);
            for (std::size_t x = 0; x < d.nx; ++x) {
                weight(x, y, z) = 0.0f;
                if (foreground(x, y, z) == 0) continue;
                const Range rx = blocks_at(x, b.step[0], b.count[0]);
                int votes = 0;
                for (std::size_t k = rz.begin; k < rz.end; ++k)
                    for (std::size_t j = ry.begin; j < ry.end; ++j)
                        for (std::size_t i = rx.begin; i < rx.end; ++i) {
                            const double bright = static_cast<double>(b.bright[b.index(i, j, k)]);
                            votes += std::abs(static_cast<double>(magnitude(x, y, z)) - bright) <= near_it * bright ? 1 : 0;
                        }
                weight(x, y, z) = votes >= votes_needed ? 1.0f : 0.0f;
            }
        }
    });
    return weight;
}

}  // namespace

VolumeF sensitivity(const VolumeF& magnitude, const SensitivityOptions& options)
{
    require(options.sigma_mm > 0.0, str("sensitivity: sigma ", options.sigma_mm, " mm must be positive"));
    const Grid& grid = magnitude.grid();
    std::array<double, 3> extent_mm{};
    for (std::size_t axis = 0; axis < 3; ++axis) extent_mm[axis] = static_cast<double>(grid.dims[static_cast<int>(axis)]) * grid.voxel_mm[axis];
    // The middle axis: a slab of few slices must not make the sensitivity rough within them.
    std::sort(extent_mm.begin(), extent_mm.end());
    const double sigma_mm = std::min(options.sigma_mm, 0.1 * extent_mm[1]);

    const Mask foreground = robust_threshold(magnitude);
    const double mean = numerics::mean_inside(magnitude, foreground);
    if (!(mean > 0.0)) return VolumeF(grid, 1.0f);
    VolumeF smooth;
    {
        const VolumeF weight = main_tissue(magnitude, foreground);
        smooth = numerics::gaussian_smooth(magnitude, weight, first_share * sigma_mm);
    }
    smooth = numerics::gaussian_smooth(smooth, second_share * sigma_mm);
    const auto low = static_cast<float>(0.01 * mean), high = static_cast<float>(10.0 * mean);
    parallel::for_blocks(smooth.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) smooth[i] = std::clamp(smooth[i], low, high);
    });
    return smooth;
}

Mask corrected_threshold(const VolumeF& magnitude, double factor, const SensitivityOptions& options)
{
    VolumeF even = sensitivity(magnitude, options);
    parallel::for_blocks(even.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) even[i] = magnitude[i] / even[i];
    });
    return robust_threshold(even, factor);
}

}  // namespace qsmpi::mask
