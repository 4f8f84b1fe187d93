#include "relative_change.hpp"

#include <cmath>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion::detail {

double relative_change(const VolumeF& x, const VolumeF& before)
{
    struct Sums {
        double change = 0.0, norm = 0.0;
        Sums& operator+=(const Sums& other)
        {
            change += other.change;
            norm += other.norm;
            return *this;
        }
    };
    const Sums sums = parallel::sum_blocks<Sums>(x.size(), [&](std::size_t begin, std::size_t end) {
        Sums part;
        for (std::size_t i = begin; i < end; ++i) {
            const auto value = static_cast<double>(x[i]), difference = value - static_cast<double>(before[i]);
            part.change += difference * difference;
            part.norm += value * value;
        }
        return part;
    });
    return sums.norm > 0.0 ? std::sqrt(sums.change / sums.norm) : 0.0;
}

}  // namespace qsmpi::inversion::detail
