#pragma once
#include "qsmpi/inversion/splitting.hpp"

namespace qsmpi::inversion {

/// Settings of l1().
struct L1Options {
    /// The data term is a magnitude: lambda in mm, mu in 1/ppm. The rule of the registry is l1_lambda().
    SplittingOptions splitting{.lambda = 0.03, .mu = 100.0};
    double radians_per_ppm = 0.0;  ///< phase r of 1 ppm at the effective echo time; 0: that of 3 T after 20 ms, 16 rad
};

/// lambda [mm] for a grid and a noise of the field [ppm]; 0: not known.
[[nodiscard]] double l1_lambda(const Grid& grid, double noise_ppm);

/// Susceptibility by total variation with a nonlinear data term of magnitudes (L1-QSM):
/// min 1/r ||w (exp(i r D x) - exp(i r f))||_1 + lambda ||grad x||_1. Voxels whose field is wrong pull no harder than
/// others. The splitting of the published method for the complex difference is not needed: the proximal map of the
/// term has a voxel-wise solution, 2 w/r |sin r (v - f)/2| being concave between its zeros.
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
/// Cost and safety as nltv(). Milovic et al., Magn. Reson. Med. 87(1):457-473, 2022.
[[nodiscard]] Result l1(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                        const L1Options& options = {}, const VolumeF* weight = nullptr, const Observer& observer = {});

}  // namespace qsmpi::inversion
