#include <array>
#include <cmath>

#include "alias.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "romeo_volume.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

/// The template is judged on every 7th voxel: some ten thousand are plenty for one number.
constexpr std::size_t evidence_stride = 7;

struct TemplateEvidence {
    TurnCounts turns;
    AliasEvidence aliases;
    TemplateEvidence& operator+=(const TemplateEvidence& other)
    {
        turns += other.turns;
        aliases += other.aliases;
        return *this;
    }
};

void check(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
           std::span<const double> echo_times_s)
{
    require(!phase.empty(), "unwrap_romeo_template: no echo given");
    require(echo_times_s.size() == phase.size(),
            str("unwrap_romeo_template: ", phase.size(), " echoes but ", echo_times_s.size(), " echo times"));
    require(magnitude.empty() || magnitude.size() == phase.size(),
            str("unwrap_romeo_template: ", phase.size(), " phase volumes but ", magnitude.size(),
                " magnitudes; give one for each echo or none"));
    for (std::size_t k = 0; k < phase.size(); ++k) {
        require(echo_times_s[k] > (k == 0 ? 0.0 : echo_times_s[k - 1]),
                str("unwrap_romeo_template: echo time ", echo_times_s[k], " s of echo ", k + 1,
                    " is not above the one before; sort the echoes by time"));
        require_same_grid(phase[0], phase[k], "unwrap_romeo_template: echoes");
        if (!magnitude.empty()) require_same_grid(phase[0], magnitude[k], "unwrap_romeo_template: echoes");
    }
}

/// Turns to add to a region of the template.
int template_shift(const Region& region, const VolumeF& unwrapped, std::span<const VolumeF> phase,
                   std::span<const VolumeF> magnitude, std::span<const double> ratios)
{
    const bool ambiguous = !tells_aliases_apart(ratios);
    const auto add = [&](std::size_t v, TemplateEvidence& e) {
        e.turns.add(unwrapped[v]);
        if (ambiguous) return;
        for (std::size_t k = 1; k < phase.size(); ++k) {
            const double m = magnitude.empty() ? 1.0 : static_cast<double>(magnitude[k][v]);
            e.aliases.add(k, m * m, phase[k][v] - static_cast<float>(ratios[k]) * unwrapped[v]);
        }
    };
    const auto evidence = sum_region<TemplateEvidence>(region, unwrapped.size(), evidence_stride, add);
    const int centre = -evidence.turns.median();
    return ambiguous ? centre : evidence.aliases.best_turns(ratios, centre);
}

/// Unwraps later echoes against the field that all echoes before agree on, the m^2 TE^2 weighted mean, which
/// is less noisy than the echo before alone. Simulated voxels with at least one echo on a wrong turn, T2* 30
/// ms: TE 4, 12, 20, 28 ms at a signal-to-noise ratio of 4 (at TE 0) 1.1 % against 2.2 %; 5 echoes from 5 to
/// 25 ms 0.45 % against 1.4 %.
void unwrap_in_time(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                    std::span<const double> echo_times_s, const Mask* mask, std::vector<VolumeF>& unwrapped)
{
    constexpr std::size_t chunk = 1024;
    parallel::for_blocks(phase[0].size(), [&](std::size_t block_begin, std::size_t block_end) {
        std::array<float, chunk> sum_mmtu, sum_mmtt, inside;
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk) {
            const std::size_t n = std::min(chunk, block_end - begin);
            for (std::size_t i = 0; i < n; ++i) {
                const bool in = mask == nullptr || (*mask)[begin + i] != 0;
                inside[i] = in && std::isfinite(phase[0][begin + i]) ? 1.0f : 0.0f;
            }
            sum_mmtu.fill(0.0f);
            sum_mmtt.fill(0.0f);
            for (std::size_t k = 0; k < phase.size(); ++k) {
                // Times in units of the first keep the sums near the size of m^2.
                const auto t = static_cast<float>(echo_times_s[k] / echo_times_s[0]);
                const float* p = phase[k].data() + begin;
                const float* m = magnitude.empty() ? nullptr : magnitude[k].data() + begin;
                float* u = unwrapped[k].data() + begin;
                const float* first = unwrapped[0].data() + begin;
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) {
                    const float rate = sum_mmtt[i] > 0.0f ? sum_mmtu[i] / sum_mmtt[i] : first[i];
                    const float turns = std::rint((rate * t - p[i]) * turns_per_rad_f);
                    const float value = k == 0 ? first[i] : p[i] + two_pi_f * turns;
                    const float out = inside[i] > 0.0f && std::abs(value) < 1e30f ? value : 0.0f;
                    u[i] = out;
                    const float mm = m == nullptr ? 1.0f : m[i] * m[i];
                    const float weight = std::abs(value) < 1e30f && mm < 1e30f ? mm : 0.0f;
                    sum_mmtu[i] += weight * t * out;
                    sum_mmtt[i] += weight * t * t;
                }
            }
        }
    });
}

}  // namespace

std::vector<VolumeF> unwrap_romeo_template(std::span<const VolumeF> wrapped_phase_rad,
                                           std::span<const VolumeF> magnitude,
                                           std::span<const double> echo_times_s, const Mask* mask)
{
    check(wrapped_phase_rad, magnitude, echo_times_s);
    const std::size_t n_echoes = wrapped_phase_rad.size();
    RomeoInput input{.magnitude = magnitude.empty() ? nullptr : &magnitude[0], .mask = mask};
    if (n_echoes > 1) {
        input.second_phase_rad = &wrapped_phase_rad[1];
        input.echo_time_s = echo_times_s[0];
        input.second_echo_time_s = echo_times_s[1];
    }
    std::vector<double> ratios;
    for (const double t : echo_times_s) ratios.push_back(t / echo_times_s[0]);

    std::vector<VolumeF> unwrapped;
    unwrapped.push_back(
        unwrap_regions(wrapped_phase_rad[0], input, [&](const Region& region, const VolumeF& so_far) {
            return template_shift(region, so_far, wrapped_phase_rad, magnitude, ratios);
        }));
    for (std::size_t k = 1; k < n_echoes; ++k) unwrapped.emplace_back(wrapped_phase_rad[0].grid());
    if (n_echoes > 1) unwrap_in_time(wrapped_phase_rad, magnitude, echo_times_s, mask, unwrapped);
    return unwrapped;
}

}  // namespace qsmpi::phase
