#pragma once
#include <vector>

#include "qsmpi/core/volume.hpp"

/// What the thresholds share.
namespace qsmpi::mask::detail {

/// Finite values of about 200 000 voxels at regular distances, in rising order: quantiles to far better than they matter.
[[nodiscard]] std::vector<float> sorted_sample(const VolumeF& volume);

/// 1 where the volume exceeds the threshold; NaN does not.
[[nodiscard]] Mask above(const VolumeF& volume, double threshold);

}  // namespace qsmpi::mask::detail
