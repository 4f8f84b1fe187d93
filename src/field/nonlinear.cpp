#include <algorithm>
#include <limits>
#include <vector>

#include "echo_sums.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::field
{

namespace
{

constexpr int most_iterations = 12;
/// Candidates on each side of the start, at most; see search_aliases().
constexpr int most_aliases = 64;
/// By how much chi^2 must fall before another alias is believed: chance gives 12 about once in 2000 for one
/// candidate.
constexpr float believable_gain = 12.0f;
/// Below this total squared signal-to-noise ratio any alias fits: such voxels keep their start.
constexpr float least_signal_to_search = 25.0f;

/// What one chunk of voxels needs: wrapped phases, m^2, and the state of the iteration.
/// Times are in units of the last echo, rates in rad per that unit.
class ChunkFit
{
public:
    ChunkFit(std::span<const float> times, float noise)
        : times_(times), noise_square_(noise * noise), phase_(times.size()), squared_(times.size())
    {
    }

    void load(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude, std::size_t begin,
              std::size_t n)
    {
        n_ = n;
        information_.fill(0.0f);
        signal_.fill(0.0f);
        for (std::size_t k = 0; k < times_.size(); ++k) {
            squared_magnitude(phase[k].data() + begin,
                              magnitude.empty() ? nullptr : magnitude[k].data() + begin, n,
                              squared_[k].data());
            const float* p = phase[k].data() + begin;
            for (std::size_t i = 0; i < n; ++i) phase_[k][i] = squared_[k][i] > 0.0f ? p[i] : 0.0f;
            add_information(k);
        }
    }

    /// Takes over voxels `index` of another chunk, packed densely.
    void gather(const ChunkFit& from, std::span<const std::size_t> index)
    {
        n_ = index.size();
        information_.fill(0.0f);
        signal_.fill(0.0f);
        for (std::size_t k = 0; k < times_.size(); ++k) {
            for (std::size_t i = 0; i < n_; ++i) {
                phase_[k][i] = from.phase_[k][index[i]];
                squared_[k][i] = from.squared_[k][index[i]];
            }
            add_information(k);
        }
    }

    /// Scoring steps rate += g / H with H = sum m^2 t^2. H bounds the curvature of the cost from above, so
    /// every step lowers the cost; at good signal each gains about two digits.
    void iterate(Chunk& rate) const
    {
        for (int iteration = 0; iteration < most_iterations; ++iteration) {
            Chunk gradient{};
            for (std::size_t k = 0; k < times_.size(); ++k) {
                const float t = times_[k];
                const float* p = phase_[k].data();
                const float* w = squared_[k].data();
#pragma omp simd
                for (std::size_t i = 0; i < n_; ++i) gradient[i] += w[i] * t * fast_sin(p[i] - rate[i] * t);
            }
            float largest = 0.0f;
#pragma omp simd reduction(max : largest)
            for (std::size_t i = 0; i < n_; ++i) {
                const float step = information_[i] > 0.0f ? gradient[i] / information_[i] : 0.0f;
                rate[i] += step;
                largest = std::max(largest, std::abs(step));
            }
            if (largest < 2e-5f) return;  // rad at the last echo: 0.0001 Hz at 30 ms
        }
    }

    /// sum m^2 |e^{i phi} - e^{i rate t}|^2
    void cost(const Chunk& rate, Chunk& out) const
    {
        out.fill(0.0f);
        for (std::size_t k = 0; k < times_.size(); ++k) {
            const float t = times_[k];
            const float* p = phase_[k].data();
            const float* w = squared_[k].data();
#pragma omp simd
            for (std::size_t i = 0; i < n_; ++i) {
                const float half_sine = fast_sin(0.5f * (p[i] - rate[i] * t));
                out[i] += 4.0f * w[i] * half_sine * half_sine;
            }
        }
    }

    /// Part of the signal that the model's phase does not explain.
    void rest(const Chunk& rate, Chunk& out) const
    {
        out.fill(0.0f);
        for (std::size_t k = 0; k < times_.size(); ++k) {
            const float t = times_[k];
            const float* p = phase_[k].data();
            const float* w = squared_[k].data();
#pragma omp simd
            for (std::size_t i = 0; i < n_; ++i) {
                const float r = wrapped(p[i] - rate[i] * t);
                out[i] += unexplained(w[i], r, fast_sin(r));
            }
        }
    }

    /// Phases and m^2 over the variance of the noise of one voxel.
    void echoes_of(std::size_t i, std::span<float> phase, std::span<float> precision) const
    {
        for (std::size_t k = 0; k < times_.size(); ++k) {
            phase[k] = phase_[k][i];
            precision[k] = squared_[k][i] / noise_square_;
        }
    }

    [[nodiscard]] float information(std::size_t i) const
    {
        return information_[i];
    }
    [[nodiscard]] float signal(std::size_t i) const
    {
        return signal_[i];
    }
    [[nodiscard]] float noise_square() const
    {
        return noise_square_;
    }
    [[nodiscard]] std::size_t size() const
    {
        return n_;
    }

private:
    void add_information(std::size_t k)
    {
        const float t = times_[k];
        for (std::size_t i = 0; i < n_; ++i) {
            information_[i] += squared_[k][i] * t * t;
            signal_[i] += squared_[k][i];
        }
    }

    std::span<const float> times_;
    float noise_square_;
    std::size_t n_ = 0;
    std::vector<Chunk> phase_, squared_;
    Chunk information_{}, signal_{};
};

/// Looks for a better minimum where the fit is worse than noise explains: the start may come from an echo
/// that was unwrapped wrongly. Tries rates in steps of a sixth of a turn at the last echo, up to half a turn
/// of the first echo to either side, and refines the best.
void search_aliases(const ChunkFit& fit, ChunkFit& bad, std::span<const float> times, Chunk& rate,
                    Chunk& cost)
{
    const auto freedom = static_cast<float>(times.size() - 1);
    const float expected = (freedom + 3.0f * std::sqrt(2.0f * freedom)) * fit.noise_square();
    std::vector<std::size_t> index;
    for (std::size_t i = 0; i < fit.size(); ++i) {
        if (cost[i] > expected && fit.signal(i) > least_signal_to_search * fit.noise_square())
            index.push_back(i);
    }
    if (index.empty()) return;
    bad.gather(fit, index);

    constexpr float step = static_cast<float>(units::two_pi / 6.0);
    const float shortest = *std::min_element(times.begin(), times.end());
    const int reach = std::min(most_aliases, static_cast<int>(std::ceil(3.0f / shortest)));
    Chunk best, best_cost, candidate, candidate_cost;
    for (std::size_t i = 0; i < index.size(); ++i) {
        best[i] = rate[index[i]];
        best_cost[i] = cost[index[i]];
    }
    const Chunk start = best;
    for (int c = -reach; c <= reach; ++c) {
        for (std::size_t i = 0; i < index.size(); ++i) candidate[i] = start[i] + static_cast<float>(c) * step;
        bad.cost(candidate, candidate_cost);
        for (std::size_t i = 0; i < index.size(); ++i) {
            if (candidate_cost[i] < best_cost[i]) {
                best_cost[i] = candidate_cost[i];
                best[i] = candidate[i];
            }
        }
    }
    bad.iterate(best);
    bad.cost(best, best_cost);
    for (std::size_t i = 0; i < index.size(); ++i) {
        if (best_cost[i] < cost[index[i]] - believable_gain * fit.noise_square()) {
            rate[index[i]] = best[i];
            cost[index[i]] = best_cost[i];
        }
    }
}

/// Between-echo scatter that is not worth a word, in standard deviations of chi^2.
constexpr float tolerated_deviations = 1.5f;

/// The fit of a voxel whose echoes disagree, with a variance tau^2 added to the field of each.
struct RandomEffects {
    float rate, information;  ///< information: inverse variance of the rate
};

/// @param phase, precision  of each echo: wrapped phase and m^2 / sigma^2
/// @param residual          room for one value an echo
RandomEffects fit_random_effects(std::span<const float> times, std::span<const float> phase,
                                 std::span<const float> precision, std::span<float> residual, float rate,
                                 float expected)
{
    constexpr int rounds = 3, bisections = 10;
    const std::size_t n = times.size();
    const auto weight = [&](std::size_t k, float tau_square) {
        return precision[k] / (1.0f + precision[k] * times[k] * times[k] * tau_square);
    };
    const auto chi_square = [&](float tau_square) {
        float sum = 0.0f;
        for (std::size_t k = 0; k < n; ++k) sum += weight(k, tau_square) * residual[k] * residual[k];
        return sum;
    };
    float information = 0.0f;
    for (int round = 0; round < rounds; ++round) {
        for (std::size_t k = 0; k < n; ++k) residual[k] = wrapped(phase[k] - rate * times[k]);
        // tau between nothing and a turn at the last echo, on a logarithmic scale.
        float low = 1e-4f, high = 6.3f;
        if (chi_square(low * low) <= expected) {
            high = 0.0f;
        } else {
            for (int b = 0; b < bisections; ++b) {
                const float middle = std::sqrt(low * high);
                (chi_square(middle * middle) > expected ? low : high) = middle;
            }
        }
        float gradient = 0.0f;
        information = 0.0f;
        for (std::size_t k = 0; k < n; ++k) {
            const float wt = weight(k, high * high) * times[k];
            gradient += wt * residual[k];
            information += wt * times[k];
        }
        const float step = gradient / information;
        rate += step;
        if (std::abs(step) < 1e-3f) break;  // rad at the last echo
    }
    return {rate, information};
}

}  // namespace

FieldMap nonlinear_fit(std::span<const VolumeF> wrapped_phase_rad, std::span<const VolumeF> magnitude,
                       std::span<const double> echo_times_s, const VolumeF& start_hz, double noise_std)
{
    check_echoes("nonlinear_fit", wrapped_phase_rad, magnitude, echo_times_s, noise_std, 1);
    require_same_grid(wrapped_phase_rad[0], start_hz, "nonlinear_fit: phase and start field");
    const std::size_t n_echoes = wrapped_phase_rad.size();
    FieldMap map = new_field_map(start_hz.grid(), n_echoes > 1);

    const double unit_s = echo_times_s[n_echoes - 1];
    std::vector<float> times;
    for (const double t : echo_times_s) times.push_back(static_cast<float>(t / unit_s));
    const auto hz_per_rate = static_cast<float>(1.0 / (units::two_pi * unit_s));
    const auto noise = static_cast<float>(noise_std);
    const auto freedom = static_cast<float>(n_echoes - 1);
    const float expected = freedom + tolerated_deviations * std::sqrt(2.0f * freedom);

    parallel::for_blocks(start_hz.size(), [&](std::size_t block_begin, std::size_t block_end) {
        ChunkFit fit(times, noise), bad(times, noise);
        Chunk rate{}, cost{}, rest{};
        std::vector<float> phases(n_echoes), precisions(n_echoes), residuals(n_echoes);
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk_voxels) {
            const std::size_t n = std::min(chunk_voxels, block_end - begin);
            fit.load(wrapped_phase_rad, magnitude, begin, n);
            for (std::size_t i = 0; i < n; ++i) {
                const float start = start_hz[begin + i];
                rate[i] = std::isfinite(start) ? start / hz_per_rate : 0.0f;
            }
            fit.iterate(rate);
            fit.cost(rate, cost);
            if (n_echoes > 1) {
                search_aliases(fit, bad, times, rate, cost);
                fit.rest(rate, rest);
            }
            for (std::size_t i = 0; i < n; ++i) {
                const float information = fit.information(i);
                const bool known = information > 0.0f;
                const float wide = n_echoes > 1 ? widening(cost[i] / (noise * noise), freedom) : 1.0f;
                RandomEffects found{rate[i], information / (noise * noise * wide * wide)};
                // Air disagrees with itself too, but there is nothing to gain.
                if (n_echoes > 1 && cost[i] > expected * noise * noise &&
                    fit.signal(i) > least_signal_to_search * noise * noise) {
                    fit.echoes_of(i, phases, precisions);
                    found = fit_random_effects(times, phases, precisions, residuals, rate[i], expected);
                }
                map.field_hz[begin + i] = known ? found.rate * hz_per_rate : 0.0f;
                map.sigma_hz[begin + i] =
                    known ? hz_per_rate / std::sqrt(found.information) : std::numeric_limits<float>::infinity();
                if (n_echoes > 1) {
                    map.relative_residual[begin + i] =
                        fit.signal(i) > 0.0f ? std::min(1.0f, rest[i] / fit.signal(i)) : 1.0f;
                }
            }
        }
    });
    return map;
}

}  // namespace qsmpi::field
