#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "edge_costs.hpp"

namespace qsmpi::phase
{

/// A phase unwrapped along the minimum spanning forest of its edges; every region up to a number of turns of
/// its own.
struct UnwrappedRegions {
    static constexpr std::uint32_t outside = ~0u;

    VolumeF phase_rad;                       ///< 0 outside
    AlignedBuffer<std::uint32_t> region_of;  ///< region of every voxel; `outside` where it takes no part
    std::vector<std::uint32_t>
        region_sizes;  ///< voxels of each region; region 0 is the largest (ties: first found)
};

/// Prim's growth from a seed, which ROMEO describes, and Kruskal's joining of edges give the same forest but
/// for ties. Here tiles of 32 x 16 x 16 voxels shrink in parallel to some percent of their voxels
/// (TileForest), and the graph that is left, about 0.2 edges a voxel, is joined in series. The result does
/// not depend on the number of threads. Takes about 8 bytes a voxel besides the costs and the result.
[[nodiscard]] UnwrappedRegions unwrap_along_forest(const EdgeCosts& costs, const VolumeF& wrapped_phase_rad);

}  // namespace qsmpi::phase
