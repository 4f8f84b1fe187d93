#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of tkd().
struct TkdOptions {
    double threshold = 0.15;              ///< |D(k)| is clamped from below to this; dimensionless, in (0, 2/3)
    bool correct_underestimation = true;  ///< divide by the mean of D(k) times the clamped 1/D(k) (Schweser 2013)
    int pad_voxels = 16;                  ///< least zero padding of each axis, against FFT wrap-around
    double pad_fraction = 0.25;           ///< the same as a part of each axis; the larger counts
};

/// Susceptibility from a local field by thresholded k-space division (TKD).
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes (not RAS, not LPS)
/// @return susceptibility [ppm] on the same grid; 0 outside the mask; k = 0 set to 0. Values of the field that are
///         not finite count as 0, as in all inversions
/// @throws InputError if the grids differ, the direction is no unit vector or the threshold is outside (0, 2/3)
///
/// One pair of FFTs of the mask's box, padded. Deterministic, thread-safe, no MPI, no I/O.
/// Shmueli et al., Magn. Reson. Med. 62(6):1510-1522, 2009. Schweser et al., Magn. Reson. Med. 69(6):1581-1593, 2013.
[[nodiscard]] Result tkd(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                         const TkdOptions& options = {});

}  // namespace qsmpi::inversion
