#pragma once
#include <cmath>

#include "qsmpi/core/units.hpp"

namespace qsmpi::phase
{

inline constexpr float pi_f = static_cast<float>(units::pi);
inline constexpr float two_pi_f = static_cast<float>(units::two_pi);
inline constexpr float turns_per_rad_f = static_cast<float>(1.0 / units::two_pi);

/// Nearest value to 0 that differs by a multiple of 2 pi, in [-pi, pi] up to round-off; vectorises. NaN stays
/// NaN.
[[nodiscard]] inline float wrap(float phase_rad)
{
    return phase_rad - two_pi_f * std::rint(phase_rad * turns_per_rad_f);
}

/// As wrap(), strictly in [-pi, pi): what a phase image may hold.
[[nodiscard]] inline float wrap_half_open(float phase_rad)
{
    const float w = wrap(phase_rad);
    return w >= pi_f ? -pi_f : (w < -pi_f ? -pi_f : w);
}

}  // namespace qsmpi::phase
