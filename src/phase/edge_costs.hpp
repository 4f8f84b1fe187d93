#pragma once
#include <cstddef>
#include <cstdint>

#include "qsmpi/core/volume.hpp"
#include "romeo_weights.hpp"

namespace qsmpi::phase
{

/// Integer costs of all edges, one word a voxel.
///
/// Bytes 0, 1, 2: cost of the edge to the forward neighbour along x, y, z, max(1, round(255 (1 - weight)))
/// and at most 254; 255 = no edge. Byte 3: nonzero when the voxel takes part (inside the mask, phase finite).
class EdgeCosts
{
public:
    static constexpr std::uint32_t no_edge = 255;

    /// @param mask  null: all voxels; edges with an end outside of it or with non-finite phase are absent
    EdgeCosts(const WeightTerms& terms, const Mask* mask, const Grid& grid);

    [[nodiscard]] bool takes_part(std::size_t v) const { return words_.data()[v] >> 24 != 0; }
    /// Cost of the edge from v to its forward neighbour along `axis`.
    [[nodiscard]] std::uint32_t cost(std::size_t v, int axis) const
    {
        return words_.data()[v] >> (8 * axis) & 255;
    }
    [[nodiscard]] std::uint32_t word(std::size_t v) const { return words_.data()[v]; }

private:
    AlignedBuffer<std::uint32_t> words_;
};

}  // namespace qsmpi::phase
