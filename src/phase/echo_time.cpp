#include "echo_time.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "qsmpi/core/parallel.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

/// Comparisons with NaN are false, and infinity is beyond this.
constexpr float largest = 1e30f;

struct Counts {
    std::vector<std::size_t> n;
    Counts& operator+=(const Counts& other)
    {
        n.resize(std::max(n.size(), other.n.size()));
        for (std::size_t k = 0; k < other.n.size(); ++k) n[k] += other.n[k];
        return *this;
    }
};

/// Field in rad per unit of time, m^2 TE^2 weighted.
struct Rate {
    float mmtu = 0.0f, mmtt = 0.0f;
    void add(float squared_magnitude, float t, float unwrapped)
    {
        mmtu += squared_magnitude * t * unwrapped;
        mmtt += squared_magnitude * t * t;
    }
};

template <typename Visit>
void for_each_neighbour(const Dims& d, std::size_t v, Visit&& visit)
{
    const std::size_t x = v % d.nx, y = v / d.nx % d.ny, z = v / (d.nx * d.ny);
    if (x > 0) visit(v - 1);
    if (x + 1 < d.nx) visit(v + 1);
    if (y > 0) visit(v - d.nx);
    if (y + 1 < d.ny) visit(v + d.nx);
    if (z > 0) visit(v - d.nx * d.ny);
    if (z + 1 < d.nz) visit(v + d.nx * d.ny);
}

}  // namespace

bool EchoesInTime::present(std::size_t k, std::size_t v) const
{
    if (!(std::abs(phase_[k][v]) < largest)) return false;
    return magnitude_.empty() || (magnitude_[k][v] > 0.0f && magnitude_[k][v] < largest);
}

std::vector<std::size_t> EchoesInTime::count_present() const
{
    const auto counts = parallel::sum_blocks<Counts>(phase_[0].size(), [&](std::size_t begin, std::size_t end) {
        Counts c{std::vector<std::size_t>(phase_.size(), 0)};
        for (std::size_t k = 0; k < phase_.size(); ++k) {
            for (std::size_t v = begin; v < end; ++v) c.n[k] += in_mask(v) && present(k, v) ? 1 : 0;
        }
        return c;
    });
    return counts.n;
}

Mask EchoesInTime::without_gaps(std::size_t i_template) const
{
    const auto is_gap = [&](std::size_t v) {
        if (!in_mask(v) || present(i_template, v)) return false;
        for (std::size_t k = 0; k < phase_.size(); ++k) {
            if (k != i_template && present(k, v)) return true;
        }
        return false;
    };
    const auto n_gaps = parallel::sum_blocks<std::size_t>(phase_[0].size(), [&](std::size_t begin, std::size_t end) {
        std::size_t n = 0;
        for (std::size_t v = begin; v < end; ++v) n += is_gap(v) ? 1 : 0;
        return n;
    });
    if (n_gaps == 0) return {};
    Mask known(phase_[0].grid());
    parallel::for_blocks(known.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) known[v] = in_mask(v) && !is_gap(v) ? 1 : 0;
    });
    return known;
}

void EchoesInTime::unwrap_from(std::size_t i_template, const Mask* domain, std::vector<VolumeF>& unwrapped) const
{
    std::vector<std::size_t> order;
    for (std::size_t k = i_template; k < phase_.size(); ++k) order.push_back(k);
    for (std::size_t k = i_template; k-- > 0;) order.push_back(k);

    constexpr std::size_t chunk = 1024;
    parallel::for_blocks(phase_[0].size(), [&](std::size_t block_begin, std::size_t block_end) {
        std::array<float, chunk> sum_mmtu, sum_mmtt, inside;
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk) {
            const std::size_t n = std::min(chunk, block_end - begin);
            for (std::size_t i = 0; i < n; ++i) {
                const bool in = domain == nullptr || (*domain)[begin + i] != 0;
                inside[i] = in && std::isfinite(phase_[i_template][begin + i]) ? 1.0f : 0.0f;
            }
            sum_mmtu.fill(0.0f);
            sum_mmtt.fill(0.0f);
            for (const std::size_t k : order) {
                // Times in units of the template keep the sums near the size of m^2.
                const auto t = static_cast<float>(times_s_[k] / times_s_[i_template]);
                const float* p = phase_[k].data() + begin;
                const float* m = magnitude_.empty() ? nullptr : magnitude_[k].data() + begin;
                float* u = unwrapped[k].data() + begin;
                const float* start = unwrapped[i_template].data() + begin;
                const bool is_template = k == i_template;
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) {
                    const float rate = sum_mmtt[i] > 0.0f ? sum_mmtu[i] / sum_mmtt[i] : start[i];
                    const float turns = std::rint((rate * t - p[i]) * turns_per_rad_f);
                    const float value = is_template ? start[i] : p[i] + two_pi_f * turns;
                    const float out = inside[i] > 0.0f && std::abs(value) < largest ? value : 0.0f;
                    u[i] = out;
                    const float mm = m == nullptr ? 1.0f : m[i] * m[i];
                    const float weight = std::abs(value) < largest && mm < largest ? mm : 0.0f;
                    sum_mmtu[i] += weight * t * out;
                    sum_mmtt[i] += weight * t * t;
                }
            }
        }
    });
}

float EchoesInTime::expected_phase(std::span<const VolumeF> unwrapped, std::size_t k, std::size_t v) const
{
    Rate rate;
    for (std::size_t j = 0; j < k; ++j) {
        if (!present(j, v)) continue;
        const float m = magnitude_.empty() ? 1.0f : magnitude_[j][v];
        rate.add(m * m, static_cast<float>(times_s_[j] / times_s_[0]), unwrapped[j][v]);
    }
    if (!(rate.mmtt > 0.0f)) return unwrapped[k - 1][v];
    return rate.mmtu / rate.mmtt * static_cast<float>(times_s_[k] / times_s_[0]);
}

void EchoesInTime::grow_into_gaps(const Mask& known, std::vector<VolumeF>& unwrapped) const
{
    const Dims& d = known.dims();
    enum : std::uint8_t { outside, gap, waiting, done };
    std::vector<std::uint8_t> state(known.size(), outside);
    std::vector<std::size_t> layer;
    for (std::size_t v = 0; v < known.size(); ++v) {
        if (known[v] != 0) state[v] = done;
        else if (in_mask(v)) state[v] = gap;
    }
    const auto enqueue_neighbours = [&](std::size_t v, std::vector<std::size_t>& next) {
        for_each_neighbour(d, v, [&](std::size_t n) {
            if (state[n] != gap) return;
            state[n] = waiting;
            next.push_back(n);
        });
    };
    for (std::size_t v = 0; v < known.size(); ++v) {
        if (state[v] == done) enqueue_neighbours(v, layer);
    }
    const auto rate_of = [&](std::size_t v, float fallback) {
        Rate rate;
        for (std::size_t k = 0; k < phase_.size(); ++k) {
            if (!present(k, v)) continue;
            const float m = magnitude_.empty() ? 1.0f : magnitude_[k][v];
            rate.add(m * m, static_cast<float>(times_s_[k] / times_s_[0]), unwrapped[k][v]);
        }
        return rate.mmtt > 0.0f ? rate.mmtu / rate.mmtt : fallback;
    };
    std::vector<float> predicted;
    std::vector<std::size_t> next;
    while (!layer.empty()) {
        // All of a layer look at the layers before it, so that their order does not matter.
        predicted.assign(layer.size(), 0.0f);
        for (std::size_t i = 0; i < layer.size(); ++i) {
            float sum = 0.0f, n = 0.0f;
            for_each_neighbour(d, layer[i], [&](std::size_t v) {
                if (state[v] != done) return;
                sum += rate_of(v, 0.0f);
                n += 1.0f;
            });
            predicted[i] = sum / n;
        }
        next.clear();
        for (std::size_t i = 0; i < layer.size(); ++i) {
            const std::size_t v = layer[i];
            Rate rate;
            for (std::size_t k = 0; k < phase_.size(); ++k) {
                const auto t = static_cast<float>(times_s_[k] / times_s_[0]);
                const float field = rate.mmtt > 0.0f ? rate.mmtu / rate.mmtt : predicted[i];
                if (!present(k, v)) {
                    unwrapped[k][v] = field * t;
                    continue;
                }
                unwrapped[k][v] =
                    phase_[k][v] + two_pi_f * std::rint((field * t - phase_[k][v]) * turns_per_rad_f);
                const float m = magnitude_.empty() ? 1.0f : magnitude_[k][v];
                rate.add(m * m, t, unwrapped[k][v]);
            }
        }
        for (const std::size_t v : layer) {
            state[v] = done;
            enqueue_neighbours(v, next);
        }
        layer.swap(next);
    }
}

}  // namespace qsmpi::phase
