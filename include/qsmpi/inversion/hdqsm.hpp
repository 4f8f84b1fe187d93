#pragma once
#include "qsmpi/inversion/splitting.hpp"

namespace qsmpi::inversion {

/// Settings of hdqsm().
struct HdqsmOptions {
    SplittingOptions first{.lambda = 0.03, .mu = 100.0, .max_iterations = 20};  ///< as in l1()
    SplittingOptions second{};                                                              ///< as in tv()
};

/// Susceptibility by the hybrid data fidelity method (HD-QSM): a few iterations with a data term of magnitudes find
/// where field and map contradict each other, d = |f - D x| / max |f - D x|; then total variation with weights w (1 -
/// d), from there on.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: 1 in
///                          the mask
/// @param observer          told after each iteration; the second stage counts on
/// @return susceptibility [ppm], 0 outside the mask; iterations of both stages. A field that is not finite has weight 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 2.5 F an iteration, where F is a pair of FFTs of the padded box; volumes of the box's size: 9, and 3 of the
/// padded size. Same bits for any number of threads.
/// Lambert et al., Magn. Reson. Med. 88(2):962-972, 2022.
[[nodiscard]] Result hdqsm(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                           const HdqsmOptions& options = {}, const VolumeF* weight = nullptr,
                           const Observer& observer = {});

}  // namespace qsmpi::inversion
