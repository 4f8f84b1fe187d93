#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Gaussian smoothing by normalised convolution G*(w v) / (G*w), box cascade of 4 passes (algorithms.md 1.4),
/// symmetric and independent of threads. Weight 0 excludes a voxel; where G*w vanishes (< 1e-3 of full weight) the
/// value of the nearest voxel with weight is spread by a second, 4 times wider pass; if there is none, 0.
/// @param sigma_mm  standard deviation; <= 0 returns the input
[[nodiscard]] VolumeF gaussian_smooth(const VolumeF& volume, double sigma_mm);
[[nodiscard]] VolumeF gaussian_smooth(const VolumeF& volume, const VolumeF& weight, double sigma_mm);
/// In place, both parts of a complex field with common weight, not normalised by the weight sum (arg is scale free).
void gaussian_smooth_complex(VolumeF& real, VolumeF& imaginary, double sigma_mm);
/// Mean over the box of (2 radius + 1)^3 voxels, truncated at the borders.
[[nodiscard]] VolumeF box_mean(const VolumeF& volume, int radius_voxels);

}  // namespace qsmpi::numerics
