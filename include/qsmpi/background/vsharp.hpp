#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of vsharp().
struct VsharpOptions {
    double max_radius_mm = 12.0;
    double min_radius_mm = 0.0;  ///< 0: 2 mm; at least 1.5 * the largest voxel edge is used
    double step_mm = 1.0;
    double threshold = 0.05;     ///< |1 - s(k)| below this is not divided by, in (0, 1)
};

/// Local field by V-SHARP: a field of sources outside equals its mean over any ball inside the mask, so the field minus
/// its spherical mean is free of it. Each voxel takes the largest ball that fits; one deconvolution with the largest
/// kernel undoes the filter on what is left.
///
/// @param total_field_ppm  unwrapped total field, in any unit: the method is linear; not finite: unknown
/// @param mask             where the field is known; same grid. The world beyond the grid is outside
/// @return local field, valid where the smallest ball fits: the mask loses about min_radius_mm + half a voxel. Radii
///         for which no ball fits are left out
/// @throws InputError if the grids differ, a radius or the step is not positive, or the threshold is outside (0, 1)
///
/// About 1 F for each radius and 2 F more, where F is a pair of FFTs of the mask's box padded by the largest radius;
/// 5 volumes of the box and 2.5 of the padded size. Same bits for any number of threads.
/// Wu et al., Magn. Reson. Med. 67:137-147, 2012. Schweser et al., NeuroImage 54:2789-2807, 2011.
[[nodiscard]] LocalField vsharp(const VolumeF& total_field_ppm, const Mask& mask, const VsharpOptions& options = {});

}  // namespace qsmpi::background
