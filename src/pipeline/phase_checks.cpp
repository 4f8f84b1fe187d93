// Scans that are not what they should be: found here, named, and used as far as they go.
#include "phase_checks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "geometry_checks.hpp"
#include "phase_units.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "qsmpi/phase/checks.hpp"

namespace qsmpi::pipeline {
namespace {

// A phase of exactly 0 among so many others (of 6 neighbours) is no measurement; the corner of a block has three.
constexpr int zeros_around_a_gap = 3;
// A part of an echo that is missing is worth a warning from here on, as a part of the voxels that other echoes have.
constexpr double missing_worth_a_word = 0.001;
// Coherence (phase/checks.hpp): below the first there is nothing but noise, below the second little else.
constexpr double noise_coherence = 0.25;
constexpr double poor_coherence = 0.7;
constexpr double most_negative = 0.01;
// What phase of air has many of (phase/checks.hpp), and a magnitude next to none.
constexpr double teeth_of_phase = 0.01;
// A smaller part than this of the largest object is a speck, not an object.
constexpr double smallest_object = 0.02;
constexpr double most_broken_steps = 0.005;
// Echoes that share more of their phase values than this are one echo.
constexpr double most_equal_values = 0.9;
// As few voxels as this do not set the scale of an image, and none is brighter than the others by more than the factor.
constexpr std::size_t few_bright_voxels = 50;
constexpr float brightest_factor = 8.0f;

struct EchoCounts {
    std::size_t n = 0, negative = 0, bright = 0;
    float low = std::numeric_limits<float>::infinity(), high = -std::numeric_limits<float>::infinity();
    EchoCounts& operator+=(const EchoCounts& o)
    {
        n += o.n;
        negative += o.negative;
        bright += o.bright;
        low = std::min(low, o.low);
        high = std::max(high, o.high);
        return *this;
    }
};

// Voxels with signal are "bright": without magnitude all are.
EchoCounts count(const VolumeF& phase, const VolumeF* magnitude)
{
    return parallel::sum_blocks<EchoCounts>(phase.size(), [&](std::size_t begin, std::size_t end) {
        EchoCounts c;
        c.n = end - begin;
        for (std::size_t i = begin; i < end; ++i) {
            const float m = magnitude == nullptr ? 1.0f : (*magnitude)[i];
            c.negative += m < 0.0f ? 1 : 0;
            if (!(m > 0.0f)) continue;
            ++c.bright;
            c.low = std::min(c.low, phase[i]);
            c.high = std::max(c.high, phase[i]);
        }
        return c;
    });
}

std::string percent(double part) { return str(std::round(1000.0 * part) / 10.0, " %"); }

const VolumeF* magnitude_of(const Chain& chain, std::size_t e)
{
    return chain.magnitude.empty() ? nullptr : &chain.magnitude[e];
}

void refuse_exchanged(const Chain& chain, const std::vector<EchoCounts>& counts)
{
    if (chain.magnitude.empty()) return;
    constexpr const char* remedy = "exchange part-mag and part-phase, or give the magnitude as it is";
    for (std::size_t e = 0; e < counts.size(); ++e) {
        const double negative = static_cast<double>(counts[e].negative) / static_cast<double>(counts[e].n);
        require(negative <= most_negative,
                str("echo ", chain.used_echoes[e], ": the magnitude is negative in ", percent(negative),
                    " of the voxels, as phase is: ", remedy));
    }
    const double of_magnitude = phase::teeth(chain.magnitude.front()), of_phase = phase::teeth(chain.phase_rad.front());
    require(of_magnitude < teeth_of_phase || of_magnitude < 3.0 * of_phase,
            str("echo ", chain.used_echoes.front(), ": the magnitude is at random between both ends of its range in air, as "
                "phase is (", percent(of_magnitude), " of its voxels stick out), and the phase is not (", percent(of_phase),
                "): ", remedy));
}

// A power of two that at most a few voxels exceed by more than the factor; infinity if so few have signal.
float brightest(const VolumeF& magnitude)
{
    using Limits = std::numeric_limits<float>;
    struct Exponents {
        std::array<std::size_t, Limits::max_exponent - Limits::min_exponent + 1> n{};
        Exponents& operator+=(const Exponents& o)
        {
            for (std::size_t k = 0; k < n.size(); ++k) n[k] += o.n[k];
            return *this;
        }
    };
    const auto exponents = parallel::sum_blocks<Exponents>(magnitude.size(), [&](std::size_t begin, std::size_t end) {
        Exponents e;
        for (std::size_t i = begin; i < end; ++i) {
            if (!(magnitude[i] > 0.0f) || !std::isfinite(magnitude[i])) continue;
            int exponent = 0;
            static_cast<void>(std::frexp(magnitude[i], &exponent));
            ++e.n[static_cast<std::size_t>(std::max(exponent - Limits::min_exponent, 0))];
        }
        return e;
    });
    std::size_t above = 0;
    for (std::size_t k = exponents.n.size(); k-- > 0;) {
        above += exponents.n[k];
        if (above >= few_bright_voxels) return std::ldexp(brightest_factor, static_cast<int>(k) + Limits::min_exponent);
    }
    return Limits::infinity();
}

// A spike would outweigh all that is smoothed together with it.
void limit_spikes(Chain& chain)
{
    for (std::size_t e = 0; e < chain.magnitude.size(); ++e) {
        VolumeF& magnitude = chain.magnitude[e];
        const float limit = brightest(magnitude);
        const auto spikes = parallel::sum_blocks<std::size_t>(magnitude.size(), [&](std::size_t begin, std::size_t end) {
            std::size_t n = 0;
            for (std::size_t i = begin; i < end; ++i) {
                if (!(magnitude[i] > limit)) continue;
                magnitude[i] = limit;
                ++n;
            }
            return n;
        });
        if (spikes > 0)
            chain.warn(str("echo ", chain.used_echoes[e], ": ", spikes, spikes == 1 ? " voxel is" : " voxels are",
                           " many times as bright as all others in magnitude: taken as ", limit));
    }
}

void refuse_copies(const Chain& chain)
{
    struct Share {
        std::size_t equal = 0, n = 0;
        Share& operator+=(const Share& o)
        {
            equal += o.equal;
            n += o.n;
            return *this;
        }
    };
    for (std::size_t e = 1; e < chain.phase_rad.size(); ++e) {
        const VolumeF &before = chain.phase_rad[e - 1], &phase = chain.phase_rad[e];
        const auto share = parallel::sum_blocks<Share>(phase.size(), [&](std::size_t begin, std::size_t end) {
            Share s;
            for (std::size_t i = begin; i < end; ++i) {
                if (phase[i] == 0.0f && before[i] == 0.0f) continue;
                s.equal += phase[i] == before[i] ? 1 : 0;
                ++s.n;
            }
            return s;
        });
        require(share.n == 0 || static_cast<double>(share.equal) <= most_equal_values * static_cast<double>(share.n),
                str("echoes ", chain.used_echoes[e - 1], " and ", chain.used_echoes[e], ": ",
                    percent(static_cast<double>(share.equal) / static_cast<double>(share.n)),
                    " of the phase values are the same, but their echo times are not: give each echo its own image"));
    }
}

// Where a phase is exactly 0 like its neighbours, it was not measured: no weight.
void mark_missing(Chain& chain, std::vector<EchoCounts>& counts)
{
    const bool has_magnitude = !chain.magnitude.empty();
    for (std::size_t e = 0; e < counts.size(); ++e) {
        const VolumeF& phase = chain.phase_rad[e];
        const auto gaps = parallel::sum_blocks<std::size_t>(phase.size(), [&](std::size_t begin, std::size_t end) {
            std::size_t n = 0;
            for (std::size_t v = begin; v < end; ++v)
                n += is_gap(phase, v) && (!has_magnitude || chain.magnitude[e][v] > 0.0f) ? 1 : 0;
            return n;
        });
        if (gaps == 0) continue;
        while (chain.magnitude.size() < counts.size()) chain.magnitude.emplace_back(chain.grid(), 1.0f);
        VolumeF& magnitude = chain.magnitude[e];
        parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v)
                if (is_gap(phase, v)) magnitude[v] = 0.0f;
        });
        counts[e].bright -= gaps;
    }
}

void warn_of_missing_parts(Chain& chain)
{
    if (chain.magnitude.size() < 2) return;
    const std::size_t n_echoes = chain.magnitude.size();
    struct Missing {
        std::vector<std::size_t> n;
        std::size_t any = 0;
        Missing& operator+=(const Missing& o)
        {
            n.resize(std::max(n.size(), o.n.size()));
            for (std::size_t e = 0; e < o.n.size(); ++e) n[e] += o.n[e];
            any += o.any;
            return *this;
        }
    };
    const auto missing = parallel::sum_blocks<Missing>(chain.grid().size(), [&](std::size_t begin, std::size_t end) {
        Missing c{std::vector<std::size_t>(n_echoes, 0)};
        for (std::size_t i = begin; i < end; ++i) {
            bool any = false;
            for (const VolumeF& m : chain.magnitude) any = any || m[i] > 0.0f;
            if (!any) continue;
            ++c.any;
            for (std::size_t e = 0; e < n_echoes; ++e) c.n[e] += chain.magnitude[e][i] > 0.0f ? 0 : 1;
        }
        return c;
    });
    for (std::size_t e = 0; e < n_echoes && missing.any > 0; ++e) {
        const double part = static_cast<double>(missing.n[e]) / static_cast<double>(missing.any);
        if (part > missing_worth_a_word)
            chain.warn(str("echo ", chain.used_echoes[e], " is missing in ", percent(part),
                           " of the voxels (NaN, or exactly 0): ",
                           n_echoes > 2 ? "the other echoes speak for them"
                                        : "the other echo speaks for them, with a coil phase guessed from around; a mask "
                                          "without them keeps its error out of the map"));
    }
}

void take_out(Chain& chain, std::size_t e, const std::string& why)
{
    require(!chain.spec.options.per_echo, str("echo ", chain.used_echoes[e], " ", why,
                                              ", so it has no map of its own: leave it out, or switch per_echo off"));
    chain.warn(str("echo ", chain.used_echoes[e], " ", why, ": it gets no weight"));
    const auto at = static_cast<std::ptrdiff_t>(e);
    chain.phase_rad.erase(chain.phase_rad.begin() + at);
    if (!chain.magnitude.empty()) chain.magnitude.erase(chain.magnitude.begin() + at);
    chain.used_times_s.erase(chain.used_times_s.begin() + at);
    chain.used_echoes.erase(chain.used_echoes.begin() + at);
}

void take_out_empty_echoes(Chain& chain, const std::vector<EchoCounts>& counts)
{
    for (std::size_t e = counts.size(); e-- > 0;) {
        const bool no_signal = counts[e].bright == 0, no_phase = !(counts[e].low < counts[e].high);
        if (!no_signal && !no_phase) continue;
        const char* why = no_signal ? "holds no signal (zeros)" : "has the same phase everywhere";
        require(chain.phase_rad.size() > 1, str("no echo is left: echo ", chain.used_echoes[e], " ", why,
                                                "; convert the images again"));
        take_out(chain, e, why);
    }
}

void take_out_noise(Chain& chain)
{
    std::vector<phase::Coherence> found;
    nlohmann::json noted = nlohmann::json::array();
    for (std::size_t e = 0; e < chain.phase_rad.size(); ++e) {
        found.push_back(phase::coherence(chain.phase_rad[e], magnitude_of(chain, e)));
        noted.push_back(std::round(1000.0 * found.back().best) / 1000.0);
    }
    chain.note("phase_coherence", std::move(noted));
    const auto is_noise = [&](const phase::Coherence& c) { return c.best < noise_coherence; };
    require(!std::all_of(found.begin(), found.end(), is_noise),
            str("phase is noise: neighbouring voxels share nothing in any echo (coherence ", found.front().best,
                ", signal has above ", noise_coherence,
                "); check that the files named part-phase hold the phase of this scan, not of another or a filtered one"));
    // Bottom up, so that indices stay. What is weak in magnitude does no harm and may serve its voxels.
    for (std::size_t e = found.size(); e-- > 0;) {
        if (is_noise(found[e])) take_out(chain, e, "has phase that is noise");
        else if (found[e].mean < poor_coherence && !chain.magnitude.empty())
            chain.warn(str("echo ", chain.used_echoes[e], ": the phase is noisy (coherence ",
                           std::round(100.0 * found[e].mean) / 100.0, "; a signal-to-noise ratio of 3 has 0.8)"));
    }
}

}  // namespace

bool is_gap(const VolumeF& values, std::size_t v)
{
    if (values[v] != 0.0f) return false;
    const Dims& d = values.dims();
    const std::size_t x = v % d.nx, y = v / d.nx % d.ny, z = v / (d.nx * d.ny), slice = d.nx * d.ny;
    int zeros = 0;
    if (x > 0) zeros += values[v - 1] == 0.0f ? 1 : 0;
    if (x + 1 < d.nx) zeros += values[v + 1] == 0.0f ? 1 : 0;
    if (y > 0) zeros += values[v - d.nx] == 0.0f ? 1 : 0;
    if (y + 1 < d.ny) zeros += values[v + d.nx] == 0.0f ? 1 : 0;
    if (z > 0) zeros += values[v - slice] == 0.0f ? 1 : 0;
    if (z + 1 < d.nz) zeros += values[v + slice] == 0.0f ? 1 : 0;
    return zeros >= (d.nz > 1 ? zeros_around_a_gap : zeros_around_a_gap - 1);
}

void check_echoes(Chain& chain)
{
    std::vector<EchoCounts> counts;
    for (std::size_t e = 0; e < chain.phase_rad.size(); ++e)
        counts.push_back(count(chain.phase_rad[e], magnitude_of(chain, e)));
    refuse_exchanged(chain, counts);
    refuse_copies(chain);
    limit_spikes(chain);
    std::vector<float> spans_rad;
    for (const EchoCounts& c : counts) spans_rad.push_back(c.high - c.low);
    check_units(chain, spans_rad);
    mark_missing(chain, counts);
    take_out_empty_echoes(chain, counts);
    take_out_noise(chain);
    warn_of_missing_parts(chain);
    warn_of_geometry(chain);
}

void warn_of_steep_steps(Chain& chain, std::size_t first, std::size_t second, const phase::RemovedOffset& removed)
{
    if (removed.wraps == phase::StepWraps::own) return;
    const std::string remedy = removed.wraps == phase::StepWraps::from_first
                                   ? str("its wraps are those that echo ", chain.used_echoes[first],
                                         " predicts; echoes closer in time tell more")
                                   : str("its wraps are in doubt, and so is the map; leave out the echoes after echo ",
                                         chain.used_echoes[first]);
    chain.warn(str("between echoes ", chain.used_echoes[first], " and ", chain.used_echoes[second], ", ",
                   std::round(1e4 * (chain.used_times_s[second] - chain.used_times_s[first])) / 10.0,
                   " ms apart, the phase changes by more than half a turn from voxel to voxel in ",
                   percent(removed.steep_steps), " of the steps: ", remedy));
}

void warn_of_implausible_field(Chain& chain, const VolumeF& field_ppm, const Mask& mask, double usual_ppm)
{
    const double std_ppm = numerics::std_inside(field_ppm, mask);
    if (std_ppm > usual_ppm)
        chain.warn(str("the field varies by ", std_ppm, " ppm (standard deviation in the mask); in tissue it stays below ", usual_ppm,
                       ": if it is in Hz, divide it by ", units::hz_per_ppm(chain.spec.acquisition.b0_tesla), " Hz/ppm"));
}

void check_unwrapped(Chain& chain)
{
    if (chain.domain.empty()) return;
    std::vector<std::size_t> sizes = numerics::label_components(chain.domain).sizes;
    if (sizes.size() > 2) {
        std::sort(sizes.begin() + 1, sizes.end(), std::greater<>());
        const auto objects = std::count_if(sizes.begin() + 1, sizes.end(), [&](std::size_t n) {
            return static_cast<double>(n) >= smallest_object * static_cast<double>(sizes[1]);
        });
        chain.note("separate_objects", objects);
        if (objects > 1 && chain.used_times_s.size() == 1)
            chain.warn(str(objects, " separate objects and one echo: their fields are known only apart from each "
                                    "other, up to multiples of 1/TE = ", std::round(1.0 / chain.used_times_s.front()), " Hz"));
    }

    // Steps count where there is signal, not in the margin.
    if (!chain.magnitude_rss) return;
    Mask bright = mask::robust_threshold(*chain.magnitude_rss);
    const VolumeF& first_magnitude = chain.magnitude.front();
    for (std::size_t i = 0; i < bright.size(); ++i)
        if (chain.domain[i] == 0 || !(first_magnitude[i] > 0.0f)) bright[i] = 0;
    const double broken = phase::broken_steps(chain.phase_rad.front(), bright);
    chain.note("broken_steps", broken);
    if (broken > most_broken_steps)
        chain.warn(str("phase changes by more than half a turn between neighbours in ", percent(broken), " of the steps at TE ",
                       1000.0 * chain.used_times_s.front(),
                       " ms: unwrapping cannot be right there; use a shorter ", chain.used_times_s.size() == 1 ? "echo time" : "first echo",
                       " or smaller voxels"));
}

}  // namespace qsmpi::pipeline
