#include <algorithm>
#include <cmath>

#include "alias.hpp"
#include "echo_time.hpp"
#include "offset_common.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "romeo_volume.hpp"

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

void check(const char* who, std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
           std::span<const double> echo_times_s)
{
    require(!phase.empty(), str(who, ": no echo given"));
    check_rising_echoes(who, phase, magnitude, echo_times_s, 1);
}

/// Times of all echoes as multiples of that of echo i.
std::vector<double> ratios_to(std::span<const double> echo_times_s, std::size_t i_echo)
{
    std::vector<double> ratios;
    for (const double t : echo_times_s) ratios.push_back(t / echo_times_s[i_echo]);
    return ratios;
}

/// Turns to add to a region of echo `i_template`, unwrapped in space, as the other echoes want it.
int template_shift(const Region& region, const VolumeF& unwrapped, std::span<const VolumeF> phase,
                   std::span<const VolumeF> magnitude, std::span<const double> ratios, std::size_t i_template)
{
    const bool ambiguous = !tells_aliases_apart(ratios);
    const auto add = [&](std::size_t v, TemplateEvidence& e) {
        e.turns.add(unwrapped[v]);
        if (ambiguous) return;
        for (std::size_t k = 0; k < phase.size(); ++k) {
            if (k == i_template) continue;
            const double m = magnitude.empty() ? 1.0 : static_cast<double>(magnitude[k][v]);
            e.aliases.add(k, m * m, phase[k][v] - static_cast<float>(ratios[k]) * unwrapped[v]);
        }
    };
    const auto evidence = sum_region<TemplateEvidence>(region, unwrapped.size(), evidence_stride, add);
    const int centre = -evidence.turns.median();
    return ambiguous ? centre : evidence.aliases.best_turns(ratios, centre);
}

/// Echo i for ROMEO, with another one for the temporal term.
RomeoInput input_of(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                    std::span<const double> echo_times_s, const Mask* mask, std::size_t i_echo,
                    std::size_t second)
{
    RomeoInput input{.magnitude = magnitude.empty() ? nullptr : &magnitude[i_echo], .mask = mask};
    if (phase.size() > 1) {
        input.second_phase_rad = &phase[second];
        input.echo_time_s = echo_times_s[i_echo];
        input.second_echo_time_s = echo_times_s[second];
    }
    return input;
}

}  // namespace

std::size_t romeo_template_echo(std::span<const VolumeF> wrapped_phase_rad, std::span<const VolumeF> magnitude,
                                const Mask* mask)
{
    const std::vector<std::size_t> present =
        EchoesInTime(wrapped_phase_rad, magnitude, {}, mask).count_present();
    const auto most = std::max_element(present.begin(), present.end());
    const bool complete = 100 * (*most - present[0]) <= *most;
    return complete ? 0 : static_cast<std::size_t>(most - present.begin());
}

std::vector<VolumeF> unwrap_romeo_template(std::span<const VolumeF> wrapped_phase_rad,
                                           std::span<const VolumeF> magnitude,
                                           std::span<const double> echo_times_s, const Mask* mask)
{
    check("unwrap_romeo_template", wrapped_phase_rad, magnitude, echo_times_s);
    const EchoesInTime echoes(wrapped_phase_rad, magnitude, echo_times_s, mask);
    const std::size_t i_template = romeo_template_echo(wrapped_phase_rad, magnitude, mask);
    // Not the echo before: what makes it no template would spoil the temporal term.
    const std::size_t second = i_template + 1 < wrapped_phase_rad.size() ? i_template + 1 : i_template - 1;
    const Mask without_gaps = echoes.without_gaps(i_template);
    const Mask* const domain = without_gaps.empty() ? mask : &without_gaps;

    const std::vector<double> ratios = ratios_to(echo_times_s, i_template);
    std::vector<VolumeF> unwrapped(wrapped_phase_rad.size());
    unwrapped[i_template] = unwrap_regions(
        wrapped_phase_rad[i_template],
        input_of(wrapped_phase_rad, magnitude, echo_times_s, domain, i_template, second),
        [&](const Region& region, const VolumeF& so_far) {
            return template_shift(region, so_far, wrapped_phase_rad, magnitude, ratios, i_template);
        });
    if (unwrapped.size() == 1) return unwrapped;
    for (VolumeF& u : unwrapped) {
        if (u.empty()) u = VolumeF(wrapped_phase_rad[0].grid());
    }
    echoes.unwrap_from(i_template, domain, unwrapped);
    if (!without_gaps.empty()) echoes.grow_into_gaps(without_gaps, unwrapped);
    return unwrapped;
}

std::vector<VolumeF> unwrap_romeo_individual(std::span<const VolumeF> wrapped_phase_rad,
                                             std::span<const VolumeF> magnitude,
                                             std::span<const double> echo_times_s, const Mask* mask)
{
    check("unwrap_romeo_individual", wrapped_phase_rad, magnitude, echo_times_s);
    const EchoesInTime echoes(wrapped_phase_rad, magnitude, echo_times_s, mask);
    const std::vector<double> ratios = ratios_to(echo_times_s, 0);
    std::vector<VolumeF> unwrapped;
    for (std::size_t k = 0; k < wrapped_phase_rad.size(); ++k) {
        const auto shift_of = [&](const Region& region, const VolumeF& so_far) {
            if (k == 0) return template_shift(region, so_far, wrapped_phase_rad, magnitude, ratios, 0);
            const auto missing_turns = [&](std::size_t v, TurnCounts& turns) {
                turns.add(echoes.expected_phase(unwrapped, k, v) - so_far[v]);
            };
            return sum_region<TurnCounts>(region, so_far.size(), evidence_stride, missing_turns).median();
        };
        const RomeoInput input =
            input_of(wrapped_phase_rad, magnitude, echo_times_s, mask, k, k == 0 ? 1 : k - 1);
        unwrapped.push_back(unwrap_regions(wrapped_phase_rad[k], input, shift_of));
    }
    return unwrapped;
}

}  // namespace qsmpi::phase
