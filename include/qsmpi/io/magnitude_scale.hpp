#pragma once
#include <cstddef>
#include <cstdint>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::io
{

/// How large the values of one or several magnitudes are.
struct MagnitudeScale {
    double largest = 0.0;               ///< absolute
    std::int64_t sum_of_exponents = 0;  ///< of two, over the values that are neither 0 nor not finite
    std::size_t n = 0;
    MagnitudeScale& operator+=(const MagnitudeScale& o);
};
[[nodiscard]] MagnitudeScale scale_of(const VolumeF& magnitude);

/// The power of two that magnitudes of this scale are multiplied by when they are read, so that their squares neither overflow
/// nor vanish: 0 where the largest is 1e-6 to 1e9. It is exact, so maps do not change. A few voxels far above all others
/// are no scale.
[[nodiscard]] int exponent_for(const MagnitudeScale& scale);
void multiply_by_power_of_two(VolumeF& volume, int exponent);

}  // namespace qsmpi::io
