#include "qsmpi/numerics/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::numerics {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

}  // namespace

double quantile(std::span<float> values, double q)
{
    require(q >= 0.0 && q <= 1.0, str("quantile ", q, " is outside [0, 1]"));
    const auto end = std::partition(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
    const auto n = static_cast<std::size_t>(end - values.begin());
    if (n == 0) return nan;
    const double position = q * static_cast<double>(n - 1);
    const auto below = static_cast<std::size_t>(position);
    const auto lower = values.begin() + static_cast<std::ptrdiff_t>(below);
    std::nth_element(values.begin(), lower, end);
    const double low = static_cast<double>(*lower);
    const double part = position - static_cast<double>(below);
    if (part == 0.0) return low;
    const double high = static_cast<double>(*std::min_element(lower + 1, end));
    return low + part * (high - low);
}

std::vector<float> inside(const VolumeF& volume, const Mask& mask, std::size_t stride)
{
    require_same_grid(volume, mask, "inside: volume and mask");
    require(stride > 0, "inside: stride 0; expected at least 1");
    // Each slice's share of the output is known from the counts before it, so slices write in parallel.
    const std::size_t slice = volume.dims().nx * volume.dims().ny, nz = volume.dims().nz;
    std::vector<std::size_t> first(nz + 1, 0);
    parallel::for_each(nz, [&](std::size_t z) {
        std::size_t n = 0;
        for (std::size_t i = z * slice; i < (z + 1) * slice; ++i) n += mask[i] != 0;
        first[z + 1] = n;
    });
    for (std::size_t z = 0; z < nz; ++z) first[z + 1] += first[z];
    std::vector<float> values((first[nz] + stride - 1) / stride);
    parallel::for_each(nz, [&](std::size_t z) {
        std::size_t order = first[z];
        for (std::size_t i = z * slice; i < (z + 1) * slice; ++i) {
            if (mask[i] == 0) continue;
            if (order % stride == 0) values[order / stride] = volume[i];
            ++order;
        }
    });
    return values;
}

double median_inside(const VolumeF& volume, const Mask& mask)
{
    auto values = inside(volume, mask);
    return quantile(values, 0.5);
}

double usual_signal(const VolumeF& magnitude, const Mask& mask)
{
    auto values = inside(magnitude, mask);
    const double median = quantile(values, 0.5);
    return std::max(median, 0.5 * quantile(values, 0.95));
}

double sum(const VolumeF& volume)
{
    return parallel::sum_blocks<double>(volume.size(), [&](std::size_t begin, std::size_t end) {
        double total = 0.0;
#pragma omp simd reduction(+ : total)
        for (std::size_t i = begin; i < end; ++i) total += static_cast<double>(volume[i]);
        return total;
    });
}

double dot(const VolumeF& a, const VolumeF& b)
{
    require_same_grid(a, b, "dot: the two volumes");
    return parallel::sum_blocks<double>(a.size(), [&](std::size_t begin, std::size_t end) {
        double total = 0.0;
#pragma omp simd reduction(+ : total)
        for (std::size_t i = begin; i < end; ++i)
            total += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        return total;
    });
}

double mean_inside(const VolumeF& volume, const Mask& mask)
{
    require_same_grid(volume, mask, "mean_inside: volume and mask");
    struct Sum {
        double total = 0.0;
        std::size_t n = 0;
        Sum& operator+=(const Sum& other)
        {
            total += other.total;
            n += other.n;
            return *this;
        }
    };
    const auto all = parallel::sum_blocks<Sum>(volume.size(), [&](std::size_t begin, std::size_t end) {
        Sum s;
        for (std::size_t i = begin; i < end; ++i) {
            if (mask[i] == 0) continue;
            s.total += static_cast<double>(volume[i]);
            ++s.n;
        }
        return s;
    });
    return all.n == 0 ? nan : all.total / static_cast<double>(all.n);
}

double std_inside(const VolumeF& volume, const Mask& mask)
{
    const double mean = mean_inside(volume, mask);
    VolumeF square(volume.grid());
    parallel::for_blocks(square.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const double d = static_cast<double>(volume[i]) - mean;
            square[i] = mask[i] != 0 ? static_cast<float>(d * d) : 0.0f;
        }
    });
    return std::sqrt(mean_inside(square, mask));
}

double otsu_threshold(std::span<const float> values, int n_bins)
{
    require(n_bins >= 2, str("otsu: ", n_bins, " bins; expected at least 2"));
    float low = std::numeric_limits<float>::infinity(), high = -low;
    for (const float v : values) {
        if (!std::isfinite(v)) continue;
        low = std::min(low, v);
        high = std::max(high, v);
    }
    if (low > high) return nan;
    if (low == high) return static_cast<double>(low);

    const double origin = static_cast<double>(low);
    const double width = (static_cast<double>(high) - origin) / n_bins;
    const auto bins = static_cast<std::size_t>(n_bins);
    std::vector<std::size_t> counts(bins, 0);
    for (const float v : values) {
        if (!std::isfinite(v)) continue;
        ++counts[std::min(bins - 1, static_cast<std::size_t>((static_cast<double>(v) - origin) / width))];
    }

    double n = 0.0, total = 0.0;  // total in units of bins
    for (std::size_t i = 0; i < bins; ++i) {
        n += static_cast<double>(counts[i]);
        total += static_cast<double>(counts[i]) * static_cast<double>(i);
    }
    double n_below = 0.0, total_below = 0.0, best = -1.0;
    std::size_t best_bin = 1;
    for (std::size_t i = 1; i < bins; ++i) {  // bins below i are background
        n_below += static_cast<double>(counts[i - 1]);
        total_below += static_cast<double>(counts[i - 1]) * static_cast<double>(i - 1);
        if (n_below == 0.0 || n_below == n) continue;
        const double difference = total_below / n_below - (total - total_below) / (n - n_below);
        const double between = n_below * (n - n_below) * difference * difference;
        if (between > best) {
            best = between;
            best_bin = i;
        }
    }
    return origin + width * static_cast<double>(best_bin);
}

}  // namespace qsmpi::numerics
