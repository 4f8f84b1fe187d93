#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of tgv().
struct TgvOptions {
    double alpha1 = 2.3e-5;   ///< weight of grad chi - v [ppm mm]
    double alpha0 = 6.9e-5;   ///< weight of the symmetrised gradient of v [ppm mm^2]
    double rim_voxels = 1.0;  ///< in so many outermost layers of the mask the field's error is free
    double relaxation = 1.9;  ///< over-relaxation, in [1, 2)
    int max_iterations = 1000;
    double tolerance = 1e-4;  ///< stops when ||x - x_before|| < tolerance ||x||; looked at every tenth iteration
};

/// What the registry runs. The paper's weights, 0.0005 and 0.0015, are for phase in radians and 1 mm voxels: with s
/// radians per ppm the same minimum is reached by 0.0005 h / s [ppm mm] and 0.0015 h^2 / s [ppm mm^2], where h is the
/// voxel size [mm]. Noise in ppm is noise in radians over s, so the weights follow it.
/// @param radians_per_ppm  s; 0: that of the paper's scans, 3 T and 27 ms
[[nodiscard]] TgvOptions tgv_defaults(const Grid& grid, double radians_per_ppm = 0.0);

/// Susceptibility from the total field in a single step, by total generalised variation (TGV):
///   min 1/2 || w psi ||^2 + alpha1 || grad chi - v || + alpha0 || E v ||   so that   Box chi - Lap psi = Lap f,
/// Box = Lap/3 - (b . grad)^2. Fields of sources outside the mask are harmonic inside and leave no trace in Lap f;
/// the field's error psi is what its Laplacian tells of it. No FFT: differences between voxels of the mask, exact for
/// any direction of B0.
///
/// @param total_field_ppm   relative field with background, unwrapped [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; voxels where the field is not finite are taken out
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: 1
/// @param observer          told after every tenth iteration
/// @return susceptibility [ppm], 0 outside the mask and where the field was not finite
/// @throws InputError if the grids differ, the direction is no unit vector, a weight is negative or not finite, or an
///         option is out of its range
///
/// Chambolle-Pock iterations with preconditioning and over-relaxation, each one sweep over 15 volumes of the mask's
/// box; 17 volumes of memory. Same bits for any number of threads.
/// Langkammer et al., NeuroImage 111:622-630, 2015. Pock & Chambolle, ICCV 2011:1762-1769.
[[nodiscard]] Result tgv(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                         const TgvOptions& options = {}, const VolumeF* weight = nullptr,
                         const Observer& observer = {});

}  // namespace qsmpi::inversion
