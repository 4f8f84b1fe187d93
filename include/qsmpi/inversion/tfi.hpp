#pragma once
#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Settings of tfi(). Lengths in mm, susceptibilities and fields in ppm.
struct TfiOptions {
    double lambda = 2e-4;                ///< weight of the total variation inside the mask [ppm mm]
    double smoothing_ppm_per_mm = 5e-3;  ///< |g| is taken as sqrt(g^2 + this^2)
    double edge_fraction = 0.3;          ///< part of the magnitude's gradients in the mask that are spared, [0, 1)
    double void_size_ppm = 5.0;          ///< expected size of sources outside the mask without signal: air and bone
    double tissue_size_ppm = 0.2;        ///< and with signal; without a magnitude nothing outside counts as tissue
    double inside_size_ppm = 0.2;        ///< and in the mask: keeps the inside from taking over the background
    double first_preconditioner = 30.0;  ///< P without signal [ppm] in the first, third, ... solution: for the background
    double preconditioner = 10.0;        ///< and in the others: for the inside
    double signal_fraction = 0.15;        ///< signal = magnitude above this part of its median in the mask
    double model_error_ppm = 0.002;       ///< floor of the data's standard deviation
    double rim_error_ppm = 0.05;          ///< floor in the outermost layer of the mask: partial volume, dephasing
    double second_rim_error_ppm = 0.005;  ///< floor in the next layer
    double steepness_error = 0.03;        ///< error of the data as part of the largest step to a neighbouring voxel
    double margin_mm = 14.0;              ///< sources are placed up to here around the mask's box
    double pad_fraction = 0.2;            ///< and in this much padding
    int max_iterations = 5;               ///< reweightings of the norm
    int first_cg_iterations = 60;         ///< before the first one: the background
    int cg_iterations = 40;               ///< after it
    double cg_tolerance = 0.003;          ///< residual of a step relative to its start
    double tolerance = 0.02;              ///< stops when ||x - x_before|| < tolerance ||x|| in the mask
};

/// What tfi() may look at besides the field. Pointers may be null; nothing is kept.
struct TfiInput {
    const VolumeF* sigma_ppm = nullptr;  ///< of the field, infinite where unknown; null: the floors alone
    const VolumeF* magnitude = nullptr;  ///< any unit; null: no edges are spared
};

/// The settings that the registry runs: lambda is 2e-4 ppm for each step of a voxel, steps are smoothed at 5e-3 ppm, so that
/// the same numbers on voxels of another size give the same map, but for the margin.
[[nodiscard]] TfiOptions tfi_defaults(const Grid& grid);

/// Susceptibility by total field inversion: sources inside and outside the mask are found together, so there is no
/// background removal whose errors the inversion would inherit. Minimises, over sources x = P y everywhere and a constant c,
///   1/2 || w (D x + c - f) ||^2 + lambda || M G x ||_1 in the mask + model_error^2/2 || x / size ||^2
/// by reweighted least squares, with conjugate gradients in y: the preconditioner P is large outside the mask, where
/// sources are strong. M spares the edges of the magnitude.
///
/// @param total_field_ppm   relative field with background, unwrapped [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; voxels where the field is not finite carry no data
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param observer          told after each reweighting
/// @return susceptibility [ppm], 0 outside the mask
/// @throws InputError if the grids differ, the direction is no unit vector or an option is out of its range
///
/// 2 F for each iteration of conjugate gradients, where F is a pair of FFTs of the padded box; 4 volumes and a
/// spectrum of the padded grid, 8 volumes of the box. Same bits for any number of threads.
/// Liu Z. et al., Magn. Reson. Med. 78(1):303-315, 2017.
[[nodiscard]] Result tfi(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                         const TfiInput& input = {}, const TfiOptions& options = {}, const Observer& observer = {});

}  // namespace qsmpi::inversion
