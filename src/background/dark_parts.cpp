#include "dark_parts.hpp"

#include <algorithm>

#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::background {
namespace {

Mask darker_than(float limit, const VolumeF& magnitude, const Mask& mask)
{
    Mask dark(mask.grid());
    for (std::size_t i = 0; i < mask.size(); ++i) dark[i] = mask[i] != 0 && !(magnitude[i] > limit) ? 1 : 0;
    return dark;
}

void remove_large_parts(Mask& mask, double largest_mm3)
{
    const numerics::Components parts = numerics::label_components(mask);
    const double voxel_mm3 = mask.grid().voxel_mm3();
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (mask[i] != 0 && static_cast<double>(parts.sizes[parts.labels[i]]) * voxel_mm3 > largest_mm3) mask[i] = 0;
}

// Moment [ppm mm^3] of the sources found in `part` within `reach` of a voxel along each axis.
double moment_near(const VolumeF& sources_ppm, const Mask& part, const Dims& voxel, const Dims& reach)
{
    const Dims& d = part.dims();
    const auto first = [](std::size_t i, std::size_t by) { return i - std::min(i, by); };
    double sum_ppm = 0.0;
    for (std::size_t z = first(voxel.nz, reach.nz); z < std::min(d.nz, voxel.nz + reach.nz + 1); ++z)
        for (std::size_t y = first(voxel.ny, reach.ny); y < std::min(d.ny, voxel.ny + reach.ny + 1); ++y)
            for (std::size_t x = first(voxel.nx, reach.nx); x < std::min(d.nx, voxel.nx + reach.nx + 1); ++x)
                if (part(x, y, z) != 0) sum_ppm += static_cast<double>(sources_ppm(x, y, z));
    return sum_ppm * part.grid().voxel_mm3();
}

/// A property of each part, and of what is in none (entry 0).
using PerPart = std::vector<std::uint8_t>;

// Parts that hold more than tissue can if their sources may be of any size. What dephasing darkens is larger than its source,
// so calcification and haemorrhage come out smaller than they are. Where haemorrhage is dark at its edge alone, the voxels
// there take from the rest, but small sources all around tell of it.
PerPart hold_mean(double mean_ppm, const numerics::Components& parts, const Mask& measured, const VolumeF& sources_ppm,
                  const SeparationOptions& o)
{
    const std::vector<double> sum_ppm = sum_by_part(parts, sources_ppm);
    PerPart hold(parts.sizes.size(), 0);
    for (std::size_t p = 1; p < hold.size(); ++p) hold[p] = sum_ppm[p] >= mean_ppm * static_cast<double>(parts.sizes[p]) ? 1 : 0;
    const Dims &d = measured.dims(), reach = numerics::voxels_along(measured.grid(), o.edge_reach_mm);
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                std::uint8_t& holds = hold[parts.labels(x, y, z)];
                if (holds != 0 && moment_near(sources_ppm, measured, {x, y, z}, reach) > o.edge_moment_ppm_mm3) holds = 0;
            }
    return hold;
}

// Voxels of each part that have a neighbour outside the mask.
std::vector<std::size_t> border_voxels(const numerics::Components& parts, const Mask& mask)
{
    const Dims& d = mask.dims();
    const auto is_outside = [&](std::size_t x, std::size_t y, std::size_t z) {  // before the first is the largest number
        return x >= d.nx || y >= d.ny || z >= d.nz || mask(x, y, z) == 0;
    };
    std::vector<std::size_t> n(parts.sizes.size(), 0);
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::uint32_t p = parts.labels(x, y, z);
                if (p != 0 && (is_outside(x - 1, y, z) || is_outside(x + 1, y, z) || is_outside(x, y - 1, z) ||
                               is_outside(x, y + 1, z) || is_outside(x, y, z - 1) || is_outside(x, y, z + 1)))
                    ++n[p];
            }
    return n;
}

// Parts as dark as air at the border that lie flat along it or are large, and do not hold what blood does: bone and air
// around the object, in masks that reach beyond it. How much such air holds the field cannot tell.
PerPart are_outskirts(const numerics::Components& parts, const Mask& filled, const VolumeF& magnitude, const VolumeF& sources_ppm,
                      const SeparationOptions& o)
{
    const std::vector<double> sum_ppm = sum_by_part(parts, sources_ppm);
    const std::vector<std::size_t> n_border = border_voxels(parts, filled);
    const std::vector<double> signal = sum_by_part(parts, magnitude);
    std::vector<float> sample = numerics::inside(magnitude, Mask(magnitude.grid(), 1), 8);
    const double air = o.outskirts_signal * numerics::quantile(sample, 0.1);
    PerPart are(parts.sizes.size(), 0);
    for (std::size_t p = 1; p < are.size(); ++p) {
        const auto n = static_cast<double>(parts.sizes[p]);
        const bool flat = 2 * n_border[p] > parts.sizes[p], large = n * filled.grid().voxel_mm3() > o.outskirts_mm3;
        const bool holds_little = signal[p] <= air * n && sum_ppm[p] < o.outskirts_ppm * n;
        are[p] = n_border[p] > 0 && (flat || large) && holds_little ? 1 : 0;
    }
    return are;
}

}  // namespace

std::vector<double> sum_by_part(const numerics::Components& parts, const VolumeF& values)
{
    std::vector<double> sums(parts.sizes.size(), 0.0);
    for (std::size_t i = 0; i < values.size(); ++i)
        if (parts.labels[i] != 0) sums[parts.labels[i]] += static_cast<double>(values[i]);
    return sums;
}

DarkParts find_dark_parts(const Mask& mask, const VolumeF& magnitude, const SeparationOptions& options)
{
    const Mask none(mask.grid(), 0);
    DarkParts dark{none.clone(), none.clone(), none.clone()};
    if (magnitude.empty()) return dark;
    const double usual = numerics::usual_signal(magnitude, mask);
    dark.without_signal = darker_than(static_cast<float>(options.signal_fraction * usual), magnitude, mask);
    dark.small_and_dim = darker_than(static_cast<float>(options.dim_fraction * usual), magnitude, mask);
    remove_large_parts(dark.small_and_dim, options.dim_part_mm3);
    for (std::size_t i = 0; i < mask.size(); ++i) dark.either[i] = dark.without_signal[i] | dark.small_and_dim[i];
    if (numerics::count(dark.either) == numerics::count(mask)) return {none.clone(), none.clone(), none.clone()};
    return dark;
}

JudgedParts judge(const DarkParts& dark, const Mask& mask, const Mask& measured, const VolumeF& sources_ppm, const VolumeF& magnitude,
                  const SeparationOptions& options)
{
    const numerics::Components without_signal = numerics::label_components(dark.without_signal);
    const numerics::Components dim = numerics::label_components(dark.small_and_dim);
    // Masks of reliable phase have small holes at bleeds.
    const Mask filled = numerics::fill_holes(mask, static_cast<std::size_t>(options.hole_mm3 / mask.grid().voxel_mm3()));
    PerPart is_air = hold_mean(options.air_ppm, without_signal, measured, sources_ppm, options);
    const PerPart is_outskirts = are_outskirts(without_signal, filled, magnitude, sources_ppm, options);
    for (std::size_t p = 1; p < is_air.size(); ++p) is_air[p] |= is_outskirts[p];
    const PerPart is_strong = hold_mean(options.strong_part_ppm, dim, measured, sources_ppm, options);
    const std::vector<double> sum_ppm = sum_by_part(dim, sources_ppm);
    const std::vector<std::size_t> n_border = border_voxels(dim, filled);
    PerPart is_background(is_strong.size(), 0);  // if it is strong
    for (std::size_t p = 1; p < is_background.size(); ++p) {
        const bool beyond_tissue = sum_ppm[p] >= options.border_part_ppm * static_cast<double>(dim.sizes[p]);
        is_background[p] = n_border[p] > 0 && (beyond_tissue || 2 * n_border[p] > dim.sizes[p]) ? 1 : 0;
    }
    for (std::size_t i = 0; i < measured.size(); ++i)
        if (is_air[without_signal.labels[i]] != 0) is_background[dim.labels[i]] = 1;
    JudgedParts judged{Mask(measured.grid()), Mask(measured.grid())};
    for (std::size_t i = 0; i < measured.size(); ++i) {
        const std::uint32_t p = dim.labels[i];
        judged.background[i] = is_air[without_signal.labels[i]] | (is_strong[p] & is_background[p]);
        judged.apart[i] = is_strong[p] != 0 && n_border[p] == 0 && judged.background[i] == 0 ? 1 : 0;
    }
    return judged;
}

}  // namespace qsmpi::background
