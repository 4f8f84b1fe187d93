#include "geometry_checks.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::pipeline {
namespace {

constexpr std::size_t few_slices = 6;
// Voxels this many times as long as wide leave little of the field's pattern along their length.
constexpr double longest_voxel = 2.99;  // three by rounded headers, too
// The mask's cross-section in the outermost slice, as a part of its largest: a neck has less, a brain cut in two more.
constexpr double cut_cross_section = 1.0 / 3.0;

void warn_of_slab(Chain& chain, const char* what, std::size_t n_slices, double mm, const char* lost)
{
    chain.warn(str(what, " of ", n_slices, n_slices == 1 ? " slice (" : " slices (", mm,
                   " mm): the field depends on sources above and below it that were ", lost,
                   "; the map keeps little contrast, and its values are not to be trusted"));
}

}  // namespace

void warn_of_geometry(Chain& chain)
{
    const Grid& grid = chain.grid();
    for (int axis = 0; axis < 3; ++axis) {
        const std::size_t n = grid.dims[axis];
        if (n >= few_slices) continue;
        warn_of_slab(chain, "a slab", n, static_cast<double>(n) * grid.voxel_mm[static_cast<std::size_t>(axis)], "not imaged");
    }
    const auto [shortest, longest] = std::minmax_element(grid.voxel_mm.begin(), grid.voxel_mm.end());
    if (*longest > longest_voxel * *shortest)
        chain.warn(str("voxels of ", grid.voxel_mm[0], " x ", grid.voxel_mm[1], " x ", grid.voxel_mm[2], " mm, ",
                       std::round(10.0 * *longest / *shortest) / 10.0,
                       " times as long as wide: small sources are lost along their length, and values depend on how the slices lie; acquire "
                       "voxels of equal sides"));
}

void warn_of_mask_shape(Chain& chain, const Mask& mask)
{
    int sides = 0;
    double largest_cut = 0.0;
    const auto all_areas = numerics::cross_sections(mask);
    for (std::size_t axis = 0; axis < all_areas.size(); ++axis) {
        const std::vector<std::size_t>& areas = all_areas[axis];
        if (areas.size() < few_slices) continue;  // a word is said of it already
        const auto n = areas.size() - static_cast<std::size_t>(std::count(areas.begin(), areas.end(), 0U));
        if (n > 0 && n < few_slices)
            warn_of_slab(chain, "the mask is a slab", n, static_cast<double>(n) * chain.grid().voxel_mm[axis], "left out");
        const auto largest = static_cast<double>(*std::max_element(areas.begin(), areas.end()));
        for (const std::size_t outermost : {areas.front(), areas.back()}) {
            const double cut = static_cast<double>(outermost) / largest;
            sides += cut > cut_cross_section ? 1 : 0;
            largest_cut = std::max(largest_cut, cut);
        }
    }
    if (sides > 0)
        chain.warn(str("the mask is cut off by the border of the volume on ", sides, " of its 6 sides (by up to ", std::lround(100.0 * largest_cut),
                       " % of its largest cross-section): the sources beyond are unknown, and values near those sides are not to be trusted; "
                       "acquire the whole object"));
}

}  // namespace qsmpi::pipeline
