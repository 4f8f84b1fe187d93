#pragma once
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::field {

/// A total field map with its uncertainty.
struct FieldMap {
    VolumeF field_hz;           ///< total field [Hz]
    VolumeF sigma_hz;           ///< standard deviation of field_hz [Hz]; infinity where there is no signal
    VolumeF relative_residual;  ///< sum |s - model|^2 / sum |s|^2 over echoes, in [0, 1]; empty for a single echo
};

/// Minimum-variance average of unwrapped, offset-free echoes: weights m^2 TE^2 (fit through the origin).
/// @param noise_std  standard deviation of the real part of the signal, in units of magnitude
/// algorithms.md 3.1.
[[nodiscard]] FieldMap weighted_average(std::span<const VolumeF> unwrapped_phase_rad,
                                        std::span<const VolumeF> magnitude,
                                        std::span<const double> echo_times_s, double noise_std);

/// Weighted linear fit with intercept, weights m^2; needs no offset removal but costs variance. algorithms.md 3.2.
[[nodiscard]] FieldMap linear_fit(std::span<const VolumeF> unwrapped_phase_rad, std::span<const VolumeF> magnitude,
                                  std::span<const double> echo_times_s, double noise_std);

/// Nonlinear complex fit of offset-free echoes, phase = 2 pi f TE (no intercept), refined from `start_hz`
/// (for example weighted_average): per-voxel Gauss-Newton on sum_j m_j^2 |e^{i phi_j} - e^{i 2 pi f TE_j}|^2.
/// Robust where single echoes are wrapped wrongly. Liu et al., Magn. Reson. Med. 69:467-476, 2013.
[[nodiscard]] FieldMap nonlinear_fit(std::span<const VolumeF> wrapped_phase_rad, std::span<const VolumeF> magnitude,
                                     std::span<const double> echo_times_s, const VolumeF& start_hz, double noise_std);

/// Standard deviation of the noise of the real part, from the magnitude of the last echo: robust lower tail of the
/// background if there is one (Rayleigh), else from local differences. Units of magnitude; > 0.
[[nodiscard]] double estimate_noise_std(const VolumeF& magnitude);

}  // namespace qsmpi::field
