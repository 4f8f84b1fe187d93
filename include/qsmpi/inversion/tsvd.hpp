#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of tsvd().
struct TsvdOptions {
    /// frequencies with |D(k)| up to this are left out; dimensionless, in (0, 2/3)
    double threshold = 0.1;
    bool correct_underestimation = true;  ///< divide by the share of frequencies that are kept (Schweser 2013)
    int pad_voxels = 16;                  ///< least zero padding of each axis, against FFT wrap-around
    double pad_fraction = 0.25;           ///< the same as a part of each axis; the larger counts
};

/// The larger the noise of the field, the more is left out. @param noise_ppm  0: not known
[[nodiscard]] double tsvd_threshold(double noise_ppm);

/// Susceptibility from a local field by truncated singular value decomposition: the field is divided by D(k) where
/// that is large, and nothing is taken from elsewhere. D is diagonal in k-space, so |D(k)| are its singular values.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @return susceptibility [ppm], 0 outside the mask; k = 0 set to 0
/// @throws InputError if the grids differ, the direction is no unit vector or the threshold is outside (0, 2/3)
///
/// One pair of FFTs of the mask's box, padded. Deterministic, thread-safe, no MPI, no I/O.
/// Wharton et al., Magn. Reson. Med. 63(5):1292-1304, 2010.
[[nodiscard]] Result tsvd(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                          const TsvdOptions& options = {});

}  // namespace qsmpi::inversion
