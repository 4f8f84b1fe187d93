#pragma once
#include "qsmpi/inversion/splitting.hpp"

namespace qsmpi::inversion {

/// Settings of star().
struct StarOptions {
    double strong_lambda = 5e-3;     ///< weight of the total variation [ppm mm] for the strong sources
    double strong_chi_ppm = 0.3;     ///< what counts as strong: a magnitude above this
    double margin_mm = 1.5;          ///< strong sources are widened by this
    SplittingOptions splitting{};    ///< for what is left; all but lambda also for the strong sources
};

/// Susceptibility in two passes, strong sources first: their streaks would drown their surroundings.
///
/// The first pass, under a heavy total variation, finds where |x| is large. The field of these sources is subtracted,
/// the rest of the field is inverted under a light one, and both maps are added. Modelled on what is published of
/// STAR-QSM, whose code is not: "STAR-like".
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: 1 in
///                          the mask
/// @param observer          told after each iteration; the second pass counts on
/// @return susceptibility [ppm], 0 outside the mask; iterations of both passes. A field that is not finite has weight 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 2.5 F an iteration, where F is a pair of FFTs of the padded box. Same bits for any number of threads.
/// Wei et al., NMR Biomed. 28(10):1294-1303, 2015.
[[nodiscard]] Result star(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                          const StarOptions& options = {}, const VolumeF* weight = nullptr,
                          const Observer& observer = {});

}  // namespace qsmpi::inversion
