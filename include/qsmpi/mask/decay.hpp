#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::mask {

/// Settings of without_fast_rim().
struct FastRimOptions {
    double factor = 2.5;        ///< R2* above so many times its median in the mask is fast
    double smoothing_mm = 0.8;  ///< of R2*, standard deviation of a Gaussian
    double depth_mm = 6.0;      ///< fast decay deeper than this stays
    double opening_mm = 1.5;    ///< radius of an opening of fast regions, at least a voxel: what is thinner stays (surface vessels, the rim)
    double least_ml = 0.2;      ///< smaller regions stay: noise
    double most = 0.08;         ///< if more than this part of the mask would go, R2* tells no vessels apart: all of it stays
};

/// Takes regions of fast decay off the surface of a mask: venous sinuses, and tissue dephased by air beside it. Such a region lies
/// half in and half out of any mask of reliable phase, its field is 0.3 ppm and steep, and what is left of it in the mask spoils
/// the susceptibility of centimetres around. Vessels and lesions that do not reach the surface stay.
///
/// @param r2star_per_s  same grid; voxels that are not finite or not above 0 are unknown: as their neighbours
/// @return the largest connected part of what is left
/// @throws InputError if the grids differ or an option is out of its range
/// One Gaussian and, where anything is fast, one distance transform; 4 volumes. Same bits for any number of threads.
[[nodiscard]] Mask without_fast_rim(const Mask& mask, const VolumeF& r2star_per_s, const FastRimOptions& options = {});

}  // namespace qsmpi::mask
