#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of ndi().
struct NdiOptions {
    double damping = 1e-5;         ///< weight of ||x||^2 / 2 against the data; dimensionless
    /// of the field where the weight is 1; stops when the misfit is 0.7 of it. 0: not known
    double noise_ppm = 0.0;
    double radians_per_ppm = 0.0;  ///< phase r of 1 ppm at the effective echo time; 0: that of 3 T after 20 ms, 16 rad
    int max_iterations = 100;
    double tolerance = 4e-3;       ///< stops when ||x - x_before|| < tolerance ||x||: early, which is what regularises
    int pad_voxels = 16;           ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// Susceptibility by nonlinear dipole inversion: accelerated gradient descent on
/// 1/(2 r^2) ||w (exp(i r D x) - exp(i r f))||^2 + damping/2 ||x||^2, begun with a convex data term if 1 in
/// 10000 phases is beyond half a turn, and stopped early. No total variation: a baseline, noisy.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown; clipped at
///                          1.5, so that few good voxels do not slow down all); null: 1 in the mask
/// @param observer          told after each iteration
/// @return susceptibility [ppm], 0 outside the mask. A field that is not finite has weight 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 2.5 F an iteration, where F is a pair of FFTs of the padded box. Same bits for any number of threads.
/// Polak et al., NMR Biomed. 33(12):e4271, 2020; the acceleration is Nesterov's with restarts
/// (O'Donoghue & Candes, Found. Comput. Math. 15:715-732, 2015).
[[nodiscard]] Result ndi(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                         const NdiOptions& options = {}, const VolumeF* weight = nullptr,
                             const Observer& observer = {});

}  // namespace qsmpi::inversion
