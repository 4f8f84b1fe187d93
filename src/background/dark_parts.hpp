#pragma once
#include <vector>

#include "qsmpi/background/source_separation.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::background {

/// Parts of a mask where there is little signal. All are all 0 without a magnitude, or where nothing else were left.
struct DarkParts {
    Mask without_signal;  ///< below SeparationOptions::signal_fraction
    Mask small_and_dim;   ///< below dim_fraction, parts of at most dim_part_mm3
    Mask either;
};

/// Sum of the values in each part; entry 0, of what is in none, is 0.
[[nodiscard]] std::vector<double> sum_by_part(const numerics::Components& parts, const VolumeF& values);

[[nodiscard]] DarkParts find_dark_parts(const Mask& mask, const VolumeF& magnitude, const SeparationOptions& options);

/// What the sources of dark parts tell of them; what is in neither is tissue like the rest.
struct JudgedParts {
    Mask background;  ///< air, or bone and air at the border that fill voxels in part
    Mask apart;       ///< small strong sources away from the border, as of microbleeds
};

/// @param mask         that find_dark_parts() was given
/// @param measured     the mask without its dark parts
/// @param sources_ppm  found while those in dark parts could be of any size
[[nodiscard]] JudgedParts judge(const DarkParts& dark, const Mask& mask, const Mask& measured, const VolumeF& sources_ppm, const VolumeF& magnitude,
                                const SeparationOptions& options);

}  // namespace qsmpi::background
