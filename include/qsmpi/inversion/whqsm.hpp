#pragma once
#include "qsmpi/inversion/splitting.hpp"

namespace qsmpi::inversion {

/// Settings of whqsm().
struct WhqsmOptions {
    SplittingOptions splitting{.support = 0.03};
    double harmonic = 150.0;        ///< weight beta of h^2 Lap q against the data; dimensionless
    double harmonic_penalty = 3.0;  ///< of its splitting; dimensionless
    double radians_per_ppm = 0.0;   ///< phase r of 1 ppm at the effective echo time; 0: that of 3 T after 20 ms, 16 rad
};

/// Susceptibility together with what the background removal left over (WH-QSM):
/// min 1/(2 r^2) ||w (exp(i r (D x + q)) - exp(i r f))||^2 + beta/2 ||h^2 Lap q||^2 in the mask + lambda ||grad
/// x||_1, where the field q is all but harmonic in the mask, h is the edge of a voxel, and x is 0 outside the mask. x
/// and q are updated together, by a 2x2 system at each frequency.
///
/// @param local_field_ppm   field relative to B0 [ppm], most of the background removed; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: 1 in
///                          the mask
/// @param observer          told after each iteration
/// @return susceptibility [ppm], 0 outside the mask. A field that is not finite has weight 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 4.6 F an iteration, where F is a pair of FFTs of the padded box; volumes of the box's size: 9, and 6 of the
/// padded size. Same bits for any number of threads.
/// Milovic et al., Magn. Reson. Med. 81(2):1399-1411, 2019.
[[nodiscard]] Result whqsm(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                           const WhqsmOptions& options = {}, const VolumeF* weight = nullptr,
                           const Observer& observer = {});

}  // namespace qsmpi::inversion
