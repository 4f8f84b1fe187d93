#include "qsmpi/mask/threshold.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "sample.hpp"

namespace qsmpi::mask {
namespace detail {

std::vector<float> sorted_sample(const VolumeF& volume)
{
    constexpr std::size_t sample_size = 200'000;
    // A prime-like odd stride does not run along rows of usual lengths.
    const std::size_t stride = std::max<std::size_t>(1, volume.size() / sample_size) | 1;
    std::vector<float> sample;
    sample.reserve(volume.size() / stride + 1);
    for (std::size_t i = 0; i < volume.size(); i += stride)
        if (std::isfinite(volume[i])) sample.push_back(volume[i]);
    std::sort(sample.begin(), sample.end());
    return sample;
}

Mask above(const VolumeF& volume, double threshold)
{
    Mask mask(volume.grid());
    const auto t = static_cast<float>(threshold);
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) mask[i] = volume[i] > t ? 1 : 0;
    });
    return mask;
}

}  // namespace detail

namespace {

// Mean of the sorted values between two quantiles.
double mean_between(const std::vector<float>& sorted, double low, double high)
{
    const auto n = static_cast<double>(sorted.size());
    const auto first = static_cast<std::size_t>(low * n);
    const auto last = std::max(first + 1, static_cast<std::size_t>(high * n));
    double sum = 0.0;
    for (std::size_t i = first; i < last; ++i) sum += static_cast<double>(sorted[i]);
    return sum / static_cast<double>(last - first);
}

}  // namespace

Mask robust_threshold(const VolumeF& magnitude, double factor)
{
    require(factor > 0.0, str("robust_threshold: factor ", factor, " must be positive"));
    const std::vector<float> sample = detail::sorted_sample(magnitude);
    if (sample.empty()) return Mask(magnitude.grid(), 0);
    const double tissue = mean_between(sample, 0.8, 0.99);
    double noise = mean_between(sample, 0.0, 0.15);
    if (noise > tissue / 10.0) noise = mean_between(sample, 0.0, 0.05);
    if (noise > tissue / 10.0) noise = 0.0;
    return detail::above(magnitude, factor * std::max(5.0 * noise, tissue / 5.0));
}

Mask otsu_threshold(const VolumeF& magnitude, double factor)
{
    require(factor > 0.0, str("otsu_threshold: factor ", factor, " must be positive"));
    constexpr double spikes = 0.001;
    std::vector<float> sample = detail::sorted_sample(magnitude);
    if (sample.empty()) return Mask(magnitude.grid(), 0);
    const std::size_t top = sample.size() - 1 - static_cast<std::size_t>(spikes * static_cast<double>(sample.size()));
    std::fill(sample.begin() + static_cast<std::ptrdiff_t>(top), sample.end(), sample[top]);
    return detail::above(magnitude, factor * numerics::otsu_threshold(sample));
}

Mask quality_threshold(const VolumeF& quality, double threshold)
{
    require(threshold >= 0.0 && threshold < 1.0, str("quality_threshold: ", threshold, " is outside [0, 1)"));
    if (threshold == 0.0) {
        const std::vector<float> sample = detail::sorted_sample(quality);
        if (sample.empty()) return Mask(quality.grid(), 0);
        threshold = std::min(numerics::otsu_threshold(sample), 0.5);
    }
    return detail::above(quality, threshold);
}

}  // namespace qsmpi::mask
