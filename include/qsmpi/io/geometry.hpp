#pragma once
#include <array>
#include <string>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::io {

/// Where voxels are in the scanner, exactly as the NIfTI header says it: kept verbatim so that outputs equal inputs.
struct Geometry {
    Grid grid;
    std::array<std::array<float, 4>, 3> sform{};  ///< rows of srow_x, srow_y, srow_z [mm]
    std::array<float, 6> qform{};                 ///< quatern_b, c, d, qoffset_x, y, z
    float qfac = 1.0f;                            ///< pixdim[0]
    std::array<float, 3> pixdim_mm{1, 1, 1};      ///< as stored
    short sform_code = 0, qform_code = 0;
    char xyzt_units = 2;

    /// The 3x4 affine in force: sform if its code > 0, else qform, else voxel sizes. Rows: world x, y, z [mm].
    [[nodiscard]] std::array<std::array<double, 4>, 3> affine() const;
    /// B0 (scanner +z) in voxel axes, unit length; polar decomposition first if the affine has shear (algorithms.md 0.2).
    [[nodiscard]] UnitVector b0_direction_ijk() const;
    bool operator==(const Geometry&) const = default;
};

}  // namespace qsmpi::io
