#include "phase_scaling.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/units.hpp"

namespace qsmpi::io
{

namespace
{

using units::pi;
using units::two_pi;

const char* const remedy =
    "say \"Units\": \"rad\" in the sidecar if it is, or choose --phase-units rad | siemens | "
    "siemens-unsigned | milliradian | "
    "degree | minmax";

/// Of a turn, that wrapped integers of a whole image span: less speaks of another unit.
constexpr double least_part_of_turn = 0.9;

/// One way to store a turn: [low, high] are -pi and pi (or 0 and 2 pi), radians = slope * value + intercept.
struct Convention {
    const char* name;
    double low, high;  ///< values of a full turn
    double tolerance;  ///< by which the ends may be missed: quantisation, and noise that never reaches them
    double slope, intercept;
};
constexpr std::array<Convention, 5> conventions{{
    {"rad", -pi, pi, 0.02, 1.0, 0.0},
    {"rad", 0.0, two_pi, 0.02, 1.0, 0.0},
    {"milliradian", -1000.0 * pi, 1000.0 * pi, 5.0, 1e-3, 0.0},
    {"siemens", -4096.0, 4095.0, 4.0, pi / 4096.0, 0.0},
    {"siemens-unsigned", 0.0, 4095.0, 4.0, pi / 2048.0, -pi},
}};

std::string lower(std::string text)
{
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

PhaseScaling make(std::string convention, double slope, double intercept, std::string reason,
                  bool assumed = false)
{
    return {slope, intercept, std::move(reason), assumed, std::move(convention), true};
}

PhaseScaling open_question(std::string convention, std::string reason)
{
    return {1.0, 0.0, std::move(reason), false, std::move(convention), false};
}

/// Slope and intercept of a name that needs no values.
std::optional<PhaseScaling> fixed(const std::string& name, std::string reason)
{
    if (name == "degree") return make(name, pi / 180.0, 0.0, std::move(reason));
    for (const Convention& c : conventions) {
        if (name == c.name) return make(name, c.slope, c.intercept, std::move(reason));
    }
    return std::nullopt;
}

/// What Units says, or nothing for "arbitrary" and an empty text.
std::optional<std::string> convention_of_units(const std::string& units)
{
    const std::string u = lower(units);
    if (u == "rad" || u == "rads" || u == "radian" || u == "radians") return "rad";
    if (u == "mrad" || u == "milliradian" || u == "milliradians") return "milliradian";
    if (u == "deg" || u == "degree" || u == "degrees") return "degree";
    return std::nullopt;
}

bool says_nothing(const std::string& units)
{
    const std::string u = lower(units);
    return u.empty() || u == "arbitrary" || u == "a.u." || u == "au" || u == "n/a" || u == "none" ||
           u == "unknown";
}

bool is_ge(const std::string& manufacturer)
{
    const std::string m = lower(manufacturer);
    return m == "ge" || m.starts_with("ge ") || m.find("general electric") != std::string::npos;
}

/// GE phase runs the other way (algorithms.md 0.6).
PhaseScaling with_ge_sign(PhaseScaling scaling, const std::string& manufacturer)
{
    if (!is_ge(manufacturer)) return scaling;
    scaling.slope = -scaling.slope;
    scaling.intercept = -scaling.intercept;
    scaling.reason += "; sign turned, as GE phase falls with field";
    scaling.assumed = true;
    return scaling;
}

/// The convention whose turn is what the integer type can hold after slope and intercept: 12 bits, stored
/// with or without sign.
std::optional<PhaseScaling> from_slope_and_type(const NiftiHeader& header)
{
    if (!header.is_integer() || !header.has_scaling) return std::nullopt;
    constexpr std::array<std::array<double, 2>, 4> stored{
        {{0, 4095}, {-2048, 2047}, {-4096, 4095}, {-4096, 4094}}};
    for (const auto& [first, last] : stored) {
        const double a = header.scl_slope * first + header.scl_inter,
                     b = header.scl_slope * last + header.scl_inter;
        const double low = std::min(a, b), high = std::max(a, b);
        for (const Convention& c : conventions) {
            if (std::abs(low - c.low) > c.tolerance || std::abs(high - c.high) > c.tolerance) continue;
            return make(c.name, c.slope, c.intercept,
                        str("slope ", header.scl_slope, " and intercept ", header.scl_inter, " map stored ",
                            first, "..", last, " to ", low, "..", high));
        }
    }
    return std::nullopt;
}

std::string range_text(const PhaseRange& range)
{
    return str(range.low, "..", range.high);
}

/// Siemens integers lost or kept their slope: below zero, or a full 12-bit range, tells which.
std::optional<PhaseScaling> siemens_by_range(const PhaseRange& r, const std::string& facts)
{
    if (r.low < -100.0 && r.low >= -4096.0 && r.high > 100.0 && r.high <= 4096.0) {
        return make("siemens", pi / 4096.0, 0.0, str(facts, ", signed values ", range_text(r)));
    }
    if (r.low >= 0.0 && r.high > 3000.0 && r.high <= 4095.0) {
        return make("siemens-unsigned", pi / 2048.0, -pi, str(facts, ", unsigned values ", range_text(r)));
    }
    return std::nullopt;
}

std::optional<PhaseScaling> by_range(const PhaseRange& r, const std::string& facts)
{
    for (const Convention& c : conventions) {
        // Two percent of the turn may be missing between both ends; beyond an end nothing may lie.
        const double turn = c.high - c.low;
        const bool inside = r.low >= c.low - c.tolerance && r.high <= c.high + c.tolerance;
        if (inside && r.high - r.low >= 0.98 * turn) {
            return make(c.name, c.slope, c.intercept,
                        str(facts, ", values ", range_text(r), " are one full turn"), true);
        }
    }
    return std::nullopt;
}

}  // namespace

std::string convention_of_full_turn(const PhaseRange& range)
{
    const auto found = by_range(range, "");
    return found ? found->convention : "";
}

const std::vector<std::string>& phase_unit_names()
{
    static const std::vector<std::string> names{
        "auto", "rad", "milliradian", "degree", "siemens", "siemens-unsigned", "minmax"};
    return names;
}

PhaseScaling decide_phase_scaling(const PhaseFacts& facts, const std::string& option,
                                  std::optional<PhaseProblem>& problem)
{
    problem.reset();
    if (option == "minmax") return open_question("minmax", "--phase-units minmax");
    if (option != "auto")
        return fixed(option, "--phase-units " + option).value_or(open_question("by-range", ""));

    const bool plain_integers =
        facts.header != nullptr && facts.header->is_integer() && !facts.header->has_scaling;
    if (const auto name = convention_of_units(facts.units)) {
        if (*name == "rad" && plain_integers) {
            problem = {"Units", facts.units,
                       "the file holds integers without a slope, which cannot be radians", remedy};
        }
        return *fixed(*name, "Units is " + facts.units);
    }
    if (!says_nothing(facts.units)) {
        problem = {"Units", facts.units, "phase in an unknown unit", remedy};
        return open_question("by-range", "");
    }
    if (facts.header == nullptr) return open_question("by-range", "the image was not opened");
    if (const auto scaled = from_slope_and_type(*facts.header))
        return with_ge_sign(*scaled, facts.manufacturer);

    const bool siemens = lower(facts.manufacturer).starts_with("siemens");
    const std::string known = str(
        "no Units, ", facts.manufacturer.empty() ? "no Manufacturer" : "Manufacturer " + facts.manufacturer,
        facts.header->is_integer() ? ", integers" : ", floats");
    PhaseScaling scaling = open_question(siemens ? "siemens-by-range" : "by-range", known);
    // The sign is kept in the slope until the values decide the rest.
    if (is_ge(facts.manufacturer)) scaling.slope = -1.0;
    return scaling;
}

PhaseScaling decide_complex_scaling(const PhaseFacts& facts)
{
    return with_ge_sign(make("rad", 1.0, 0.0, "angle of the real and imaginary parts"), facts.manufacturer);
}

PhaseScaling settle_phase_scaling(const PhaseScaling& scaling, const PhaseRange& range,
                                  std::optional<PhaseProblem>& problem, std::optional<PhaseProblem>& doubt)
{
    problem.reset();
    doubt.reset();
    const double span = range.high - range.low;
    if (!(span > 0.0)) {
        problem = {"", str(range.low), "all phase values are equal", "convert the phase again"};
        return scaling;
    }
    if (scaling.convention == "minmax") {
        const double slope = two_pi / span;
        return make("minmax", slope, -pi - range.low * slope,
                    str(scaling.reason.starts_with("--") ? scaling.reason : "--phase-units minmax",
                        ", values ", range_text(range)),
                    true);
    }
    if (!scaling.settled) {
        std::optional<PhaseScaling> found;
        if (scaling.convention == "siemens-by-range") found = siemens_by_range(range, scaling.reason);
        if (!found) found = by_range(range, scaling.reason);
        if (!found) {
            problem = {"Units", "missing",
                       str("phase in an unknown unit: values ", range_text(range), " fit no convention"),
                       remedy};
            return scaling;
        }
        const double found_span_rad = span * found->slope;
        if (found_span_rad < least_part_of_turn * two_pi)
            doubt = {"phase", range_text(range),
                     str("spans ", found_span_rad, " rad as ", found->convention, ", not a full circle of 6.28"), remedy};
        return scaling.slope < 0.0 ? with_ge_sign(*found, "GE") : *found;
    }

    const double a = scaling.slope * range.low + scaling.intercept,
                 b = scaling.slope * range.high + scaling.intercept;
    const double largest_rad = std::max(std::abs(a), std::abs(b)), span_rad = std::abs(b - a);
    const bool radians = scaling.convention == "rad";
    // Unwrapped radians are harmless and may count dozens of turns; thousands are another unit. Other
    // conventions end at one turn.
    if (largest_rad > (radians ? 1000.0 : 1.02 * two_pi)) {
        problem = {radians ? "Units" : "phase", scaling.convention,
                   str("values ", range_text(range), " contradict the scaling (", scaling.reason, ")"),
                   remedy};
    } else if (radians && largest_rad > 1.02 * two_pi) {
        doubt = {"phase", range_text(range), "radians beyond one turn: taken as unwrapped, and wrapped again",
                 "check Units"};
    } else if (span_rad < 0.1) {
        doubt = {"phase", range_text(range), str("spans only ", span_rad, " rad"), remedy};
    }
    return scaling;
}

}  // namespace qsmpi::io
