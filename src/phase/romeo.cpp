#include "qsmpi/phase/romeo.hpp"

#include <algorithm>
#include <cmath>

#include "romeo_volume.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

void TurnCounts::add(float phase_rad)
{
    const int turns = static_cast<int>(std::rint(phase_rad * turns_per_rad_f));
    ++counts[static_cast<std::size_t>(std::clamp(turns, -limit, limit) + limit)];
}

TurnCounts& TurnCounts::operator+=(const TurnCounts& other)
{
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += other.counts[i];
    return *this;
}

int TurnCounts::median() const
{
    std::uint64_t total = 0, below = 0;
    for (const std::uint32_t c : counts) total += c;
    if (total == 0) return 0;
    std::size_t i = 0;
    while (2 * (below + counts[i]) < total) below += counts[i++];
    return static_cast<int>(i) - limit;
}

namespace
{

/// Turns of every region. Voxels of all regions but the largest are listed region by region.
std::vector<int> shifts_of(const UnwrappedRegions& regions, const RegionShift& shift_of)
{
    const std::size_t n_regions = regions.region_sizes.size();
    std::vector<int> shifts(n_regions, 0);
    if (n_regions == 0) return shifts;
    shifts[0] = shift_of({.largest_of = &regions}, regions.phase_rad);
    if (n_regions == 1) return shifts;

    std::vector<std::size_t> end(n_regions, 0);
    for (std::size_t r = 1; r + 1 < n_regions; ++r) end[r + 1] = end[r] + regions.region_sizes[r];
    std::vector<std::uint32_t> voxels(end.back() + regions.region_sizes.back());
    for (std::size_t v = 0; v < regions.phase_rad.size(); ++v) {
        const std::uint32_t region = regions.region_of.data()[v];
        if (region != 0 && region != UnwrappedRegions::outside)
            voxels[end[region]++] = static_cast<std::uint32_t>(v);
    }
    parallel::for_each(n_regions - 1, [&](std::size_t i) {
        const std::size_t r = i + 1, size = regions.region_sizes[r];
        shifts[r] = shift_of({.voxels = std::span(voxels).subspan(end[r] - size, size)}, regions.phase_rad);
    });
    return shifts;
}

}  // namespace

VolumeF unwrap_regions(const VolumeF& wrapped_phase_rad, const RomeoInput& input, const RegionShift& shift_of)
{
    const std::size_t n = wrapped_phase_rad.size();
    require(n > 0, "romeo: the phase volume is empty");
    require(n < UnwrappedRegions::outside,
            str("romeo: ", n, " voxels are more than the 2^32 - 2 that can be numbered; crop the volume"));
    // The third term costs time and helps only where nothing better is known: romeo3 with magnitude, else
    // romeo4.
    const WeightTerms terms = weight_terms(wrapped_phase_rad, input, input.magnitude == nullptr);
    UnwrappedRegions regions =
        unwrap_along_forest(EdgeCosts(terms, input.mask, wrapped_phase_rad.grid()), wrapped_phase_rad);
    const std::vector<int> shifts = shifts_of(regions, shift_of);
    if (std::all_of(shifts.begin(), shifts.end(), [](int s) { return s == 0; }))
        return std::move(regions.phase_rad);

    // Count the turns again from the wrapped phase, so that each voxel is rounded once.
    parallel::for_blocks(n, [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const std::uint32_t region = regions.region_of.data()[v];
            if (region == UnwrappedRegions::outside) continue;
            const float base = wrap(wrapped_phase_rad[v]);
            const float turns = std::rint((regions.phase_rad[v] - base) * turns_per_rad_f);
            regions.phase_rad[v] = base + two_pi_f * (turns + static_cast<float>(shifts[region]));
        }
    });
    return std::move(regions.phase_rad);
}

VolumeF unwrap_romeo(const VolumeF& wrapped_phase_rad, const RomeoInput& input)
{
    return unwrap_regions(wrapped_phase_rad, input, [](const Region& region, const VolumeF& phase) {
        return -sum_region<TurnCounts>(region, phase.size(), 1, [&](std::size_t v, TurnCounts& c) {
                    c.add(phase[v]);
                }).median();
    });
}

VolumeF romeo_quality(const VolumeF& wrapped_phase_rad, const RomeoInput& input)
{
    const WeightTerms terms = weight_terms(wrapped_phase_rad, input, true);
    const Dims& d = wrapped_phase_rad.dims();
    VolumeF quality(wrapped_phase_rad.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        // One leading zero stands for the edge that would enter the row from outside.
        std::vector<float> along_x(d.nx + 1, 0.0f), from_y(d.nx, 0.0f), to_y(d.nx), from_z(d.nx, 0.0f),
            to_z(d.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            edge_weight_row(terms, d, 0, y, z, along_x.data() + 1);
            edge_weight_row(terms, d, 1, y, z, to_y.data());
            edge_weight_row(terms, d, 2, y, z, to_z.data());
            if (z > 0) edge_weight_row(terms, d, 2, y, z - 1, from_z.data());
            const auto good = [](float w) { return w > 0.0f ? w : 0.0f; };  // absent edges and NaN count 0
            float* q = quality.data() + d.index(0, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < d.nx; ++x) {
                q[x] = (good(along_x[x]) + good(along_x[x + 1]) + good(from_y[x]) + good(to_y[x]) +
                        good(from_z[x]) + good(to_z[x])) /
                       6.0f;
            }
            std::swap(from_y, to_y);
        }
    });
    return quality;
}

}  // namespace qsmpi::phase
