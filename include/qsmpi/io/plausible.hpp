#pragma once

/// Limits between what scanners make and what was given in a wrong unit.
namespace qsmpi::io
{

inline constexpr double weakest_b0_tesla = 0.01, strongest_b0_tesla = 25.0;
inline constexpr const char* plausible_b0 = "expected tesla, 0.01 to 25";
[[nodiscard]] constexpr bool is_plausible_b0(double tesla)
{
    return tesla >= weakest_b0_tesla && tesla <= strongest_b0_tesla;
}

/// A hundredth of B0: so far off its frequency no scanner receives.
inline constexpr double largest_field_ppm = 1e4;
inline constexpr const char* plausible_field = "no scanner measures a field beyond 10000 ppm, a hundredth of B0";

/// Longer than any gradient echo, shorter than any echo time in milliseconds.
inline constexpr double longest_echo_time_s = 0.5;
/// The last echo is later than this, however short the first one is.
inline constexpr double earliest_last_echo_time_s = 1e-4;

inline constexpr double smallest_voxel_mm = 0.01, largest_voxel_mm = 20.0;
/// Along its longest axis. Filters have lengths in mm: in a smaller image they would be as wide as it.
inline constexpr double smallest_image_mm = 2.0;

}  // namespace qsmpi::io
