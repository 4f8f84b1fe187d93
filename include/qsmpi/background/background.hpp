#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::background {

/// Field of the sources inside the mask, and where it is valid.
struct LocalField {
    VolumeF local_field_ppm;  ///< 0 outside `mask`
    Mask mask;                ///< voxels where the local field is valid (eroded for SMV methods)
    int iterations = 0;
    double relative_residual = 0.0;
    bool converged = true;
    VolumeF weight;  ///< how far each voxel of the local field can be trusted, [0, 1]; empty: all alike
};

struct VsharpOptions {
    double max_radius_mm = 12.0;
    double min_radius_mm = 0.0;   ///< 0: max(2 mm, 1.5 * largest voxel edge)
    double step_mm = 1.0;
    double threshold = 0.05;      ///< |1 - s(k)| below this is not divided by
};

/// V-SHARP: spherical mean value filter with the largest ball that fits, one deconvolution with the largest kernel.
/// Unit-free: the result has the unit of the field. Wu et al., Magn. Reson. Med. 67:137-147, 2012.
[[nodiscard]] LocalField vsharp(const VolumeF& total_field_ppm, const Mask& mask, const VsharpOptions& options = {});

}  // namespace qsmpi::background
