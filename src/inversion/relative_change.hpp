#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion::detail {

/// ||x - before|| / ||x||, 0 for x = 0; same shape. Same bits for any number of threads.
[[nodiscard]] double relative_change(const VolumeF& x, const VolumeF& before);

}  // namespace qsmpi::inversion::detail
