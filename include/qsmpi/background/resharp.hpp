#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of resharp().
struct ResharpOptions {
    double radius_mm = 6.0;    ///< at least 1.5 * the largest voxel edge is used
    double lambda = 1e-4;      ///< weight of || l ||^2, against squared fields: dimensionless
    int max_iterations = 120;  ///< of conjugate gradients
    double tolerance = 0.003;  ///< of the residual, relative to the right side
};

/// Local field by RESHARP: the smallest field l that leaves, once its mean over a ball is taken away, what the
/// total field f leaves, min_l || S (C l - C f) ||^2 + lambda || l ||^2. C takes the mean over the ball away, and
/// with it all fields of sources outside; S are the voxels where the ball fits.
///
/// Solved in the space of the data: l = C S u with (S C^2 S + lambda) u = S C f. The normal equations
/// (C S C + lambda) l = C S C f have the same solution and the same Krylov space, but need two filters an iteration.
///
/// @param total_field_ppm  unwrapped total field, in any unit: the method is linear; not finite: unknown
/// @param mask             where the field is known; same grid. The world beyond the grid is outside
/// @return local field, valid where the ball fits: the mask loses about the radius
/// @throws InputError if the grids differ or an option is not positive
///
/// 1 F an iteration and 4 F more, where F is a pair of FFTs of the mask's box; 7 volumes of the box. Same bits for any
/// number of threads.
/// Sun and Wilman, Magn. Reson. Med. 71:1151-1157, 2014.
[[nodiscard]] LocalField resharp(const VolumeF& total_field_ppm, const Mask& mask, const ResharpOptions& options = {});

}  // namespace qsmpi::background
