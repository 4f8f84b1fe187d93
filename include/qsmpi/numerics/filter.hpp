#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Gaussian smoothing by normalised convolution G*(w v) / (G*w), with a cascade of 4 extended boxes for G: the standard
/// deviation is exact for every sigma, the cost does not depend on it. Symmetric and independent of threads.
///
/// Weight 0 excludes a voxel, and so does a value that is not finite. Where G*w vanishes (< 1e-3 of what the mean
/// positive weight would give) the value comes from a 4 times wider pass on a 4 times coarser grid, and so on until
/// every voxel has one; all 0 if no voxel has weight. Windows are truncated at the border of the grid.
/// @param sigma_mm  standard deviation; <= 0 returns the input
/// @throws InputError if a weight is negative or the grids differ
///
/// Two sweeps over memory (4 with weights). Gwosdek et al., Scale Space and Variational Methods 2011:447-458.
[[nodiscard]] VolumeF gaussian_smooth(const VolumeF& volume, double sigma_mm);
[[nodiscard]] VolumeF gaussian_smooth(const VolumeF& volume, const VolumeF& weight, double sigma_mm);
/// In place, both parts of a complex field with common weight, not normalised by the weight sum (arg is scale free).
/// Values that are not finite count as 0.
void gaussian_smooth_complex(VolumeF& real, VolumeF& imaginary, double sigma_mm);
/// Mean over the box of (2 radius + 1)^3 voxels, truncated at the borders. Values that are not finite count as 0.
[[nodiscard]] VolumeF box_mean(const VolumeF& volume, int radius_voxels);

}  // namespace qsmpi::numerics
