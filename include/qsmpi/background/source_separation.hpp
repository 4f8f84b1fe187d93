#pragma once
#include <array>
#include <functional>
#include <vector>

#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// One round of separate_sources(): conjugate-gradient iterations, and the expected size of the sources that it looks for.
struct SeparationRound {
    int iterations;
    double sigma_inside_ppm;  ///< inside the mask, about the previous map
    double sigma_tissue_ppm;  ///< outside the mask, where there is signal
};
/// The first round finds most of the background, the others mend what it took from the inside: 30 iterations,
/// then 15, and 20 from the sixth round on.
/// Sources in tissue outside may be large, since its voxels hold parts of bone and air.
[[nodiscard]] std::vector<SeparationRound> separation_rounds(int n_rounds);

/// Settings of separate_sources(). Lengths in mm, susceptibilities in ppm, fields in ppm.
struct SeparationOptions {
    std::vector<SeparationRound> rounds = separation_rounds(5);
    /// At least this many rounds where no data beyond the mask tell what is background (unless one is all). 0: no more.
    std::size_t rounds_without_data_beyond = 0;
    /// At least this many rounds where the map found one strong source inside: a haemorrhage's halo takes longer to go. 0: no more.
    std::size_t rounds_beside_strong = 0;
    double strong_ppm = 0.5;             ///< a strong source's voxels are beyond this, either sign
    double strong_moment_ppm_ml = 0.5;   ///< which they hold together, at least: a ball of 1 ppm, 10 mm wide
    double sigma_void_ppm = 10.0;        ///< outside the mask, without signal: air and bone
    double data_margin_mm = 5.0;         ///< signal this close to the mask is used as data too
    double signal_fraction = 0.15;       ///< signal = magnitude above this part of the usual in the mask
    double residual_limit = 0.09;        ///< relative residual of the field fit above which data beyond the mask are not used
    double model_error_ppm = 0.002;      ///< floor of the data's standard deviation
    double rim_error_ppm = 0.1;          ///< floor in the outermost voxels of the data: partial volume, dephasing
    /// Error of the data as part of the largest step to a neighbouring voxel: in the outermost voxels of the data, where the
    /// step is that of sources smaller than a voxel beside it, in the next layer, and further in.
    std::array<double, 3> steepness_error{1.0, 0.1, 0.02};
    double air_ppm = 8.0;                ///< a part of the mask without signal that holds as much is air, and its field background,
    double edge_moment_ppm_mm3 = 0.4;    ///< unless sources of this moment were found inside around it: then it is the edge of one
    double edge_reach_mm = 4.0;          ///< what counts as around
    double outskirts_mm3 = 5000.0;       ///< such a part at the border of the mask, larger than this or with most of its voxels there,
    double outskirts_ppm = 0.5;          ///< is background as well if it holds less than this: bone and air around the object,
    double outskirts_signal = 2.5;       ///< and is not brighter than so many times the darkest tenth of the box
    double dim_fraction = 0.3;           ///< small parts of the mask below this part of the usual signal, and
    double dim_part_mm3 = 100.0;         ///< not larger than this, that
    double strong_part_ppm = 0.6;        ///< hold as much, are background if most of their voxels are at the border of the mask,
    double border_part_ppm = 1.5;        ///< or one is and they hold as much as this, and if none is, no data
    double hole_mm3 = 10.0;              ///< (holes of the mask up to this size are no border)
    double garbled_part = 0.3;           ///< until the end; data again then if the field's misfit in them is below this part of their mean source
    double margin_mm = 16.0;             ///< sources are placed up to here around the mask's box, beyond the edge of the grid too
};

/// What separate_sources() may look at besides the field. Pointers may be null; nothing is kept.
struct SeparationInput {
    const VolumeF* sigma_ppm = nullptr;          ///< standard deviation of the total field; null: uniform
    const VolumeF* magnitude = nullptr;          ///< any unit; null: nothing beyond the mask is used as data
    const VolumeF* relative_residual = nullptr;  ///< of the field fit, [0, 1]
    bool holds_coil_phase = false;               ///< the field does (one echo): smooth, but not harmonic
};

/// What an inversion between rounds is given; all on the box in which the separation works.
struct InnerProblem {
    const VolumeF& local_field_ppm;  ///< 0 outside the mask
    const VolumeF& weight;           ///< trust in it, [0, 1]
    const Mask& mask;
    const VolumeF* magnitude;        ///< null: none; in the first round alone
    int round;                       ///< counts from 0
};
/// A susceptibility map [ppm], 0 outside the mask: the caller's inversion, run between rounds. Mask and weight are the same
/// in all of them, so it may go on from where the last round left it.
using InnerInversion = std::function<VolumeF(const InnerProblem& problem)>;

/// Background removal by maximum a-posteriori separation of sources inside and outside the mask.
///
/// The total field is explained by sources everywhere, f = D x + polynomials up to order two (harmonic ones, unless the field holds
/// the phase of a coil) + noise, with the prior that x is small
/// inside the mask, larger in tissue outside and large where there is no signal:
///   min_y  || w (f - D P y - polynomials) ||^2 + || y ||^2,   x = P y, P = expected size of a source,
/// by conjugate gradients with a fixed number of iterations (early stopping is part of the prior). Then the inner inversion
/// turns the local field into a map that the next round takes as prior mean: sources inside are no longer
/// mistaken for background. The outermost voxels of the data are weighted down instead of being eroded, so the
/// whole mask is kept. Parts of the mask without signal that hold about as much as air does (9.2 ppm) are taken for air, unless
/// small sources all around tell that they are the edge of a haemorrhage: their field is background, and their weight is 0. So are
/// bone and air at the border of a mask that reaches beyond the object.
/// Small dim parts that hold strong sources tell nothing of their own field and spoil the fit around them. Flat along the border of
/// the mask or stronger there than tissue, they are background (bone and air that fill voxels in part). Away from it they are no
/// data in the rounds, and their field goes back into the result (microbleeds).
/// Preconditioned total-field inversion: Liu Z. et al., Magn. Reson. Med. 78:303-315, 2017;
/// PDF: Liu T. et al., NMR Biomed. 24:1129-1136, 2011.
///
/// Where the data deserve far less trust than elsewhere (rim, signal loss), the local field that is returned comes from the
/// sources found inside.
///
/// @param total_field_ppm   relative field; finite inside the mask
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param inner             inversion between rounds; null: one round
/// @return local field, the mask unchanged, and the weight [0, 1] of each voxel for the inversion that follows
/// @throws InputError if grids differ
/// Two FFT pairs of the padded box an iteration; about 7 float volumes of that box. Same bits for any number of threads.
[[nodiscard]] LocalField separate_sources(const VolumeF& total_field_ppm, const Mask& mask,
                                          const UnitVector& b0_direction_ijk, const SeparationInput& input,
                                          const InnerInversion& inner, const SeparationOptions& options = {});

}  // namespace qsmpi::background
