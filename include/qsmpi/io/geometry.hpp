#pragma once
#include <array>
#include <optional>
#include <string>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::io
{

/// 3x4 matrix from voxel indices (i, j, k, 1) to world x, y, z [mm], RAS+.
using Affine = std::array<std::array<double, 4>, 3>;

/// Where voxels are in the scanner, exactly as the NIfTI header says it: kept verbatim so that outputs equal
/// inputs.
struct Geometry {
    Grid grid;
    std::array<std::array<float, 4>, 3> sform{};  ///< rows of srow_x, srow_y, srow_z [mm]
    std::array<float, 6> qform{};                 ///< quatern_b, c, d, qoffset_x, y, z
    float qfac = 1.0f;                            ///< pixdim[0]
    std::array<float, 3> pixdim_mm{1, 1, 1};      ///< as stored
    short sform_code = 0, qform_code = 0;
    char xyzt_units = 2;
    /// Direction of B0 said from outside, against what the affine says; goes into no image.
    std::optional<UnitVector> given_b0_direction_ijk{};

    /// The 3x4 affine in force: sform if its code > 0, else qform, else voxel sizes. Rows: world x, y, z
    /// [mm].
    [[nodiscard]] Affine affine() const;
    /// The affine that the sform rows, or quaternion, offset and voxel sizes, stand for, whatever the codes
    /// say.
    [[nodiscard]] Affine sform_affine() const;
    [[nodiscard]] Affine qform_affine() const;
    /// Length of the header's spatial unit [mm]: 1 for mm or unknown, 1000 for m, 0.001 for micrometres.
    [[nodiscard]] double unit_mm() const;
    /// B0 in voxel axes, unit length: the given direction, or scanner +z by the affine; polar decomposition
    /// first if that has shear (algorithms.md 0.2).
    /// @throws InputError if the affine is singular
    [[nodiscard]] UnitVector b0_direction_ijk() const;
    bool operator==(const Geometry&) const = default;
};

/// Determinant of the 3x3 part [mm^3].
[[nodiscard]] double determinant(const Affine& affine);
/// How far the two place a corner of the grid apart, at most [mm]; without_offset compares after aligning
/// voxel 0.
[[nodiscard]] double largest_corner_distance_mm(const Affine& a, const Affine& b, const Dims& dims,
                                                bool without_offset = false);
/// How far `have` places a corner of the grid from where `want` does, at most [mm]; nothing within a twentieth of a voxel,
/// which rounding may make.
[[nodiscard]] std::optional<double> misplacement_mm(const Geometry& have, const Geometry& want);

}  // namespace qsmpi::io
