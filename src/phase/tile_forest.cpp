#include "tile_forest.hpp"

#include <algorithm>
#include <cmath>

#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

constexpr std::uint32_t cost_mask(int axis)
{
    return 255u << (8 * axis);
}

}  // namespace

Tiling::Tiling(const Dims& dims)
    : volume_(dims),
      counts_{(dims.nx + edge_x - 1) / edge_x, (dims.ny + edge_y - 1) / edge_y,
              (dims.nz + edge_z - 1) / edge_z}
{
}

Tiling::Box Tiling::box(std::size_t i_tile) const
{
    const std::size_t x = i_tile % counts_.nx * edge_x;
    const std::size_t y = i_tile / counts_.nx % counts_.ny * edge_y;
    const std::size_t z = i_tile / counts_.nx / counts_.ny * edge_z;
    return {x,
            y,
            z,
            {std::min(edge_x, volume_.nx - x), std::min(edge_y, volume_.ny - y),
             std::min(edge_z, volume_.nz - z)}};
}

TileForest::TileForest(const EdgeCosts& costs, const float* wrapped_phase_rad, const Dims& volume)
    : costs_(costs),
      phase_(wrapped_phase_rad),
      volume_(volume),
      word_(n),
      way_out_(n),
      turned_(n),
      edges_(3 * n),
      connected_(n),
      joined_(n),
      turns_(n)
{
}

void TileForest::load(const Tiling::Box& box)
{
    const Dims& t = box.dims;
    stride_ = {1, static_cast<std::uint16_t>(t.nx), static_cast<std::uint16_t>(t.nx * t.ny)};
    n_voxels_ = t.size();
    n_inside_ = 0;
    end_.fill(0);
    const std::array<std::size_t, 3> step{1, volume_.nx, volume_.nx * volume_.ny};
    for (std::size_t z = 0; z < t.nz; ++z) {
        for (std::size_t y = 0; y < t.ny; ++y) {
            const std::size_t global = volume_.index(box.x, box.y + y, box.z + z);
            const std::size_t local = t.index(0, y, z);
            for (std::size_t x = 0; x < t.nx; ++x) {
                const std::size_t v = global + x, l = local + x;
                const std::array<std::size_t, 3> place{x, y, z};
                std::uint32_t word = costs_.word(v);
                std::uint32_t out = EdgeCosts::no_edge;
                for (int axis = 0; axis < 3; ++axis) {
                    const auto a = static_cast<std::size_t>(axis);
                    if (place[a] + 1 == t[axis]) {
                        out = std::min(out, word >> (8 * axis) & 255);
                        word |= cost_mask(axis);
                    }
                    const std::size_t first = axis == 0 ? box.x : axis == 1 ? box.y : box.z;
                    if (place[a] == 0 && first > 0) out = std::min(out, costs_.cost(v - step[a], axis));
                    ++end_[word >> (8 * axis) & 255];
                }
                word_[l] = word;
                way_out_[l] = static_cast<std::uint8_t>(out);
                turned_[l] = wrap(phase_[v]) * turns_per_rad_f;
                connected_[l] = joined_[l] = static_cast<std::uint16_t>(l);
                turns_[l] = 0;
                n_inside_ += word >> 24 != 0 ? 1 : 0;
            }
        }
    }
}

void TileForest::sort_edges()
{
    // Counting sort; end_ holds the histogram and becomes the running position, then the end of each cost.
    std::uint32_t position = 0;
    for (std::uint32_t c = 0; c < EdgeCosts::no_edge; ++c) {
        const std::uint32_t count = end_[c];
        end_[c] = position;
        position += count;
    }
    n_edges_ = position;
    for (std::size_t l = 0; l < n_voxels_; ++l) {
        const std::uint32_t word = word_[l];
        for (int axis = 0; axis < 3; ++axis) {
            const std::uint32_t c = word >> (8 * axis) & 255;
            if (c != EdgeCosts::no_edge)
                edges_[end_[c]++] = static_cast<std::uint16_t>(4 * l + static_cast<std::size_t>(axis));
        }
    }
}

std::uint16_t TileForest::connected_root(std::uint16_t v)
{
    while (connected_[v] != v) {
        connected_[v] = connected_[connected_[v]];
        v = connected_[v];
    }
    return v;
}

TileForest::Root TileForest::joined_root(std::uint16_t v)
{
    int turns = 0;
    while (joined_[v] != v) {
        const std::uint16_t parent = joined_[v];
        turns_[v] = static_cast<std::int16_t>(turns_[v] + turns_[parent]);  // a root has 0
        joined_[v] = joined_[parent];
        turns += turns_[v];
        v = joined_[v];
    }
    return {v, turns};
}

void TileForest::join(std::vector<Link>& links)
{
    std::size_t missing = n_inside_ - 1;
    std::uint32_t cost = 0;
    for (std::size_t e = 0; e < n_edges_ && missing > 0; ++e) {
        const auto from = static_cast<std::uint16_t>(edges_[e] >> 2);
        const auto to = static_cast<std::uint16_t>(from + stride_[edges_[e] & 3]);
        const std::uint16_t a = connected_root(from), b = connected_root(to);
        if (a == b) continue;
        connected_[std::max(a, b)] = std::min(a, b);
        --missing;

        while (e >= end_[cost]) ++cost;
        const Root p = joined_root(from), q = joined_root(to);
        // The edge asks for turns(to) - turns(from) = -round(step in turns).
        const int wanted = -static_cast<int>(std::rint(turned_[to] - turned_[from]));
        const int between = wanted + p.turns - q.turns;  // turns of q's root minus turns of p's
        if (cost <= way_out_[p.node] || cost <= way_out_[q.node]) {
            joined_[q.node] = p.node;
            turns_[q.node] = static_cast<std::int16_t>(between);
            way_out_[p.node] = std::min(way_out_[p.node], way_out_[q.node]);
        } else {
            links.push_back(
                {p.node, q.node, static_cast<std::int16_t>(between), static_cast<std::uint8_t>(cost)});
        }
    }
}

std::uint32_t TileForest::shrink(const Tiling::Box& box, std::uint32_t* labels, std::vector<Link>& links)
{
    load(box);
    if (n_inside_ == 0) return 0;
    sort_edges();
    const std::size_t first_link = links.size();
    join(links);

    // Number the roots that are left; way_out_ and connected_ are free now, so connected_ holds the numbers.
    std::uint32_t n_nodes = 0;
    for (std::size_t l = 0; l < n_voxels_; ++l) {
        if (word_[l] >> 24 != 0 && joined_[l] == l) connected_[l] = static_cast<std::uint16_t>(n_nodes++);
    }
    for (std::size_t i = first_link; i < links.size(); ++i) {
        // A root that a link names may have been joined to another one since.
        const Root p = joined_root(static_cast<std::uint16_t>(links[i].from));
        const Root q = joined_root(static_cast<std::uint16_t>(links[i].to));
        links[i].turns = static_cast<std::int16_t>(links[i].turns + p.turns - q.turns);
        links[i].from = connected_[p.node];
        links[i].to = connected_[q.node];
    }
    const Dims& t = box.dims;
    for (std::size_t z = 0; z < t.nz; ++z) {
        for (std::size_t y = 0; y < t.ny; ++y) {
            const std::size_t global = volume_.index(box.x, box.y + y, box.z + z);
            for (std::size_t x = 0; x < t.nx; ++x) {
                const std::size_t l = t.index(x, y, z);
                if (word_[l] >> 24 == 0) continue;
                const Root root = joined_root(static_cast<std::uint16_t>(l));
                labels[global + x] = static_cast<std::uint32_t>(connected_[root.node]) << 16 |
                                     (static_cast<std::uint32_t>(root.turns) & 0xFFFFu);
            }
        }
    }
    return n_nodes;
}

}  // namespace qsmpi::phase
