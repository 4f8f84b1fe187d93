#pragma once
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "qsmpi/core/parallel.hpp"
#include "romeo_growth.hpp"

namespace qsmpi::phase {

/// Whether a voxel takes part in unwrapping.
[[nodiscard]] inline bool takes_part(const VolumeF& wrapped_phase_rad, const Mask* mask, std::size_t v)
{
    return std::isfinite(wrapped_phase_rad[v]) && (mask == nullptr || (*mask)[v] != 0);
}

/// Unwraps region after region; `shift_of(region, phase so far)` says how many turns each one is to be moved.
/// The result is wrapped_phase_rad plus multiples of 2 pi, 0 outside.
[[nodiscard]] VolumeF unwrap_regions(const VolumeF& wrapped_phase_rad, const RomeoInput& input,
                                     const std::function<int(const Region&, const EdgeCosts&, const VolumeF&)>& shift_of);

/// Sum over the voxels of a region of what body(voxel, sum) adds to `sum`; same bits for any number of threads.
/// @param stride  look at every stride-th voxel of the volume, at least at one of each block of a large region
template <typename Sum, typename Body>
[[nodiscard]] Sum sum_region(const Region& region, const EdgeCosts& costs, const VolumeF& wrapped_phase_rad,
                             const Mask* mask, std::size_t stride, Body&& body)
{
    if (!region.first) {
        Sum sum{};
        for (const std::uint32_t v : region.voxels) body(v, sum);
        return sum;
    }
    return parallel::sum_blocks<Sum>(wrapped_phase_rad.size(), [&](std::size_t begin, std::size_t end) {
        Sum sum{};
        for (std::size_t v = begin; v < end; v += stride) {
            if (costs.visited(v) && takes_part(wrapped_phase_rad, mask, v)) body(v, sum);
        }
        return sum;
    });
}

/// Histogram of whole turns, for their median.
struct TurnCounts {
    static constexpr int limit = 64;
    std::array<std::uint32_t, 2 * limit + 1> counts{};

    void add(float phase_rad);
    TurnCounts& operator+=(const TurnCounts& other);
    /// Lower median; 0 without any entry.
    [[nodiscard]] int median() const;
};

}  // namespace qsmpi::phase
