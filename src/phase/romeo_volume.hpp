#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "spanning_forest.hpp"

namespace qsmpi::phase
{

/// Voxels that hang together: the largest region of a volume, or a list of voxels.
struct Region {
    const UnwrappedRegions* largest_of = nullptr;
    std::span<const std::uint32_t> voxels{};
};

/// Says how many turns a region is to be moved, given the phase as it is so far.
using RegionShift = std::function<int(const Region&, const VolumeF& unwrapped_phase_rad)>;

/// Unwraps along the minimum spanning forest and moves each region by the turns that `shift_of` wants for it.
/// The result is wrapped_phase_rad plus multiples of 2 pi, 0 outside. `shift_of` must be safe to call from
/// threads.
[[nodiscard]] VolumeF unwrap_regions(const VolumeF& wrapped_phase_rad, const RomeoInput& input,
                                     const RegionShift& shift_of);

/// Sum over the voxels of a region of what body(voxel, sum) adds to `sum`; same bits for any number of
/// threads.
/// @param stride  of the largest region look at every stride-th voxel only
template <typename Sum, typename Body>
[[nodiscard]] Sum sum_region(const Region& region, std::size_t n_voxels, std::size_t stride, Body&& body)
{
    if (region.largest_of == nullptr) {
        Sum sum{};
        for (const std::uint32_t v : region.voxels) body(v, sum);
        return sum;
    }
    const std::uint32_t* region_of = region.largest_of->region_of.data();
    return parallel::sum_blocks<Sum>(n_voxels, [&](std::size_t begin, std::size_t end) {
        Sum sum{};
        for (std::size_t v = begin; v < end; v += stride) {
            if (region_of[v] == 0) body(v, sum);
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
