#pragma once
#include "qsmpi/inversion/tv.hpp"

namespace qsmpi::inversion {

/// Settings of the total variation methods whose data term acts voxel by voxel, all solved by the same ADMM.
struct SplittingOptions {
    double lambda = 1e-4;        ///< weight of the total variation [ppm mm]; [mm] where the data term is a magnitude
    double rho = 0.0;            ///< penalty of the gradient splitting; 0: 500 lambda h, with h = voxel's edge [mm]
    double mu = 1.0;             ///< penalty of the data splitting; [1/ppm] where the data term is a magnitude
    double relaxation = 1.6;     ///< over-relaxation, in [1, 1.9]
    /// penalty of a splitting that holds the map at 0 outside the mask; 0: it is free there
    double support = 0.0;
    TvNorm norm = TvNorm::anisotropic;
    int max_iterations = 60;
    double tolerance = 1e-2;     ///< stops when ||x - x_before|| < tolerance ||x||
    int pad_voxels = 16;         ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// lambda [ppm mm] for a grid and a noise of the field. In ppm for each step of a voxel, so that the weight against the
/// data does not change with the voxel size: 0.08 of the noise, at least 5e-5; 1e-4 where the noise is not known.
/// @param noise_ppm  standard deviation of the field where the weight is 1 [ppm]; 0: not known
[[nodiscard]] double splitting_lambda(const Grid& grid, double noise_ppm);

}  // namespace qsmpi::inversion
