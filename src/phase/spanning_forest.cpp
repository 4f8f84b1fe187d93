#include "spanning_forest.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "qsmpi/core/parallel.hpp"
#include "tile_forest.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

using CostCounts = std::array<std::uint32_t, 256>;

/// Everything that is known of the tiles after they have shrunk.
struct ShrunkTiles {
    AlignedBuffer<std::uint32_t> labels;    ///< see TileForest::shrink
    std::vector<std::uint32_t> first_node;  ///< of each tile; one more entry: the number of nodes
    std::vector<std::vector<Link>> inner_links;
};

int turns_of(std::uint32_t label)
{
    return static_cast<std::int16_t>(label & 0xFFFFu);
}

ShrunkTiles shrink_tiles(const EdgeCosts& costs, const VolumeF& phase, const Tiling& tiling)
{
    ShrunkTiles shrunk{AlignedBuffer<std::uint32_t>(phase.size()),
                       std::vector<std::uint32_t>(tiling.size() + 1, 0),
                       std::vector<std::vector<Link>>(tiling.size())};
    // One row of tiles shares its scratch memory.
    const std::size_t row = tiling.counts().nx;
    parallel::for_each_dynamic(tiling.size() / row, [&](std::size_t r) {
        TileForest forest(costs, phase.data(), phase.dims());
        for (std::size_t i = r * row; i < (r + 1) * row; ++i) {
            shrunk.first_node[i + 1] =
                forest.shrink(tiling.box(i), shrunk.labels.data(), shrunk.inner_links[i]);
        }
    });
    for (std::size_t i = 0; i < tiling.size(); ++i) shrunk.first_node[i + 1] += shrunk.first_node[i];
    return shrunk;
}

/// Calls body(voxel, neighbour, axis) for every edge that leaves the box forwards.
template <typename Body>
void for_each_leaving_edge(const Tiling::Box& box, const Dims& volume, Body&& body)
{
    const std::array<std::size_t, 3> step{1, volume.nx, volume.nx * volume.ny};
    for (int axis = 0; axis < 3; ++axis) {
        const std::array<std::size_t, 3> first{box.x, box.y, box.z};
        std::array<std::size_t, 3> begin = first;
        const auto a = static_cast<std::size_t>(axis);
        begin[a] += box.dims[axis] - 1;
        if (begin[a] + 1 >= volume[axis]) continue;
        for (std::size_t z = begin[2]; z < box.z + box.dims.nz; ++z)
            for (std::size_t y = begin[1]; y < box.y + box.dims.ny; ++y)
                for (std::size_t x = begin[0]; x < box.x + box.dims.nx; ++x) {
                    const std::size_t v = volume.index(x, y, z);
                    body(v, v + step[a], axis);
                }
    }
}

/// All links of the volume in the order of cost, then tile, then place.
std::vector<Link> sorted_links(const EdgeCosts& costs, const VolumeF& phase, const Tiling& tiling,
                               ShrunkTiles& shrunk)
{
    const Dims& volume = phase.dims();
    std::vector<CostCounts> position(tiling.size(), CostCounts{});
    parallel::for_each(tiling.size(), [&](std::size_t i) {
        for (const Link& link : shrunk.inner_links[i]) ++position[i][link.cost];
        for_each_leaving_edge(tiling.box(i), volume, [&](std::size_t v, std::size_t, int axis) {
            ++position[i][costs.cost(v, axis)];
        });
    });
    std::uint32_t total = 0;
    for (std::uint32_t c = 0; c < EdgeCosts::no_edge; ++c) {
        for (CostCounts& p : position) total += std::exchange(p[c], total);
    }
    std::vector<Link> links(total);
    parallel::for_each(tiling.size(), [&](std::size_t i) {
        const std::uint32_t first = shrunk.first_node[i];
        for (const Link& link : shrunk.inner_links[i]) {
            links[position[i][link.cost]++] = {first + link.from, first + link.to, link.turns, link.cost};
        }
        std::vector<Link>().swap(shrunk.inner_links[i]);
        const std::array<std::size_t, 3> ahead{1, tiling.counts().nx,
                                               tiling.counts().nx * tiling.counts().ny};
        for_each_leaving_edge(tiling.box(i), volume, [&](std::size_t v, std::size_t neighbour, int axis) {
            const std::uint32_t cost = costs.cost(v, axis);
            if (cost == EdgeCosts::no_edge) return;
            const std::uint32_t from = shrunk.labels.data()[v], to = shrunk.labels.data()[neighbour];
            const float step = (wrap(phase[neighbour]) - wrap(phase[v])) * turns_per_rad_f;
            const int turns = -static_cast<int>(std::rint(step)) + turns_of(from) - turns_of(to);
            links[position[i][cost]++] = {
                first + (from >> 16),
                shrunk.first_node[i + ahead[static_cast<std::size_t>(axis)]] + (to >> 16),
                static_cast<std::int16_t>(turns), static_cast<std::uint8_t>(cost)};
        });
    });
    return links;
}

/// Union-find with turns relative to the parent.
class NodeForest
{
public:
    struct Root {
        std::uint32_t node;
        std::int32_t turns;
    };

    explicit NodeForest(std::uint32_t n_nodes) : nodes_(n_nodes)
    {
        for (std::uint32_t i = 0; i < n_nodes; ++i) nodes_[i] = {i, 0};
    }
    Root root(std::uint32_t v)
    {
        std::int32_t turns = 0;
        while (nodes_[v].node != v) {
            const Root parent = nodes_[nodes_[v].node];
            nodes_[v] = {parent.node, nodes_[v].turns + parent.turns};  // a root has 0 turns
            turns += nodes_[v].turns;
            v = parent.node;
        }
        return {v, turns};
    }
    /// Joins the trees of two nodes unless they are one already; false if so.
    bool join(const Link& link)
    {
        const Root p = root(link.from), q = root(link.to);
        if (p.node == q.node) return false;
        nodes_[q.node] = {p.node, link.turns + p.turns - q.turns};
        return true;
    }

private:
    std::vector<Root> nodes_;
};

}  // namespace

UnwrappedRegions unwrap_along_forest(const EdgeCosts& costs, const VolumeF& wrapped_phase_rad)
{
    const Dims& volume = wrapped_phase_rad.dims();
    const Tiling tiling(volume);
    ShrunkTiles shrunk = shrink_tiles(costs, wrapped_phase_rad, tiling);
    const std::uint32_t n_nodes = shrunk.first_node.back();
    NodeForest forest(n_nodes);
    {
        const std::vector<Link> links = sorted_links(costs, wrapped_phase_rad, tiling, shrunk);
        std::uint32_t missing = n_nodes;
        for (std::size_t i = 0; i < links.size() && missing > 1; ++i)
            missing -= forest.join(links[i]) ? 1 : 0;
    }

    // Regions are numbered in the order of their roots, then the largest one becomes number 0.
    UnwrappedRegions result;
    std::vector<NodeForest::Root> place(n_nodes);
    std::vector<std::uint32_t> number(n_nodes, UnwrappedRegions::outside);
    std::uint32_t n_regions = 0;
    for (std::uint32_t i = 0; i < n_nodes; ++i) {
        place[i] = forest.root(i);
        std::uint32_t& region = number[place[i].node];
        if (region == UnwrappedRegions::outside) region = n_regions++;
        place[i].node = region;
    }
    std::vector<std::vector<std::pair<std::uint32_t, std::uint32_t>>> tile_sizes(tiling.size());
    result.phase_rad = VolumeF(wrapped_phase_rad.grid());
    result.region_of = std::move(shrunk.labels);
    parallel::for_each(tiling.size(), [&](std::size_t i) {
        const Tiling::Box box = tiling.box(i);
        auto& sizes = tile_sizes[i];
        for (std::size_t z = box.z; z < box.z + box.dims.nz; ++z)
            for (std::size_t y = box.y; y < box.y + box.dims.ny; ++y)
                for (std::size_t x = box.x; x < box.x + box.dims.nx; ++x) {
                    const std::size_t v = volume.index(x, y, z);
                    std::uint32_t& label = result.region_of.data()[v];
                    if (!costs.takes_part(v)) {
                        result.phase_rad[v] = 0.0f;
                        label = UnwrappedRegions::outside;
                        continue;
                    }
                    const NodeForest::Root root = place[shrunk.first_node[i] + (label >> 16)];
                    result.phase_rad[v] = wrap(wrapped_phase_rad[v]) +
                                          two_pi_f * static_cast<float>(turns_of(label) + root.turns);
                    label = root.node;
                    if (sizes.empty() || sizes.back().first != label) sizes.emplace_back(label, 0u);
                    ++sizes.back().second;
                }
    });
    result.region_sizes.assign(n_regions, 0);
    for (const auto& sizes : tile_sizes) {
        for (const auto& [region, count] : sizes) result.region_sizes[region] += count;
    }
    const auto largest =
        static_cast<std::uint32_t>(std::max_element(result.region_sizes.begin(), result.region_sizes.end()) -
                                   result.region_sizes.begin());
    if (largest > 0 && n_regions > 0) {
        std::swap(result.region_sizes[0], result.region_sizes[largest]);
        parallel::for_blocks(wrapped_phase_rad.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) {
                std::uint32_t& region = result.region_of.data()[v];
                region = region == 0 ? largest : region == largest ? 0 : region;
            }
        });
    }
    return result;
}

}  // namespace qsmpi::phase
