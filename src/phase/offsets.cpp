#include "qsmpi/phase/offsets.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "alias.hpp"
#include "fast_math.hpp"
#include "offset_common.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/phase/checks.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

/// TE / step between the echoes: what the step is multiplied by to reach TE 0.
double factor_of(std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair)
{
    return echo_times_s[pair[0]] / (echo_times_s[pair[1]] - echo_times_s[pair[0]]);
}

std::array<std::size_t, 2> most_complete_pair(std::span<const VolumeF> magnitude, std::size_t n_echoes)
{
    if (magnitude.empty() || n_echoes == 2) return {0, 1};
    constexpr std::size_t stride = 17;
    std::vector<std::size_t> present(n_echoes, 0);
    for (std::size_t k = 0; k < n_echoes; ++k) {
        for (std::size_t v = 0; v < magnitude[k].size(); v += stride)
            present[k] += pair_weight(magnitude, k, k, v) > 0.0f ? 1 : 0;
    }
    const auto most = static_cast<double>(*std::max_element(present.begin(), present.end()));
    std::vector<std::size_t> complete;
    for (std::size_t k = 0; k < n_echoes; ++k) {
        if (static_cast<double>(present[k]) >= 0.9 * most) complete.push_back(k);
    }
    if (complete.size() < 2) return {0, 1};
    return {complete[0], complete[1]};
}

/// Phase evolution between the echoes of the pair inside the mask, unwrapped, its global number of turns open.
struct Evolution {
    VolumeF theta;
    StepWraps wraps = StepWraps::own;
    double steep_steps = 0.0;
};

Evolution unwrap_evolution(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                           std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair,
                           const Mask& mask)
{
    // A wrong turn of the step turns the offset by 1 / ratio: smoothing outvotes what is far from 0, a third and more.
    constexpr float most_outvoted = 3.0f;
    constexpr double most_steep = 0.01, least_gain = 0.5;
    // From here on the turns that the first echo predicts are drawn by lot.
    constexpr double most_broken = 0.3;
    const auto [first, second] = pair;
    VolumeF difference(mask.grid());
    parallel::for_blocks(difference.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) difference[v] = wrap(phase[second][v] - phase[first][v]);
    });
    const auto unwrapped = [&](const VolumeF& wrapped, std::size_t i_echo) {
        return unwrap_romeo(wrapped, {.magnitude = magnitude.empty() ? nullptr : &magnitude[i_echo], .mask = &mask});
    };
    const auto ratio = static_cast<float>(1.0 / factor_of(echo_times_s, pair));
    Evolution result;
    if (ratio > most_outvoted) result.steep_steps = contradicting_steps(difference, phase[first], ratio, mask);
    if (result.steep_steps > most_steep) {
        VolumeF guide = unwrapped(phase[first], first);
        VolumeF rest(mask.grid());
        parallel::for_blocks(rest.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) rest[v] = wrap(difference[v] - ratio * guide[v]);
        });
        rest = unwrapped(rest, second);
        const double broken = broken_steps(rest, mask);
        // If echo 1 does not help, the steps are noise rather than steep.
        if (broken < least_gain * result.steep_steps)
            result.wraps = broken <= most_broken ? StepWraps::from_first : StepWraps::unknown;
        if (result.wraps == StepWraps::from_first) {
            for (std::size_t v = 0; v < rest.size(); ++v) rest[v] += ratio * guide[v];
            result.theta = std::move(rest);
            return result;
        }
    }
    result.theta = unwrapped(difference, second);
    return result;
}

/// Turns to add to the evolution, as the other echoes tell; 0 if they do not: its median is within half a turn of 0
/// then (a shimmed scanner).
int missing_turns(const VolumeF& theta, std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                  std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair, const Mask& mask)
{
    const auto [first, second] = pair;
    std::vector<double> ratios;
    for (const double t : echo_times_s)
        ratios.push_back((t - echo_times_s[first]) / (echo_times_s[second] - echo_times_s[first]));
    if (!tells_aliases_apart(ratios)) return 0;
    constexpr std::size_t stride = 7;  // some ten thousand voxels are plenty for one number
    const auto evidence =
        parallel::sum_blocks<AliasEvidence>(theta.size(), [&](std::size_t begin, std::size_t end) {
            AliasEvidence e;
            for (std::size_t v = begin; v < end; v += stride) {
                if (!mask[v]) continue;
                for (std::size_t k = 0; k < phase.size(); ++k) {
                    if (k == first || k == second) continue;
                    e.add(k, static_cast<double>(pair_weight(magnitude, k, k, v)),
                          phase[k][v] - phase[first][v] - static_cast<float>(ratios[k]) * theta[v]);
                }
            }
            return e;
        });
    return evidence.best_turns(ratios, 0);
}

}  // namespace

OffsetPlan plan_offset(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                       OffsetMethod method)
{
    require(echo_times_s.size() >= 2,
            str("remove_offset: ", echo_times_s.size(), " echoes given, at least 2 needed"));
    OffsetPlan plan{.method = method, .echoes = most_complete_pair(magnitude, echo_times_s.size())};
    const double m = factor_of(echo_times_s, plan.echoes);
    if (method == OffsetMethod::automatic)
        plan.method = nearly_whole(m) ? OffsetMethod::aspire : OffsetMethod::mcpc3ds;
    require(plan.method != OffsetMethod::aspire || nearly_whole(m),
            str("remove_offset: ASPIRE needs TE / (difference of two echo times) to be a whole number, but it is ",
                m, ": use MCPC-3D-S"));
    return plan;
}

RemovedOffset remove_offset(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                            std::span<const double> echo_times_s, const OffsetOptions& options)
{
    check_offset_input("remove_offset", phase_rad, magnitude, echo_times_s, 2);
    require(options.smoothing_sigma_mm > 0.0,
            str("remove_offset: smoothing ", options.smoothing_sigma_mm, " mm must be positive"));
    const Grid& grid = phase_rad[0].grid();

    const OffsetPlan plan = plan_offset(magnitude, echo_times_s, options.method);
    const auto [first, second] = plan.echoes;
    const double m = factor_of(echo_times_s, plan.echoes);

    // phi_1 - m (phi_2 - phi_1) is the phase at TE 0. With whole m (ASPIRE) wraps of the difference do not
    // matter; otherwise each wrong turn would enter m times, so only the largest connected part of the signal
    // is trusted.
    std::optional<Mask> mask;
    Evolution evolution;
    const bool whole = plan.method == OffsetMethod::aspire;
    if (!whole) {
        mask = signal_mask(phase_rad, magnitude, first, second);
        evolution = unwrap_evolution(phase_rad, magnitude, echo_times_s, plan.echoes, *mask);
        const int turns = missing_turns(evolution.theta, phase_rad, magnitude, echo_times_s, plan.echoes, *mask);
        if (turns != 0) {
            for (float& t : evolution.theta) t += two_pi_f * static_cast<float>(turns);
        }
    }
    const auto factor = static_cast<float>(whole ? std::round(m) : m);
    VolumeF real(grid), imaginary(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float step = whole ? phase_rad[second][v] - phase_rad[first][v] : evolution.theta[v];
            const float offset = phase_rad[first][v] - factor * step;
            const bool used = std::isfinite(offset) && (whole || (*mask)[v] != 0);
            const float weight = used ? pair_weight(magnitude, first, second, v) : 0.0f;
            const auto [sine, cosine] = sin_cos(offset);
            real[v] = used ? weight * cosine : 0.0f;
            imaginary[v] = used ? weight * sine : 0.0f;
        }
    });
    evolution.theta = VolumeF();
    VolumeF offset = smoothed_argument(real, imaginary, options.smoothing_sigma_mm);
    for (VolumeF& phase : phase_rad) {
        parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) phase[v] = wrap_half_open(phase[v] - offset[v]);
        });
    }
    return {std::move(offset), evolution.wraps, evolution.steep_steps};
}

}  // namespace qsmpi::phase
