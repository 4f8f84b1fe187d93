#include "romeo_growth.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "bucket_queue.hpp"
#include "qsmpi/core/parallel.hpp"
#include "wrap.hpp"

namespace qsmpi::phase {

namespace {

constexpr std::uint32_t edges_only = 0x00FFFFFFu;
constexpr std::uint32_t no_edge = 255;

/// 1 (weight 1) to 254, or no_edge when the weight is negative, above 1 or NaN.
inline std::uint32_t cost_of(float weight)
{
    const bool good = weight >= 0.0f && weight <= 1.0f;
    const float scaled = good ? (1.0f - weight) * 255.0f + 0.5f : 255.0f;
    const auto cost = static_cast<std::int32_t>(scaled);
    const std::int32_t clamped = cost < 1 ? 1 : (cost > 254 ? 254 : cost);
    return good ? static_cast<std::uint32_t>(clamped) : no_edge;
}

struct RowResult {
    std::size_t n_inside = 0;
    std::size_t seed = 0;
    std::uint32_t score = std::numeric_limits<std::uint32_t>::max();
};

/// Reads the mask and the phase of one row and of the rows its edges lead to.
class RowPacker {
public:
    RowPacker(const WeightTerms& terms, const Mask* mask, const Dims& dims)
        : terms_(terms), mask_(mask), dims_(dims), weights_{}
    {
        for (auto& w : weights_) w.resize(dims.nx);
    }

    void pack(std::size_t y, std::size_t z, std::uint32_t* words, RowResult& result)
    {
        const std::size_t nx = dims_.nx;
        const std::size_t row = dims_.index(0, y, z);
        for (int axis = 0; axis < 3; ++axis) edge_weight_row(terms_, dims_, axis, y, z, weights_[static_cast<std::size_t>(axis)].data());
        const float* phase = terms_.phase_rad + row;
        const float* wx = weights_[0].data();
        const float* wy = weights_[1].data();
        const float* wz = weights_[2].data();
        std::uint32_t* out = words + row;
#pragma omp simd
        for (std::size_t x = 0; x < nx; ++x) {
            const std::uint32_t state = std::abs(phase[x]) < std::numeric_limits<float>::infinity() ? 255u : 0u;
            out[x] = cost_of(wx[x]) | cost_of(wy[x]) << 8 | cost_of(wz[x]) << 16 | state << 24;
        }
        if (mask_ != nullptr) apply_mask(y, z, out);
        for (std::size_t x = 0; x < nx; ++x) {
            const std::uint32_t w = out[x];
            if (w <= edges_only) continue;
            ++result.n_inside;
            const std::uint32_t score = (w & 255) + (w >> 8 & 255) + (w >> 16 & 255);
            if (score < result.score) {
                result.score = score;
                result.seed = row + x;
            }
        }
    }

private:
    /// Removes edges with an end outside the mask and marks voxels outside as visited.
    void apply_mask(std::size_t y, std::size_t z, std::uint32_t* out) const
    {
        const std::size_t nx = dims_.nx;
        const std::uint8_t* inside = mask_->data() + dims_.index(0, y, z);
        const std::uint8_t* inside_y = inside + (y + 1 < dims_.ny ? nx : 0);
        const std::uint8_t* inside_z = inside + (z + 1 < dims_.nz ? nx * dims_.ny : 0);
        for (std::size_t x = 0; x + 1 < nx; ++x) out[x] |= inside[x + 1] ? 0u : 0x0000FFu;
#pragma omp simd
        for (std::size_t x = 0; x < nx; ++x) {
            const std::uint32_t lost = (inside_y[x] ? 0u : 0x00FF00u) | (inside_z[x] ? 0u : 0xFF0000u);
            out[x] = inside[x] ? out[x] | lost : edges_only;
        }
    }

    const WeightTerms& terms_;
    const Mask* mask_;
    Dims dims_;
    std::array<std::vector<float>, 3> weights_;
};

/// Offers and visits along the six directions of one voxel.
class Growth {
public:
    Growth(EdgeCosts& costs, VolumeF& phase_rad)
        : words_(costs.words()), phase_(phase_rad.data()), ny_(phase_rad.dims().nx),
          nz_(phase_rad.dims().nx * phase_rad.dims().ny)
    {
    }

    /// Grows from `seed` until nothing is reachable or `remaining` voxels were visited; returns the rest.
    /// Appends the voxels to `members` if that is not null.
    std::size_t grow(std::size_t seed, std::size_t remaining, std::vector<std::uint32_t>* members)
    {
        visit(seed);
        if (members != nullptr) members->push_back(static_cast<std::uint32_t>(seed));
        --remaining;
        std::uint32_t voxel = 0;
        while (remaining > 0 && queue_.pop(voxel)) {
            if (words_[voxel] <= edges_only) continue;
            visit(voxel);
            if (members != nullptr) members->push_back(voxel);
            --remaining;
        }
        queue_.clear();
        return remaining;
    }

private:
    void visit(std::size_t v)
    {
        const std::uint32_t own = words_[v] & edges_only;
        words_[v] = own;
        const float phase = phase_[v];
        offer(v + 1, own & 255, phase);
        offer(v - 1, words_[v - 1] & 255, phase);
        offer(v + ny_, own >> 8 & 255, phase);
        offer(v - ny_, words_[v - ny_] >> 8 & 255, phase);
        offer(v + nz_, own >> 16, phase);
        offer(v - nz_, words_[v - nz_] >> 16 & 255, phase);
    }

    /// Queues a neighbour if this edge is the best so far that leads to it, and unwraps it along the edge already now:
    /// the phase of both ends is at hand, and the last offer before the visit is the best one.
    void offer(std::size_t neighbour, std::uint32_t cost, float phase)
    {
        const std::uint32_t word = words_[neighbour];
        if (cost >= word >> 24) return;
        words_[neighbour] = (word & edges_only) | cost << 24;
        phase_[neighbour] += two_pi_f * std::rint((phase - phase_[neighbour]) * turns_per_rad_f);
        queue_.push(cost, static_cast<std::uint32_t>(neighbour));
    }

    std::uint32_t* words_;
    float* phase_;
    std::size_t ny_, nz_;
    BucketQueue queue_;
};

}  // namespace

EdgeCosts::EdgeCosts(const WeightTerms& terms, const Mask* mask, const Grid& grid)
{
    const Dims& dims = grid.dims;
    require(dims.size() > 0, "romeo: the phase volume is empty");
    require(dims.size() <= std::numeric_limits<std::uint32_t>::max(),
            str("romeo: ", dims.size(), " voxels are more than the 2^32 - 1 that can be numbered; crop the volume"));
    margin_ = (dims.nx * dims.ny + 15) / 16 * 16;
    storage_ = AlignedBuffer<std::uint32_t>(dims.size() + 2 * margin_);
    std::fill_n(storage_.data(), margin_, edges_only);
    std::fill_n(storage_.data() + margin_ + dims.size(), margin_, edges_only);

    std::vector<RowResult> slices(dims.nz);
    parallel::for_each(dims.nz, [&](std::size_t z) {
        RowPacker packer(terms, mask, dims);
        for (std::size_t y = 0; y < dims.ny; ++y) packer.pack(y, z, words(), slices[z]);
    });
    std::uint32_t best = std::numeric_limits<std::uint32_t>::max();
    for (const RowResult& slice : slices) {
        n_inside_ += slice.n_inside;
        if (slice.n_inside > 0 && slice.score < best) {
            best = slice.score;
            best_seed_ = slice.seed;
        }
    }
}

int grow_regions(EdgeCosts& costs, VolumeF& phase_rad, const std::function<int(const Region&)>& shift_of)
{
    if (costs.n_inside() == 0) return 0;
    Growth growth(costs, phase_rad);
    std::size_t remaining = growth.grow(costs.best_seed(), costs.n_inside(), nullptr);
    const int first_shift = shift_of({});
    std::vector<std::uint32_t> members;
    for (std::size_t seed = 0; remaining > 0; ++seed) {
        if (costs.visited(seed)) continue;
        members.clear();
        remaining = growth.grow(seed, remaining, &members);
        // Relative to the first region, whose own shift follows when the volume is written.
        const int shift = shift_of({.first = false, .voxels = members}) - first_shift;
        for (const std::uint32_t v : members) phase_rad[v] += two_pi_f * static_cast<float>(shift);
    }
    return first_shift;
}

}  // namespace qsmpi::phase
