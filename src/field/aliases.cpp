#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/field/field_map.hpp"

namespace qsmpi::field
{

namespace
{

constexpr int most_rounds = 4;
constexpr std::size_t least_neighbours = 4;

/// Voxels whose fields count.
struct Known {
    const VolumeF& sigma_hz;
    const Mask* mask;
    bool operator()(std::size_t v) const
    {
        return std::isfinite(sigma_hz[v]) && (mask == nullptr || (*mask)[v] != 0);
    }
};

/// Known voxels with a step of more than half a period to a known face neighbour, in order.
std::vector<std::size_t> steep_voxels(const FieldMap& map, const Known& known, float half_period)
{
    const Dims& d = map.field_hz.dims();
    std::vector<std::vector<std::size_t>> slices(d.nz);
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) {
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::size_t v = d.index(x, y, z);
                if (!known(v)) continue;
                const auto far = [&](std::size_t w) {
                    return std::abs(map.field_hz[v] - map.field_hz[w]) > half_period && known(w);
                };
                if ((x > 0 && far(v - 1)) || (x + 1 < d.nx && far(v + 1)) || (y > 0 && far(v - d.nx)) ||
                    (y + 1 < d.ny && far(v + d.nx)) || (z > 0 && far(v - d.nx * d.ny)) ||
                    (z + 1 < d.nz && far(v + d.nx * d.ny)))
                    slices[z].push_back(v);
            }
        }
    });
    std::vector<std::size_t> all;
    for (const auto& slice : slices) all.insert(all.end(), slice.begin(), slice.end());
    return all;
}

/// Periods that bring the field next to the median of its known neighbours; 0 where there are too few.
float periods_to_median(const FieldMap& map, const Known& known, std::size_t v, double period_hz)
{
    const Dims& d = map.field_hz.dims();
    const std::size_t x = v % d.nx, y = v / d.nx % d.ny, z = v / (d.nx * d.ny);
    std::array<float, 26> values;
    std::size_t n = 0;
    for (std::size_t k = z > 0 ? z - 1 : 0; k <= std::min(z + 1, d.nz - 1); ++k) {
        for (std::size_t j = y > 0 ? y - 1 : 0; j <= std::min(y + 1, d.ny - 1); ++j) {
            for (std::size_t i = x > 0 ? x - 1 : 0; i <= std::min(x + 1, d.nx - 1); ++i) {
                const std::size_t w = d.index(i, j, k);
                if (w != v && known(w)) values[n++] = map.field_hz[w];
            }
        }
    }
    if (n < least_neighbours) return 0.0f;
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(n / 2);
    std::nth_element(values.begin(), middle, values.begin() + static_cast<std::ptrdiff_t>(n));
    return std::round((*middle - map.field_hz[v]) / static_cast<float>(period_hz));
}

}  // namespace

double alias_period_hz(std::span<const double> echo_times_s)
{
    require(!echo_times_s.empty() && echo_times_s[0] > 0.0, "alias_period_hz: a positive first echo time is needed");
    for (const double t : echo_times_s) {
        const double ratio = t / echo_times_s[0];
        if (std::abs(ratio - std::round(ratio)) > 0.02) return 0.0;
    }
    return 1.0 / echo_times_s[0];
}

std::size_t settle_aliases(FieldMap& map, double period_hz, const Mask* mask)
{
    require(period_hz > 0.0 && std::isfinite(period_hz),
            str("settle_aliases: period ", period_hz, " Hz must be positive"));
    if (mask != nullptr) require_same_grid(map.field_hz, *mask, "settle_aliases: field and mask");
    const Known known{map.sigma_hz, mask};
    const auto half_period = static_cast<float>(0.5 * period_hz);
    const std::vector<std::size_t> doubtful = steep_voxels(map, known, half_period);
    std::vector<std::size_t> steep = doubtful;
    std::size_t n_moved = 0;
    for (int round = 0; round < most_rounds && !steep.empty(); ++round) {
        // All are judged by the same map, so that their order does not matter.
        std::vector<float> periods(steep.size());
        parallel::for_blocks(steep.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) periods[i] = periods_to_median(map, known, steep[i], period_hz);
        });
        std::size_t n = 0;
        for (std::size_t i = 0; i < steep.size(); ++i) {
            if (periods[i] == 0.0f) continue;
            map.field_hz[steep[i]] += periods[i] * static_cast<float>(period_hz);
            ++n;
        }
        if (n == 0) break;
        n_moved += n;
        steep = steep_voxels(map, known, half_period);
    }
    for (const std::size_t v : doubtful) map.sigma_hz[v] = std::hypot(map.sigma_hz[v], half_period);
    return n_moved;
}

}  // namespace qsmpi::field
