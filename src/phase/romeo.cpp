#include "qsmpi/phase/romeo.hpp"

#include <algorithm>
#include <cmath>

#include "romeo_volume.hpp"
#include "wrap.hpp"

namespace qsmpi::phase {

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

VolumeF unwrap_regions(const VolumeF& wrapped_phase_rad, const RomeoInput& input,
                       const std::function<int(const Region&, const EdgeCosts&, const VolumeF&)>& shift_of)
{
    // The third term costs time and helps only where nothing better is known: romeo3 with magnitude, else romeo4.
    const WeightTerms terms = weight_terms(wrapped_phase_rad, input, input.magnitude == nullptr);
    EdgeCosts costs(terms, input.mask, wrapped_phase_rad.grid());
    VolumeF phase(wrapped_phase_rad.grid());
    parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
        std::copy(wrapped_phase_rad.data() + begin, wrapped_phase_rad.data() + end, phase.data() + begin);
    });
    const int shift =
        grow_regions(costs, phase, [&](const Region& region) { return shift_of(region, costs, phase); });

    // Count the turns once more against the input, so that no round-off of repeated turns stays.
    parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
        const float* wrapped = wrapped_phase_rad.data();
        float* out = phase.data();
        for (std::size_t v = begin; v < end; ++v) {
            const float turns = std::rint((out[v] - wrapped[v]) * turns_per_rad_f) + static_cast<float>(shift);
            const bool inside = takes_part(wrapped_phase_rad, input.mask, v);
            out[v] = inside ? wrapped[v] + two_pi_f * turns : 0.0f;
        }
    });
    return phase;
}

VolumeF unwrap_romeo(const VolumeF& wrapped_phase_rad, const RomeoInput& input)
{
    return unwrap_regions(wrapped_phase_rad, input,
                          [&](const Region& region, const EdgeCosts& costs, const VolumeF& phase) {
                              return -sum_region<TurnCounts>(region, costs, wrapped_phase_rad, input.mask, 1,
                                                             [&](std::size_t v, TurnCounts& c) { c.add(phase[v]); })
                                          .median();
                          });
}

VolumeF romeo_quality(const VolumeF& wrapped_phase_rad, const RomeoInput& input)
{
    const WeightTerms terms = weight_terms(wrapped_phase_rad, input, true);
    const Dims& d = wrapped_phase_rad.dims();
    VolumeF quality(wrapped_phase_rad.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        // One leading zero stands for the edge that would enter the row from outside.
        std::vector<float> along_x(d.nx + 1, 0.0f), from_y(d.nx, 0.0f), to_y(d.nx), from_z(d.nx, 0.0f), to_z(d.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            edge_weight_row(terms, d, 0, y, z, along_x.data() + 1);
            edge_weight_row(terms, d, 1, y, z, to_y.data());
            edge_weight_row(terms, d, 2, y, z, to_z.data());
            if (z > 0) edge_weight_row(terms, d, 2, y, z - 1, from_z.data());
            const auto good = [](float w) { return w > 0.0f ? w : 0.0f; };  // absent edges and NaN count 0
            float* q = quality.data() + d.index(0, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < d.nx; ++x) {
                q[x] = (good(along_x[x]) + good(along_x[x + 1]) + good(from_y[x]) + good(to_y[x]) + good(from_z[x]) +
                        good(to_z[x])) / 6.0f;
            }
            std::swap(from_y, to_y);
        }
    });
    return quality;
}

}  // namespace qsmpi::phase
