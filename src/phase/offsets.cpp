#include "qsmpi/phase/offsets.hpp"

#include <algorithm>
#include <cmath>
#include <complex>
#include <map>
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

/// Phasor of the offset that two echoes tell, weighted by the product of their magnitudes; 0 where they do not.
struct OffsetPhasor {
    VolumeF real, imaginary;
    StepWraps wraps = StepWraps::own;
    double steep_steps = 0.0;
};

/// phi_1 - m (phi_2 - phi_1) is the phase at TE 0. With whole m (ASPIRE) wraps of the difference do not matter;
/// otherwise each wrong turn would enter m times, so only the largest connected part of the signal is trusted.
OffsetPhasor offset_phasor(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                           std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair,
                           OffsetMethod method)
{
    const Grid& grid = phase[0].grid();
    const auto [first, second] = pair;
    const double m = factor_of(echo_times_s, pair);
    const bool whole = method == OffsetMethod::aspire && nearly_whole(m);
    std::optional<Mask> mask;
    Evolution evolution;
    if (!whole) {
        mask = signal_mask(phase, magnitude, first, second);
        evolution = unwrap_evolution(phase, magnitude, echo_times_s, pair, *mask);
        const int turns = missing_turns(evolution.theta, phase, magnitude, echo_times_s, pair, *mask);
        if (turns != 0) {
            for (float& t : evolution.theta) t += two_pi_f * static_cast<float>(turns);
        }
    }
    const auto factor = static_cast<float>(whole ? std::round(m) : m);
    OffsetPhasor phasor{VolumeF(grid), VolumeF(grid), evolution.wraps, evolution.steep_steps};
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float step = whole ? phase[second][v] - phase[first][v] : evolution.theta[v];
            const float offset = phase[first][v] - factor * step;
            const bool used = std::isfinite(offset) && (whole || (*mask)[v] != 0);
            const float weight = used ? pair_weight(magnitude, first, second, v) : 0.0f;
            const auto [sine, cosine] = sin_cos(offset);
            phasor.real[v] = used ? weight * cosine : 0.0f;
            phasor.imaginary[v] = used ? weight * sine : 0.0f;
        }
    });
    return phasor;
}

/// The first two echoes that are present at a voxel; nothing if fewer are.
std::optional<std::array<std::size_t, 2>> first_present(std::span<const VolumeF> magnitude, std::size_t v)
{
    std::optional<std::size_t> first;
    for (std::size_t k = 0; k < magnitude.size(); ++k) {
        if (!(pair_weight(magnitude, k, k, v) > 0.0f)) continue;
        if (first) return std::array{*first, k};
        first = k;
    }
    return std::nullopt;
}

/// Where one of the pair is missing, the first two echoes that are present tell the offset. What the pair and they
/// make of the other voxels differs by a constant, whole turns of a step times a factor, that is taken out.
void fill_from_other_pairs(OffsetPhasor& phasor, std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                           std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair,
                           OffsetMethod method)
{
    constexpr double least_part = 0.001;  // fewer voxels are left to smoothing
    const auto missing = [&](std::size_t v) { return !(pair_weight(magnitude, pair[0], pair[1], v) > 0.0f); };
    const std::size_t n = phasor.real.size();
    std::map<std::array<std::size_t, 2>, std::vector<std::size_t>> gaps;
    for (std::size_t v = 0; v < n; ++v) {
        if (!missing(v)) continue;
        if (const auto other = first_present(magnitude, v)) gaps[*other].push_back(v);
    }
    for (auto& [other, voxels] : gaps) {
        const float threshold = signal_threshold(magnitude, other[0], other[1]);
        std::erase_if(voxels, [&](std::size_t v) { return !(pair_weight(magnitude, other[0], other[1], v) > threshold); });
        if (static_cast<double>(voxels.size()) < least_part * static_cast<double>(n)) continue;
        const OffsetPhasor more = offset_phasor(phase, magnitude, echo_times_s, other, method);
        const auto between = parallel::sum_blocks<std::complex<double>>(n, [&](std::size_t begin, std::size_t end) {
            std::complex<double> sum;
            for (std::size_t v = begin; v < end; ++v) {
                if (missing(v)) continue;
                sum += std::complex<double>(std::complex<float>(phasor.real[v], phasor.imaginary[v]) *
                                            std::complex<float>(more.real[v], -more.imaginary[v]));
            }
            return sum;
        });
        const std::complex<float> turn(std::polar(1.0, std::arg(between)));
        for (const std::size_t v : voxels) {
            const std::complex<float> turned = turn * std::complex<float>(more.real[v], more.imaginary[v]);
            phasor.real[v] = turned.real();
            phasor.imaginary[v] = turned.imag();
        }
    }
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
    check_rising_echoes("remove_offset", phase_rad, magnitude, echo_times_s, 2);
    require(options.smoothing_sigma_mm > 0.0,
            str("remove_offset: smoothing ", options.smoothing_sigma_mm, " mm must be positive"));
    const OffsetPlan plan = plan_offset(magnitude, echo_times_s, options.method);
    OffsetPhasor phasor = offset_phasor(phase_rad, magnitude, echo_times_s, plan.echoes, plan.method);
    fill_from_other_pairs(phasor, phase_rad, magnitude, echo_times_s, plan.echoes, plan.method);
    VolumeF offset = smoothed_argument(phasor.real, phasor.imaginary, options.smoothing_sigma_mm);
    for (VolumeF& phase : phase_rad) {
        parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) phase[v] = wrap_half_open(phase[v] - offset[v]);
        });
    }
    return {std::move(offset), phasor.wraps, phasor.steep_steps};
}

}  // namespace qsmpi::phase
