#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::background {

/// Field of the sources inside the mask, and where it is valid.
struct LocalField {
    VolumeF local_field_ppm;  ///< in the unit of the total field; 0 outside `mask`
    Mask mask;                ///< voxels where the local field is valid (eroded for SMV methods)
    int iterations = 0;
    double relative_residual = 0.0;
    bool converged = true;
    VolumeF weight{};  ///< how far each voxel of the local field can be trusted, [0, 1]; empty: all alike
    VolumeF error{};   ///< gross errors of the total field (a wrong turn, dephasing): what is left of it without is better; empty: none
    int rounds = 0;          ///< of methods that alternate with an inversion
    double radius_mm = 0.0;  ///< of the largest ball of the methods that use spherical means
    double background_parts_mm3 = 0.0;  ///< of the mask that was taken for air or bone and air; weight 0 there
};

}  // namespace qsmpi::background
