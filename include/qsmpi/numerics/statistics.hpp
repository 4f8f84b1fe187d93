#pragma once
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Linear-interpolated quantile (0..1) of finite values; NaN if there are none. Reorders `values`.
[[nodiscard]] double quantile(std::span<float> values, double q);
/// Values of the volume inside the mask, every `stride`-th.
[[nodiscard]] std::vector<float> inside(const VolumeF& volume, const Mask& mask, std::size_t stride = 1);
[[nodiscard]] double median_inside(const VolumeF& volume, const Mask& mask);
/// The median of the magnitude over the mask, at least half of its upper twentieth: masks may be mostly air.
[[nodiscard]] double usual_signal(const VolumeF& magnitude, const Mask& mask);
/// Sums are double, taken in blocks of fixed size: the same bits for any number of threads.
[[nodiscard]] double sum(const VolumeF& volume);
[[nodiscard]] double dot(const VolumeF& a, const VolumeF& b);
[[nodiscard]] double mean_inside(const VolumeF& volume, const Mask& mask);
/// Standard deviation over the mask; NaN for an empty one, or if a value inside is.
[[nodiscard]] double std_inside(const VolumeF& volume, const Mask& mask);
/// Otsu's threshold from a histogram of n_bins over the finite range (algorithms.md 4.3).
[[nodiscard]] double otsu_threshold(std::span<const float> values, int n_bins = 256);

}  // namespace qsmpi::numerics
