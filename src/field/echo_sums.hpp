#pragma once
#include <array>
#include <cmath>
#include <cstddef>
#include <span>

#include "qsmpi/core/units.hpp"
#include "qsmpi/field/field_map.hpp"

namespace qsmpi::field
{

/// Voxels are fitted in chunks of this size, so that all intermediate values stay in the first-level cache.
inline constexpr std::size_t chunk_voxels = 512;
using Chunk = std::array<float, chunk_voxels>;

/// Checks what all fits need. An empty `magnitude` stands for 1 everywhere.
/// @throws InputError with the name of the fit for wrong counts, grids, times or noise
void check_echoes(const char* who, std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                  std::span<const double> echo_times_s, double noise_std, std::size_t least_echoes);

/// Squared magnitude of a chunk; 0 where phase or magnitude is not finite, so that the echo does not count
/// there.
void squared_magnitude(const float* phase_rad, const float* magnitude, std::size_t n, float* squared);

/// What is left of one echo after the fit: |s|^2 split into model and rest, and the squared deviation.
/// @param residual_rad  phase minus model; beyond pi/2 nothing of the signal agrees with the model
inline float unexplained(float squared, float residual_rad, float sine)
{
    return std::abs(residual_rad) < static_cast<float>(units::pi / 2) ? squared * sine * sine : squared;
}

/// How much to widen the predicted standard deviation.
///
/// chi_square per degree of freedom is 1 +- sqrt(2/dof) if thermal noise is all there is. Up to three of
/// those deviations nothing is changed; what exceeds them widens the variance.
inline float widening(float chi_square, float degrees_of_freedom)
{
    const float excess = chi_square / degrees_of_freedom - 3.0f * std::sqrt(2.0f / degrees_of_freedom);
    return excess > 1.0f ? std::sqrt(excess) : 1.0f;
}

/// sin by a polynomial after reduction to [-pi/2, pi/2]; error below 3e-7 for |x| < 1000. Vectorises.
inline float fast_sin(float x)
{
    constexpr auto per_pi = static_cast<float>(1.0 / units::pi);
    // pi in two parts, so that the reduction keeps its digits.
    constexpr float pi_high = 3.140625f, pi_low = 9.6765358979e-4f;
    const float k = std::rint(x * per_pi);
    const float r = (x - k * pi_high) - k * pi_low;
    const float odd = k - 2.0f * std::rint(0.5f * k);  // 0 for even k, +-1 for odd
    const float r2 = r * r;
    const float s =
        r + r * r2 *
                (-1.6666667e-1f +
                 r2 * (8.3333310e-3f + r2 * (-1.9840874e-4f + r2 * (2.7525562e-6f + r2 * -2.3889859e-8f))));
    return odd == 0.0f ? s : -s;
}

/// x minus the nearest multiple of 2 pi.
inline float wrapped(float x)
{
    constexpr auto per_turn = static_cast<float>(1.0 / units::two_pi);
    constexpr float turn_high = 6.28125f, turn_low = 1.9353071796e-3f;
    const float k = std::rint(x * per_turn);
    return (x - k * turn_high) - k * turn_low;
}

/// Output of a fit with all three maps, or without the residual when there are not enough echoes for one.
[[nodiscard]] FieldMap new_field_map(const Grid& grid, bool with_residual);

}  // namespace qsmpi::field
