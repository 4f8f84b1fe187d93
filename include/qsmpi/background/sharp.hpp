#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of sharp().
struct SharpOptions {
    double radius_mm = 6.0;   ///< at least 1.5 * the largest voxel edge is used
    double threshold = 0.05;  ///< |1 - s(k)| below this is not divided by, in (0, 1)
};

/// Local field by SHARP: the field minus its mean over a ball is free of the fields of sources outside; deconvolution
/// undoes the filter on what is left. V-SHARP with one radius, see vsharp().
///
/// @param total_field_ppm  unwrapped total field, in any unit: the method is linear; not finite: unknown
/// @param mask             where the field is known; same grid. The world beyond the grid is outside
/// @return local field, valid where the ball fits: the mask loses about the radius
/// @throws InputError if the grids differ, the radius is not positive, or the threshold is outside (0, 1)
///
/// 3 F, where F is a pair of FFTs of the mask's box padded by the radius; memory as vsharp(). Same bits for any number of
/// threads.
/// Schweser et al., NeuroImage 54:2789-2807, 2011.
[[nodiscard]] LocalField sharp(const VolumeF& total_field_ppm, const Mask& mask, const SharpOptions& options = {});

}  // namespace qsmpi::background
