#include "qsmpi/mask/decay.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::mask {

Mask without_fast_rim(const Mask& mask, const VolumeF& r2star_per_s, const FastRimOptions& options)
{
    require_same_grid(mask, r2star_per_s, "without_fast_rim: mask and R2*");
    require(options.factor > 1.0 && options.depth_mm > 0.0 && options.least_ml >= 0.0 && options.opening_mm >= 0.0 && options.most > 0.0,
            "without_fast_rim: expected a factor above 1, a depth and a part above 0, and no negative volume or opening");
    const Grid& grid = mask.grid();
    VolumeF known(grid);
    Mask usable(grid);
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            usable[i] = mask[i] != 0 && std::isfinite(r2star_per_s[i]) && r2star_per_s[i] > 0.0F ? 1 : 0;
            known[i] = usable[i] != 0 ? 1.0F : 0.0F;
        }
    });
    if (numerics::count(usable) == 0) return mask.clone();

    const VolumeF rate_per_s = numerics::gaussian_smooth(r2star_per_s, known, options.smoothing_mm);
    const auto fast_per_s = static_cast<float>(options.factor * numerics::median_inside(rate_per_s, usable));
    Mask fast(grid);
    parallel::for_blocks(fast.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            fast[i] = mask[i] != 0 && rate_per_s[i] > fast_per_s ? 1 : 0;
    });
    if (numerics::count(fast) == 0) return mask.clone();

    const VolumeF depth_mm = numerics::distance_inside_mm(mask, false);
    parallel::for_blocks(fast.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (static_cast<double>(depth_mm[i]) > options.depth_mm) fast[i] = 0;
    });

    const double layer_mm = 1.1 * *std::max_element(grid.voxel_mm.begin(), grid.voxel_mm.end());
    fast = numerics::open(fast, std::max(options.opening_mm, layer_mm));
    const numerics::Components regions = numerics::label_components(fast);
    std::vector<std::uint8_t> goes(regions.sizes.size(), 0);
    for (std::size_t i = 0; i < fast.size(); ++i)
        if (fast[i] != 0 && static_cast<double>(depth_mm[i]) <= layer_mm) goes[regions.labels[i]] = 1;
    std::size_t n_gone = 0;
    for (std::size_t r = 0; r < goes.size(); ++r) {
        if (static_cast<double>(regions.sizes[r]) * grid.voxel_mm3() < 1000.0 * options.least_ml) goes[r] = 0;
        if (goes[r] != 0) n_gone += regions.sizes[r];
    }
    if (n_gone == 0 || static_cast<double>(n_gone) > options.most * static_cast<double>(numerics::count(mask))) return mask.clone();
    Mask rest = mask.clone();
    for (std::size_t i = 0; i < rest.size(); ++i)
        if (fast[i] != 0 && goes[regions.labels[i]] != 0) rest[i] = 0;
    return numerics::largest_component(rest);
}

}  // namespace qsmpi::mask
