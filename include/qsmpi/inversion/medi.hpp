#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Whether voxels that the model cannot explain lose weight (MERIT).
enum class Reweighting { off, merit };

/// Settings of medi().
struct MediOptions {
    double lambda = 1e-4;  ///< weight of the total variation [ppm mm]
    double edge_fraction =
        0.3;  ///< part of the magnitude's gradient components in the mask that count as edges, [0, 1)
    double smoothing_ppm_per_mm = 5e-3;  ///< |g| is taken as sqrt(g^2 + this^2)
    double csf_lambda = 0.1;             ///< weight of the spread within cerebrospinal fluid (MEDI+0); dimensionless
    Reweighting reweighting = Reweighting::off;
    int max_iterations = 10;    ///< Gauss-Newton steps, and as many before them for the linear limit
    double tolerance = 0.1;     ///< stops when ||step|| < tolerance ||x||
    int cg_iterations = 20;     ///< at most, for each step; more of them fit what is left of the background
    double cg_tolerance = 0.1;  ///< residual of a step relative to its start
    int pad_voxels = 16;        ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// What medi() may look at besides the field. Pointers may be null; nothing is kept.
struct MediInput {
    const VolumeF* weight = nullptr;     ///< relative trust in the field, 0: unknown; null: 1
    const VolumeF* magnitude = nullptr;  ///< any unit; null: no edges are spared
    const Mask* csf_mask = nullptr;      ///< null: no term for cerebrospinal fluid
    double radians_per_ppm = 0.0;        ///< s of the model; 0: its linear limit
};

/// The settings that the registry runs: lambda is 1e-4 ppm for each step of a voxel, steps are smoothed at 5e-3 ppm, so that
/// the same numbers on voxels of another size give the same map.
[[nodiscard]] MediOptions medi_defaults(const Grid& grid);

/// Susceptibility by morphology enabled dipole inversion (MEDI): minimises
///   1/(2 s^2) || w (exp(i s D x) - exp(i s f)) ||^2 + lambda || M G x ||_1 + csf_lambda/2 || x - mean x ||^2_csf
/// where M spares the edges of the magnitude, by Gauss-Newton steps with reweighted least squares for the norm and
/// conjugate gradients for each step. The linear limit (s = 0) comes first: it is convex.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param observer          told after each Gauss-Newton step
/// @return susceptibility [ppm], 0 outside the mask; with a csf mask, the fluid's mean is 0
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// 2 F for each iteration of conjugate gradients, where F is a pair of FFTs of the padded box; 13 volumes of the box.
/// Same bits for any number of threads.
/// Liu J. et al., NeuroImage 59(3):2560-2568, 2012. Liu T. et al., Magn. Reson. Med. 69(2):467-476, 2013.
/// Liu Z. et al. (MEDI+0), Magn. Reson. Med. 79(5):2795-2803, 2018.
[[nodiscard]] Result medi(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                          const MediInput& input = {}, const MediOptions& options = {}, const Observer& observer = {});

}  // namespace qsmpi::inversion
