#pragma once
#include "qsmpi/inversion/splitting.hpp"

namespace qsmpi::inversion {

/// Settings of nltv().
struct NltvOptions {
    SplittingOptions splitting{};
    double radians_per_ppm = 0.0;  ///< phase r of 1 ppm at the effective echo time; 0: that of 3 T after 20 ms, 16 rad
};

/// Susceptibility by total variation with a nonlinear data term (FANSI):
/// min 1/(2 r^2) ||w (exp(i r D x) - exp(i r f))||^2 + lambda ||grad x||_1, so that a field that is wrong by a whole
/// turn of the phase does no harm. Where the phase is small this is tv() with the same lambda.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: 1 in
///                          the mask
/// @param observer          told after each iteration
/// @return susceptibility [ppm], 0 outside the mask. A field that is not finite has weight 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 2.5 F an iteration, where F is a pair of FFTs of the padded box; volumes of the box's size: 8, and 3 of the
/// padded size. Same bits for any number of threads.
/// Milovic et al., Magn. Reson. Med. 80(2):814-821, 2018.
[[nodiscard]] Result nltv(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                          const NltvOptions& options = {}, const VolumeF* weight = nullptr,
                          const Observer& observer = {});

}  // namespace qsmpi::inversion
