#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "qsmpi/core/volume.hpp"
#include "romeo_weights.hpp"

namespace qsmpi::phase {

/// Integer edge costs and the state of every voxel, packed in one word so that a visit touches few cache lines.
///
/// Bytes 0, 1, 2: cost of the edge to the forward neighbour along x, y, z: 1 (best) to 254, 255 = no edge.
/// Byte 3: lowest cost by which the voxel was offered to the queue; 255 = not yet, 0 = visited or outside.
/// One slice of words without edges lies before and behind the volume, so neighbours need no bounds check.
class EdgeCosts {
public:
    /// @param mask  null: all voxels; edges with an end outside of it or with non-finite phase are absent
    EdgeCosts(const WeightTerms& terms, const Mask* mask, const Grid& grid);

    [[nodiscard]] std::uint32_t* words() { return storage_.data() + margin_; }
    [[nodiscard]] const std::uint32_t* words() const { return storage_.data() + margin_; }
    [[nodiscard]] bool visited(std::size_t v) const { return (words()[v] >> 24) == 0; }
    /// Voxels inside the mask with finite phase.
    [[nodiscard]] std::size_t n_inside() const { return n_inside_; }
    /// Voxel with the lowest sum of forward costs, the first one if several; n_inside() must not be 0.
    [[nodiscard]] std::size_t best_seed() const { return best_seed_; }

private:
    std::size_t margin_ = 0, n_inside_ = 0, best_seed_ = 0;
    AlignedBuffer<std::uint32_t> storage_;
};

/// The voxels that one growth reached: all that are visited so far (first region), or a list (the others).
struct Region {
    bool first = true;
    std::span<const std::uint32_t> voxels;
};

/// Unwraps `phase_rad` in place along the spanning forest of lowest costs, region after region.
///
/// After each region, `shift_of(region)` says how many turns to add to it. The first region's shift is returned, not
/// applied: the caller writes the volume once more anyway. The others are applied here.
/// @param phase_rad  in: wrapped, finite inside; out: unwrapped but for round-off of repeated turns
[[nodiscard]] int grow_regions(EdgeCosts& costs, VolumeF& phase_rad,
                               const std::function<int(const Region&)>& shift_of);

}  // namespace qsmpi::phase
