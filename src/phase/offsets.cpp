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

/// Phase evolution between the echoes of the pair, unwrapped inside the mask; its global number of turns
/// follows from the other echoes if they tell, else it is the one with the median within half a turn of 0 (a
/// shimmed scanner).
VolumeF unwrapped_evolution(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                            std::span<const double> echo_times_s, const std::array<std::size_t, 2>& pair,
                            const Mask& mask)
{
    const Grid& grid = phase[0].grid();
    const auto [first, second] = pair;
    VolumeF difference(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) difference[v] = wrap(phase[second][v] - phase[first][v]);
    });
    VolumeF theta = unwrap_romeo(
        difference, {.magnitude = magnitude.empty() ? nullptr : &magnitude[second], .mask = &mask});

    std::vector<double> ratios;
    for (const double t : echo_times_s)
        ratios.push_back((t - echo_times_s[first]) / (echo_times_s[second] - echo_times_s[first]));
    if (!tells_aliases_apart(ratios)) return theta;
    constexpr std::size_t stride = 7;  // some ten thousand voxels are plenty for one number
    const auto evidence =
        parallel::sum_blocks<AliasEvidence>(grid.size(), [&](std::size_t begin, std::size_t end) {
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
    const int turns = evidence.best_turns(ratios, 0);
    if (turns != 0) {
        for (float& t : theta) t += two_pi_f * static_cast<float>(turns);
    }
    return theta;
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

VolumeF remove_offset(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
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
    VolumeF evolution;
    const bool whole = plan.method == OffsetMethod::aspire;
    if (!whole) {
        mask = signal_mask(phase_rad, magnitude, first, second);
        evolution = unwrapped_evolution(phase_rad, magnitude, echo_times_s, plan.echoes, *mask);
    }
    const auto factor = static_cast<float>(whole ? std::round(m) : m);
    VolumeF real(grid), imaginary(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float step = whole ? phase_rad[second][v] - phase_rad[first][v] : evolution[v];
            const float offset = phase_rad[first][v] - factor * step;
            const bool used = std::isfinite(offset) && (whole || (*mask)[v] != 0);
            const float weight = used ? pair_weight(magnitude, first, second, v) : 0.0f;
            const auto [sine, cosine] = sin_cos(offset);
            real[v] = used ? weight * cosine : 0.0f;
            imaginary[v] = used ? weight * sine : 0.0f;
        }
    });
    evolution = VolumeF();
    VolumeF offset = smoothed_argument(real, imaginary, options.smoothing_sigma_mm);
    for (VolumeF& phase : phase_rad) {
        parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) phase[v] = wrap_half_open(phase[v] - offset[v]);
        });
    }
    return offset;
}

}  // namespace qsmpi::phase
