#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of ilsqr(). Quantiles are parts of the voxels of the mask, or of all frequencies.
struct IlsqrOptions {
    double flat_quantile = 0.9;             ///< fields with a Laplacian smaller than this quantile have weight 1 ...
    double steep_quantile = 1.0;            ///< ... and above this one weight 0, linear in between
    double tolerance = 0.01;                ///< of both least-squares solutions: residual relative to its start
    int max_iterations = 50;                ///< of each
    double cone_threshold = 0.1;            ///< frequencies with |D| below this may be artefacts; in (0, 2/3)
    double smooth_mm = 3.0;                 ///< radius of the mean that fills the worst frequencies of the edge map
    double smooth_gradient_quantile = 0.5;  ///< gradients below this quantile of the edge map have weight 1 ...
    double edge_gradient_quantile = 0.7;    ///< ... and above this one weight 0
    int pad_voxels = 16;                    ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// Susceptibility by the iLSQR method: least squares, then what looks like streaks is estimated and taken away.
///
/// 1. D W D x = D W f by conjugate gradients from 0, W small where the field is not smooth; early stopping
/// regularises.
/// 2. An edge map: sign(D) F f with the ill-conditioned frequencies blended with their mean over a ball, twice.
/// 3. The artefact a, made of frequencies with |D| < cone_threshold, that minimises || W_e grad (x - a) ||: where the
///    edge map is smooth, the map should be; x - a is the result.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            multiplies into W^(1/2), about 1 / sigma with mean 1, 0: unknown; null: 1
/// @param observer          told after each of the two solutions
/// @return susceptibility [ppm], 0 outside the mask
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// 2 F for each iteration of either solution, and 5 F more, where F is a pair of FFTs of the padded box; about 10
/// volumes of the box. Same bits for any number of threads. Conjugate gradients take the place of the paper's LSQR:
/// the same equations at half the price; and W spares all but the steepest tenth of the field (the paper: six tenths), since the
/// weight knows the noise already, and strong sources need their data. Li et al., NeuroImage 108:111-122, 2015.
[[nodiscard]] Result ilsqr(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                           const IlsqrOptions& options = {}, const VolumeF* weight = nullptr,
                           const Observer& observer = {});

}  // namespace qsmpi::inversion
