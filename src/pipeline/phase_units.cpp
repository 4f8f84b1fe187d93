// Whether phase is in radians, told by how much of its circle it fills.
#include "phase_units.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/phase/checks.hpp"

namespace qsmpi::pipeline {
namespace {

// Wrapped phase of air or of a coil fills its circle; a smaller part of it speaks of another unit.
constexpr double least_part_of_circle = 0.6;
// An echo that spans less of its circle than the first, beside one that spans the second, but wraps, is in another unit.
constexpr double narrow_part_of_circle = 0.8, wide_part_of_circle = 0.9;
// A step between neighbours of so much of an echo's range is a wrap. Where phase has not wrapped yet, a head has fewer
// than one such step in 50000, however short the echo and however noisy; where it has, or in air, there are far more.
constexpr double wrap_part_of_range = 0.75, fewest_wraps = 5e-4;

Mask with_signal(const VolumeF& phase, const VolumeF* magnitude)
{
    Mask mask(phase.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v)
            mask[v] = phase[v] != 0.0f && (magnitude == nullptr || (*magnitude)[v] > 0.0f) ? 1 : 0;
    });
    return mask;
}

// Phase wraps at the ends of its circle. A masked phase of a short echo may span little, but then it does not wrap.
void refuse_mixed_units(const Chain& chain, const std::vector<float>& spans_rad, std::size_t widest)
{
    const auto part_of_circle = [&](std::size_t e) { return static_cast<double>(spans_rad[e]) / units::two_pi; };
    if (part_of_circle(widest) < wide_part_of_circle) return;
    std::string wrong;
    for (std::size_t e = 0; e < spans_rad.size(); ++e) {
        if (!(spans_rad[e] > 0.0f) || part_of_circle(e) >= narrow_part_of_circle) continue;
        const VolumeF* const magnitude = chain.magnitude.empty() ? nullptr : &chain.magnitude[e];
        const double wraps = phase::steps_beyond(chain.phase_rad[e], with_signal(chain.phase_rad[e], magnitude),
                                                 static_cast<float>(wrap_part_of_range) * spans_rad[e]);
        if (wraps > fewest_wraps)
            wrong += str(wrong.empty() ? "echo " : " | echo ", chain.used_echoes[e], ": the phase wraps, but spans ", spans_rad[e], " rad");
    }
    require(wrong.empty(), str(wrong, ", while echo ", chain.used_echoes[widest],
                               " spans a full circle of 6.28: it is stored in another unit; scale all echoes to radians"));
}

// A masked phase of a short echo may do so, too.
void warn_of_narrow_phase(Chain& chain, float widest_rad)
{
    if (widest_rad <= 0.0f || static_cast<double>(widest_rad) >= least_part_of_circle * units::two_pi) return;
    chain.warn(str("the phase spans ", widest_rad, " rad in all echoes, not a full circle of 6.28: if it was stored in another unit (turns, "
                   "multiples of pi), scale it to radians"));
}

}  // namespace

void check_units(Chain& chain, const std::vector<float>& spans_rad)
{
    const auto widest = static_cast<std::size_t>(std::max_element(spans_rad.begin(), spans_rad.end()) - spans_rad.begin());
    refuse_mixed_units(chain, spans_rad, widest);
    warn_of_narrow_phase(chain, spans_rad[widest]);
}

}  // namespace qsmpi::pipeline
