#pragma once
#include "qsmpi/core/volume.hpp"

/// Susceptibility-weighted images: magnitude darkened where the local field of veins and iron is high. Paramagnetic
/// sources have positive phase here (core/units.hpp), so positive phase darkens.
namespace qsmpi::swi {

struct ClearSwiOptions {
    double high_pass_sigma_mm = 4.0;    ///< of the Gaussian whose smoothed field is subtracted
    double sensitivity_sigma_mm = 7.0;  ///< smoothness of the coil sensitivity, at most a tenth of the field of view
    double strength = 4.0;              ///< of the phase contrast, > 0
    bool flatten = true;                ///< divide by the sensitivity and compress bright tissue (softplus)
};

/// CLEAR-SWI: all echoes combined before filtering, so that no wrap and no unwrapped jump enters.
///
/// Magnitude over its sensitivity (see sensitivity()), compressed by a softplus of bright tissue, times the phase mask
/// (1 + tanh(1 - x/t)) / 2 of the high-passed field x, where t is the median of the positive x inside the mask times
/// 10 / strength. The high pass is a Gaussian in three dimensions and mm, where the paper has two and voxels: that keeps
/// more of the veins that run in a slice. Outside the mask x = 0. A field flatter than 0.001 Hz gives no contrast.
///
/// @param magnitude  combined echoes, for example the root of the sum of squares; what is not finite counts as 0
/// @param field_hz   total field; only voxels of the mask count
/// @param mask       where the field is known
/// @return image in units of 1 with flatten, else of the magnitude; the same grid
/// @throws InputError if the grids differ or an option is not positive
/// Two weighted Gaussians and 5 volumes of scratch. Same bits for any number of threads.
/// Eckstein et al., NeuroImage 237:118175, 2021.
[[nodiscard]] VolumeF clear_swi(const VolumeF& magnitude, const VolumeF& field_hz, const Mask& mask,
                                const ClearSwiOptions& options = {});

struct ClassicSwiOptions {
    double low_pass_sigma_mm = 4.0;  ///< in k-space like a Hann window of 0.09 cycles/mm: 48^2 of 256^2 samples of 1 mm
    int power = 4;                   ///< how often the phase mask is multiplied, >= 1
};

/// Classic SWI: homodyne filter and linear phase mask.
///
/// The phase is that of the complex signal times the conjugate of its Gaussian low pass (over the mask); the mask is
/// (1 - phase/pi)^power for positive phase, else 1, and 1 outside.
/// @param phase_rad  of one echo, wrapped or not, positive for paramagnetic sources
/// @throws InputError if the grids differ or an option is not positive
/// One complex Gaussian and 3 volumes. Same bits for any number of threads.
/// Haacke et al., Magn. Reson. Med. 52:612-618, 2004.
[[nodiscard]] VolumeF classic_swi(const VolumeF& magnitude, const VolumeF& phase_rad, const Mask& mask,
                                  const ClassicSwiOptions& options = {});

/// Smallest value over a slab along one axis, centred on every slice: veins become lines. The grid stays, so that the
/// result lies over the image; slabs are cut off at the borders. An even number of slices reaches one further up.
/// @param slab_mm  thickness, rounded to slices, at least one
/// @param axis     0, 1 or 2
/// @throws InputError for another axis or a slab that is not positive
[[nodiscard]] VolumeF minimum_intensity_projection(const VolumeF& image, double slab_mm = 7.0, int axis = 2);

/// Coil sensitivity, from where the image shows the tissue that prevails around: windows of 30 mm every 15 mm vote for the
/// voxels within a tenth of their bright end (0.9 quantile), and what two or more elect is smoothed.
/// @throws InputError if the grids differ or the sigma is not positive
/// Eckstein et al. 2021 (above).
[[nodiscard]] VolumeF sensitivity(const VolumeF& magnitude, const Mask& mask, double sigma_mm = 7.0);

}  // namespace qsmpi::swi
