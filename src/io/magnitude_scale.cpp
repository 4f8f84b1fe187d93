#include "qsmpi/io/magnitude_scale.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::io
{

MagnitudeScale& MagnitudeScale::operator+=(const MagnitudeScale& o)
{
    largest = std::max(largest, o.largest);
    sum_of_exponents += o.sum_of_exponents;
    n += o.n;
    return *this;
}

MagnitudeScale scale_of(const VolumeF& magnitude)
{
    return parallel::sum_blocks<MagnitudeScale>(magnitude.size(), [&](std::size_t begin, std::size_t end) {
        MagnitudeScale part;
        for (std::size_t i = begin; i < end; ++i) {
            const float value = std::abs(magnitude[i]);
            if (!std::isfinite(value) || value == 0.0F) continue;
            part.largest = std::max(part.largest, static_cast<double>(value));
            part.sum_of_exponents += std::ilogb(value);
            ++part.n;
        }
        return part;
    });
}

int exponent_for(const MagnitudeScale& scale)
{
    constexpr double smallest_peak = 1e-6, largest_peak = 1e9;
    constexpr double largest_over_typical = 16384.0;
    if (scale.n == 0) return 0;
    const double typical = std::exp2(static_cast<double>(scale.sum_of_exponents) / static_cast<double>(scale.n));
    const double peak = std::min(scale.largest, largest_over_typical * typical);
    if (peak >= smallest_peak && peak <= largest_peak) return 0;
    return 10 - std::ilogb(peak);  // the peak comes to between 1024 and 2048
}

void multiply_by_power_of_two(VolumeF& volume, int exponent)
{
    if (exponent == 0) return;
    parallel::for_blocks(volume.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) volume[i] = std::ldexp(volume[i], exponent);
    });
}

}  // namespace qsmpi::io
