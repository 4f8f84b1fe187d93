#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/io/bids.hpp"

namespace qsmpi::io
{

int exponent_for_magnitude(double largest)
{
    constexpr double smallest_peak = 1e-6, largest_peak = 1e9;
    if (largest == 0.0 || (largest >= smallest_peak && largest <= largest_peak)) return 0;
    return 10 - std::ilogb(largest);  // the peak comes to between 1024 and 2048
}

void multiply_by_power_of_two(VolumeF& volume, int exponent)
{
    if (exponent == 0) return;
    parallel::for_blocks(volume.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) volume[i] = std::ldexp(volume[i], exponent);
    });
}

}  // namespace qsmpi::io
