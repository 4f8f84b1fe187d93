#pragma once
#include <optional>
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase {

struct OffsetOptions {
    double smoothing_sigma_mm = 7.0;  ///< Gaussian that smooths the offset, standard deviation
};

/// Removes the coil phase offset (phase at TE 0) from every echo, in place: MCPC-3D-S for combined data. With
/// TE1/(TE2-TE1) an integer no unwrapping is needed (ASPIRE). Phases come back wrapped to [-pi, pi).
/// @param phase_rad      wrapped phase of each echo, at least 2
/// @param magnitude      magnitude of each echo, or empty: weights 1
/// @return the smoothed offset [rad]
/// @throws InputError for fewer than two echoes or equal echo times
/// Eckstein et al., Magn. Reson. Med. 79:2996-3006, 2018.
[[nodiscard]] VolumeF remove_offset(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                                    std::span<const double> echo_times_s, const OffsetOptions& options = {});

/// Removes the phase that alternates between odd and even echoes of a bipolar readout, in place; three echoes or more.
/// @return the alternating phase g [rad] that even echoes carried against odd ones
/// @throws InputError for fewer than three echoes or echo times for which g is not determined (q = 0)
/// Eckstein, thesis, doi 10.34726/hss.2021.43447.
VolumeF remove_bipolar(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                       std::span<const double> echo_times_s, const OffsetOptions& options = {});

/// Mean resultant length in [0, 1] of exp(i (phi1 - 2 phi2 + phi3)) gradients: how clearly odd and even echoes differ.
/// Used to detect an undeclared bipolar readout; larger than 0.5 for a clear case. Needs 3 echoes, else 0.
[[nodiscard]] double bipolar_evidence(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                                      std::span<const double> echo_times_s);

}  // namespace qsmpi::phase
