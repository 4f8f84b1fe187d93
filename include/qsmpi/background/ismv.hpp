#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of ismv().
struct IsmvOptions {
    double radius_mm = 0.0;    ///< 0: 2 * the largest voxel edge; at least 1.5 * that edge is used
    int max_iterations = 300;  ///< of conjugate gradients
    double tolerance = 1e-3;   ///< of the residual, relative to the right side
};

/// Local field by iterative spherical mean values (iSMV): the background u is the total field f in the rim, where the
/// ball does not fit, and equals its own mean over the ball inside, u = S s*u + (1 - S) f.
///
/// Wen's iteration u <- S s*u + (1 - S) f converges to that fixed point, slowly. For the local field l = f - u, which
/// is 0 in the rim, it reads (I - S s S) l = S (f - s*f): symmetric and positive, so conjugate gradients solve it in
/// the square root of the iterations.
///
/// @param total_field_ppm  unwrapped total field, in any unit: the method is linear; not finite: unknown
/// @param mask             where the field is known; same grid. The world beyond the grid is outside
/// @return local field, valid where the ball fits: the mask loses about the radius
/// @throws InputError if the grids differ or an option is out of its range
///
/// 1 F an iteration and 2 F more, where F is a pair of FFTs of the mask's box; 7 volumes of the box. Same bits for any
/// number of threads.
/// Wen et al., Magn. Reson. Med. 72:1065-1071, 2014.
[[nodiscard]] LocalField ismv(const VolumeF& total_field_ppm, const Mask& mask, const IsmvOptions& options = {});

}  // namespace qsmpi::background
