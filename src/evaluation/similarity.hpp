#pragma once
#include "qsmpi/core/volume.hpp"

/// Metrics that look at neighbourhoods. Both volumes must be 0 outside the mask.
namespace qsmpi::evaluation::detail {

/// Mean over the mask of the structural similarity of 5^3 windows, truncated at the borders of the grid; constants
/// (0.01 ppm)^2 and (0.001 ppm)^2, as Milovic et al. 2024 tuned them for susceptibility in ppm.
[[nodiscard]] double xsim(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask);

/// 100 ||LoG(map - truth)|| / ||LoG(truth)|| over the mask; sigma in voxels along every axis; NaN if LoG(truth) is 0.
[[nodiscard]] double hfen_percent(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask,
                                  double sigma_voxels);

}  // namespace qsmpi::evaluation::detail
