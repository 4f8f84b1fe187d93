#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "edge_costs.hpp"

namespace qsmpi::phase
{

/// How a volume is cut into tiles; the last ones of each axis may be smaller.
class Tiling
{
public:
    static constexpr std::size_t edge_x = 32, edge_y = 16, edge_z = 16;
    static constexpr std::size_t most_voxels = edge_x * edge_y * edge_z;

    explicit Tiling(const Dims& dims);
    [[nodiscard]] const Dims& counts() const { return counts_; }
    [[nodiscard]] std::size_t size() const { return counts_.size(); }

    struct Box {
        std::size_t x, y, z;  ///< first voxel
        Dims dims;
    };
    [[nodiscard]] Box box(std::size_t i_tile) const;

private:
    Dims volume_, counts_;
};

/// An edge of the graph that is left when every tile has shrunk to its nodes.
struct Link {
    std::uint32_t from = 0, to = 0;  ///< nodes; numbered within the tile until the tiles are joined
    std::int16_t turns = 0;          ///< turns of `to` minus turns of `from` that the edge asks for
    std::uint8_t cost = 0;
};

/// Shrinks one tile: voxels are joined along edges that surely belong to the minimum spanning forest of the
/// volume.
///
/// Kruskal's algorithm runs over the edges inside the tile in the order of their costs. An edge is the
/// cheapest way out of a set of voxels, and so belongs to the forest, when no edge that leaves the tile from
/// that set costs less. Edges for which this cannot be told inside the tile become links; edges that close a
/// cycle of cheaper ones are dropped. Holds the scratch memory (about 200 kB), so use one for many tiles.
class TileForest
{
public:
    TileForest(const EdgeCosts& costs, const float* wrapped_phase_rad, const Dims& volume);

    /// Writes for every voxel of the tile that takes part label = node << 16 | turns (16-bit two's
    /// complement).
    /// @param links  appended: the links inside the tile
    /// @return number of nodes
    std::uint32_t shrink(const Tiling::Box& box, std::uint32_t* labels, std::vector<Link>& links);

private:
    struct Root {
        std::uint16_t node;
        int turns;
    };
    void load(const Tiling::Box& box);
    void sort_edges();
    void join(std::vector<Link>& links);
    std::uint16_t connected_root(std::uint16_t v);
    Root joined_root(std::uint16_t v);

    static constexpr std::size_t n = Tiling::most_voxels;
    const EdgeCosts& costs_;
    const float* phase_;
    Dims volume_;
    std::array<std::uint16_t, 3> stride_{};
    std::size_t n_voxels_ = 0, n_edges_ = 0, n_inside_ = 0;
    std::vector<std::uint32_t> word_;    ///< costs of the tile's voxels; edges that leave it set to no_edge
    std::vector<std::uint8_t> way_out_;  ///< lowest cost of an edge that leaves the tile; kept for roots
    std::vector<float> turned_;          ///< wrapped phase in turns
    std::vector<std::uint16_t> edges_;   ///< voxel * 4 + axis, by cost
    std::array<std::uint32_t, 256> end_{};  ///< where the edges of each cost end
    std::vector<std::uint16_t> connected_;  ///< union-find over all edges of the tile's own forest
    std::vector<std::uint16_t> joined_;  ///< union-find over certain edges, with turns relative to the parent
    std::vector<std::int16_t> turns_;
};

}  // namespace qsmpi::phase
