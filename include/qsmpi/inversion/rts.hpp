#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of rts().
struct RtsOptions {
    double threshold = 0.15;   ///< frequencies with |D(k)| above this keep their data; dimensionless, in (0, 2/3)
    double mu = 1e5;           ///< weight of these data against the total variation [1/ppm]
    double rho = 10.0;         ///< penalty of the splitting to begin with; raised when convergence stalls
    int lsmr_iterations = 8;   ///< of the first step, 1 to 8; the paper has 4, which leaves strong frequencies short
    int max_iterations = 20;   ///< of the second step
    double tolerance = 1e-2;   ///< stops when ||x - x_before|| < tolerance ||x||
    int pad_voxels = 16;       ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// Susceptibility by rapid two-step dipole inversion.
///
/// Step 1: a few iterations of LSMR on D x = f in k-space. D is diagonal there, so their result is D q(D^2) F f with
/// the polynomial q that minimises ||D (F f - D x)||; its coefficients follow from moments of |F f|^2: no iteration is run.
/// Step 2: the ill-conditioned frequencies are filled in by min ||grad x||_1 + mu/2 ||M F(x - x1)||^2, M = [|D| > threshold],
/// with ADMM.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param observer          told after each iteration of step 2
/// @return susceptibility [ppm], 0 outside the mask
/// @throws InputError if the grids differ or an option is out of its range
///
/// About 2 + 1 F for each iteration, where F is a pair of FFTs of the padded box. Same bits for any number of threads.
/// Kames et al., NeuroImage 167:276-283, 2018.
[[nodiscard]] Result rts(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                         const RtsOptions& options = {}, const Observer& observer = {});

}  // namespace qsmpi::inversion
