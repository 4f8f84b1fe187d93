#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::mask {

struct SensitivityOptions {
    double sigma_mm = 7.0;  ///< how smooth the sensitivity is: standard deviation, > 0; at most a tenth of the field of view
                            ///< along its middle axis
};

/// Slow changes of brightness over a magnitude image: coil sensitivity and transmit field.
///
/// In overlapping blocks of a fifteenth of the field of view, voxels within a tenth of the block's bright end (90 %
/// quantile) get a vote; those with two votes are tissue of one kind, which is smoothed over the whole grid.
///
/// @param magnitude  any unit, >= 0; voxels that are not finite are left out
/// @return sensitivity, positive, in the unit of the magnitude, everywhere; all 1 if there is no foreground
/// @throws InputError if sigma is not positive
/// O(N), 4 volumes. Same bits for any number of threads.
/// Eckstein et al., NeuroImage 237:118175, 2021 (CLEAR-SWI).
[[nodiscard]] VolumeF sensitivity(const VolumeF& magnitude, const SensitivityOptions& options = {});

/// robust_threshold() of the magnitude over its sensitivity: finds tissue in the dim parts of an uneven image.
[[nodiscard]] Mask corrected_threshold(const VolumeF& magnitude, double factor = 1.0, const SensitivityOptions& options = {});

}  // namespace qsmpi::mask
