#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// What a closed-form inversion keeps small: the map, its gradient, or its Laplacian.
enum class Penalty { identity, gradient, laplacian };

/// Settings of tikhonov().
struct TikhonovOptions {
    /// The identity is the best of the three on a simulated head: penalties of derivatives leave the long waves along
    /// the cone of D = 0 free, and a field that ends at the mask excites them.
    Penalty penalty = Penalty::identity;
    double lambda = 3e-3;  ///< weight of the penalty; unit 1, mm^2 or mm^4 by the penalty, in this order
    /// divide by the share of a white source that is kept; only for the identity
    bool correct_underestimation = true;
    int pad_voxels = 16;                   ///< least zero padding of each axis, against FFT wrap-around
    double pad_fraction = 0.25;            ///< the same as a part of each axis; the larger counts
};

/// lambda for a penalty, a grid and a noise of the field: for steps of a voxel, so that the weight against the data
/// does not change with the voxel size. @param noise_ppm  standard deviation of the field [ppm]; 0: not known
[[nodiscard]] double tikhonov_lambda(Penalty penalty, const Grid& grid, double noise_ppm);

/// Susceptibility from a local field by quadratic regularisation, in closed form:
/// min ||D x - f||^2 + lambda ||P x||^2 is x = F^-1 D / (D^2 + lambda P^T P) F f.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @return susceptibility [ppm], 0 outside the mask; k = 0 set to 0
/// @throws InputError if the grids differ, the direction is no unit vector or lambda is not positive
///
/// One pair of FFTs of the mask's box, padded. Deterministic, thread-safe, no MPI, no I/O.
/// Bilgic et al., J. Magn. Reson. Imaging 40(1):181-191, 2014.
[[nodiscard]] Result tikhonov(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                              const TikhonovOptions& options = {});

}  // namespace qsmpi::inversion
