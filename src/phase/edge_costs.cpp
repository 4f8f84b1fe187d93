#include "edge_costs.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::phase
{

namespace
{

/// 1 (weight 1) to 254, or no_edge when the weight is negative, above 1 or NaN.
inline std::uint32_t cost_of(float weight)
{
    const bool good = weight >= 0.0f && weight <= 1.0f;
    const float scaled = good ? (1.0f - weight) * 255.0f + 0.5f : 255.0f;
    const auto cost = static_cast<std::int32_t>(scaled);
    const std::int32_t clamped = cost < 1 ? 1 : (cost > 254 ? 254 : cost);
    return good ? static_cast<std::uint32_t>(clamped) : EdgeCosts::no_edge;
}

/// Removes edges with an end outside the mask, and voxels outside.
void apply_mask(const Mask& mask, std::size_t y, std::size_t z, std::uint32_t* words)
{
    const Dims& d = mask.dims();
    const std::uint8_t* inside = mask.data() + d.index(0, y, z);
    const std::uint8_t* inside_y = inside + (y + 1 < d.ny ? d.nx : 0);
    const std::uint8_t* inside_z = inside + (z + 1 < d.nz ? d.nx * d.ny : 0);
    for (std::size_t x = 0; x + 1 < d.nx; ++x) words[x] |= inside[x + 1] ? 0u : 0x0000FFu;
#pragma omp simd
    for (std::size_t x = 0; x < d.nx; ++x) {
        const std::uint32_t lost = (inside_y[x] ? 0u : 0x00FF00u) | (inside_z[x] ? 0u : 0xFF0000u);
        words[x] = inside[x] ? words[x] | lost : 0x00FFFFFFu;
    }
}

}  // namespace

EdgeCosts::EdgeCosts(const WeightTerms& terms, const Mask* mask, const Grid& grid) : words_(grid.size())
{
    const Dims& d = grid.dims;
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::array<std::vector<float>, 3> weights{std::vector<float>(d.nx), std::vector<float>(d.nx),
                                                  std::vector<float>(d.nx)};
        const float* wx = weights[0].data();
        const float* wy = weights[1].data();
        const float* wz = weights[2].data();
        for (std::size_t y = 0; y < d.ny; ++y) {
            for (std::size_t axis = 0; axis < 3; ++axis) {
                edge_weight_row(terms, d, static_cast<int>(axis), y, z, weights[axis].data());
            }
            const float* phase = terms.phase_rad + d.index(0, y, z);
            std::uint32_t* out = words_.data() + d.index(0, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::uint32_t finite =
                    std::abs(phase[x]) < std::numeric_limits<float>::infinity() ? 1u : 0u;
                out[x] = cost_of(wx[x]) | cost_of(wy[x]) << 8 | cost_of(wz[x]) << 16 | finite << 24;
            }
            if (mask != nullptr) apply_mask(*mask, y, z, out);
        }
    });
}

}  // namespace qsmpi::phase
