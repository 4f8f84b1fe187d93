#pragma once
#include <numbers>

/// Physical constants and unit conversions; the only place where they are written.
/// Sign convention: phase grows with field, phase = offset + 2 pi field_hz TE, and a paramagnetic source has chi > 0.
namespace qsmpi::units {

/// Proton gyromagnetic ratio over 2 pi [MHz/T] (CODATA 2018).
inline constexpr double gamma_bar_mhz_per_t = 42.577478518;
inline constexpr double pi = std::numbers::pi;
inline constexpr double two_pi = 2.0 * std::numbers::pi;

/// Hz for one ppm of relative field at `b0_tesla`.
[[nodiscard]] constexpr double hz_per_ppm(double b0_tesla) { return gamma_bar_mhz_per_t * b0_tesla; }
[[nodiscard]] constexpr double rad_from_hz(double field_hz, double echo_time_s)
{
    return two_pi * field_hz * echo_time_s;
}

}  // namespace qsmpi::units
