#include "qsmpi/phase/offsets.hpp"

#include <cmath>
#include <optional>
#include <utility>

#include "alias.hpp"
#include "offset_common.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

/// Phase evolution from echo 1 to echo 2, unwrapped inside the mask; its global number of turns follows from
/// the later echoes if they tell, else it is the one with the median within half a turn of 0 (a shimmed
/// scanner).
VolumeF unwrapped_evolution(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                            std::span<const double> echo_times_s, const Mask& mask)
{
    const Grid& grid = phase[0].grid();
    VolumeF difference(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) difference[v] = wrap(phase[1][v] - phase[0][v]);
    });
    VolumeF theta =
        unwrap_romeo(difference, {.magnitude = magnitude.empty() ? nullptr : &magnitude[1], .mask = &mask});

    std::vector<double> ratios;
    for (const double t : echo_times_s)
        ratios.push_back((t - echo_times_s[0]) / (echo_times_s[1] - echo_times_s[0]));
    if (!tells_aliases_apart(ratios)) return theta;
    constexpr std::size_t stride = 7;  // some ten thousand voxels are plenty for one number
    const auto evidence =
        parallel::sum_blocks<AliasEvidence>(grid.size(), [&](std::size_t begin, std::size_t end) {
            AliasEvidence e;
            for (std::size_t v = begin; v < end; v += stride) {
                if (!mask[v]) continue;
                for (std::size_t k = 2; k < phase.size(); ++k) {
                    e.add(k, static_cast<double>(pair_weight(magnitude, k, k, v)),
                          phase[k][v] - phase[0][v] - static_cast<float>(ratios[k]) * theta[v]);
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

VolumeF remove_offset(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                      std::span<const double> echo_times_s, const OffsetOptions& options)
{
    check_offset_input("remove_offset", phase_rad, magnitude, echo_times_s, 2);
    require(options.smoothing_sigma_mm > 0.0,
            str("remove_offset: smoothing ", options.smoothing_sigma_mm, " mm must be positive"));
    const Grid& grid = phase_rad[0].grid();
    const double m = echo_times_s[0] / (echo_times_s[1] - echo_times_s[0]);

    // phi_1 - m (phi_2 - phi_1) is the phase at TE 0. With whole m (ASPIRE) wraps of the difference do not
    // matter; otherwise each wrong turn would enter m times, so only the largest connected part of the signal
    // is trusted.
    std::optional<Mask> mask;
    VolumeF evolution;
    const bool whole = nearly_whole(m);
    if (!whole) {
        mask = signal_mask(phase_rad, magnitude, 0, 1);
        evolution = unwrapped_evolution(phase_rad, magnitude, echo_times_s, *mask);
    }
    const auto factor = static_cast<float>(whole ? std::round(m) : m);
    VolumeF real(grid), imaginary(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float step = whole ? phase_rad[1][v] - phase_rad[0][v] : evolution[v];
            const float offset = phase_rad[0][v] - factor * step;
            const bool used = std::isfinite(offset) && (whole || (*mask)[v] != 0);
            const float weight = used ? pair_weight(magnitude, 0, 1, v) : 0.0f;
            real[v] = used ? weight * std::cos(offset) : 0.0f;
            imaginary[v] = used ? weight * std::sin(offset) : 0.0f;
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
