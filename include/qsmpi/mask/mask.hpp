#pragma once
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::mask {

/// Foreground of a magnitude image by robust threshold: between noise (low quantiles) and tissue (high quantiles).
/// algorithms.md 4.1; deterministic strided sampling.
[[nodiscard]] Mask robust_threshold(const VolumeF& magnitude, double factor = 1.0);

struct BrainMaskOptions {
    double quality_threshold = 0.0;  ///< ROMEO quality above which phase is reliable, (0, 1); 0: Otsu
    double opening_mm = 4.0;         ///< opening that cuts the brain from scalp and muscle
    double closing_mm = 4.0;         ///< closing that keeps vessels and lesions inside
    double erosion_mm = 0.0;         ///< peeled off at the end
};

/// Brain (or the largest compact region of reliable phase): quality and magnitude foreground, opened, largest
/// component, re-grown, closed, holes filled. No anatomical prior: works on phantoms and partial slabs too.
/// @param quality    ROMEO quality, [0, 1]
/// @param magnitude  root-sum-of-squares magnitude; empty: quality alone decides
[[nodiscard]] Mask brain_mask(const VolumeF& quality, const VolumeF& magnitude, const BrainMaskOptions& options = {});

}  // namespace qsmpi::mask
