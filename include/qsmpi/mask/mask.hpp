#pragma once
#include "qsmpi/core/volume.hpp"
#include "qsmpi/mask/threshold.hpp"

namespace qsmpi::mask {

struct BrainMaskOptions {
    double quality_threshold = 0.0;  ///< ROMEO quality above which phase is reliable, (0, 1); 0: Otsu
    double opening_mm = 12.0;        ///< bridges thinner than twice this are cut: brain against scalp and muscle
    double closing_mm = 4.0;         ///< gaps up to about twice this are closed: vessels, lesions, calcifications
    double erosion_mm = 0.0;         ///< peeled off at the end
};

/// Brain, or the largest compact region of reliable phase: quality and magnitude foreground, opened, largest component,
/// grown back into what the opening took from it, closed, holes filled. No anatomical prior: phantoms, crops and slabs
/// work too, since the opening gives way (down to none) when nothing compact would be left, and what the border of the
/// field of view cuts off counts as continuing.
///
/// @param quality    ROMEO quality, [0, 1]
/// @param magnitude  root-sum-of-squares magnitude on the same grid; empty: quality alone decides
/// @return the mask; empty when no voxel is reliable
/// @throws InputError if the grids differ or an option is out of its range
/// Eight distance transforms. Same bits for any number of threads.
[[nodiscard]] Mask brain_mask(const VolumeF& quality, const VolumeF& magnitude, const BrainMaskOptions& options = {});

}  // namespace qsmpi::mask
