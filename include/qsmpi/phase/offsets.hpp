#pragma once
#include <array>
#include <cstddef>
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// How the phase at TE 0 is found from two echoes.
enum class OffsetMethod {
    automatic,  ///< ASPIRE where the echo times allow it, else MCPC-3D-S
    mcpc3ds,    ///< the step between the echoes is unwrapped
    aspire      ///< (m + 1) phi_1 - m phi_2 with whole m = TE1 / (TE2 - TE1): nothing is unwrapped
};

struct OffsetOptions {
    double smoothing_sigma_mm = 7.0;  ///< Gaussian that smooths the offset, standard deviation
    OffsetMethod method = OffsetMethod::automatic;
};

/// What remove_offset() will do.
struct OffsetPlan {
    OffsetMethod method = OffsetMethod::mcpc3ds;  ///< never `automatic`
    std::array<std::size_t, 2> echoes{0, 1};      ///< indices of the two echoes that tell the offset
};

/// How the wraps of the step between the two echoes became known.
enum class StepWraps {
    own,         ///< the step was unwrapped by itself, or its wraps do not matter (ASPIRE)
    from_first,  ///< from the first of the two echoes: the step alone is too steep
    unknown      ///< too steep, and the first echo too noisy to tell: unwrapped by itself all the same
};

/// What remove_offset() has done.
struct RemovedOffset {
    VolumeF offset_rad;  ///< smoothed, any multiple of 2 pi apart
    StepWraps wraps = StepWraps::own;
    double steep_steps = 0.0;  ///< contradicting_steps() of the step between the echoes and the first of
                               ///< them; 0 where wrong turns would be outvoted
};

/// The first two echoes tell the offset, but none that misses (magnitude 0 or not finite) in a tenth more
/// voxels than the most complete one.
/// @throws InputError as remove_offset()
[[nodiscard]] OffsetPlan plan_offset(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                                     OffsetMethod method = OffsetMethod::automatic);

/// Removes the coil phase offset (phase at TE 0) from every echo, in place: MCPC-3D-S for combined data. With
/// TE1/(TE2-TE1) within 0.01 of an integer no unwrapping is needed (ASPIRE). Phases come back wrapped to
/// [-pi, pi).
///
/// The offset is smoothed about its mean slope, so that it goes on linearly where there is no signal; it is
/// removed everywhere. Without ASPIRE timing only the largest connected part of the signal counts, because a
/// wrong turn of phi_2 - phi_1 would enter TE1/(TE2-TE1) times. Where echoes are so far apart that phi_2 - phi_1
/// changes by more than half a turn from voxel to voxel, phi_1 is unwrapped, and then what it does not predict of
/// phi_2 - phi_1: no more than (TE2-TE1)/TE1 times the smooth offset and noise. Where one of the two echoes is missing
/// (magnitude 0 or not finite), the first two that are present tell the offset instead.
/// @param phase_rad      wrapped phase of each echo, at least 2, in the order of time; same grid
/// @param magnitude      magnitude of each echo, or empty: weights 1
/// @param echo_times_s   rising
/// @throws InputError for fewer than two echoes, echo times that do not rise, counts and grids that differ, or
/// `aspire` with echo times that are not in that ratio
///
/// Two Gaussian smoothings, and one to three unwrappings without ASPIRE timing, those again for every other pair of
/// echoes that is needed; up to 40 bytes a voxel besides the echoes. Eckstein et al., Magn. Reson. Med. 79:2996-3006, 2018.
[[nodiscard]] RemovedOffset remove_offset(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                                          std::span<const double> echo_times_s,
                                          const OffsetOptions& options = {});

/// Removes the phase that even echoes of a bipolar readout carry against odd ones, in place. Call it before
/// remove_offset(): g is found without regard to the offset, but until it is gone the offset cannot be known.
///
/// Equal spacing gives g modulo pi, spacings 1 : n modulo 2 pi / (1 + n); the branch around 0 is taken.
/// Another branch would be the same as a constant added to the field. Other spacings need the steps between
/// echoes unwrapped.
/// @param phase_rad  wrapped phase of each echo, at least 3, in the order of time; even ones come back in
/// [-pi, pi)
/// @return the smooth alternating phase g [rad] that was subtracted from echoes 2, 4, ...
/// @throws InputError for fewer than three echoes, echo times that do not rise, or counts and grids that
/// differ After Eckstein, thesis, doi 10.34726/hss.2021.43447, with a combination that is free of the offset
/// too.
VolumeF remove_bipolar(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                       std::span<const double> echo_times_s, const OffsetOptions& options = {});

/// How clearly odd and even echoes differ, in [0, 1); to detect a bipolar readout that nobody declared.
///
/// phi1 - 2 phi2 + phi3 (equal spacing; a phi1 - (a + b) phi2 + b phi3 for spacings b : a) holds neither
/// field nor offset: it is 0 but for noise in a monopolar readout and -2 g in a bipolar one. For spacings that are
/// not in a whole ratio within 5 % it is 2 g as remove_bipolar() finds it from unwrapped steps. Its phasor,
/// weighted by magnitude and smoothed by 7 mm, has length C relative to what it would be without noise
/// (coherence, near 0 for noise alone), and root-mean-square angle A over the signal. Evidence = C A^2 / (A^2
/// + (0.3 rad)^2): 0.1 for A = 0.1 rad, as much as flow and multi-compartment tissue give; above 0.5 for g of
/// 0.15 rad and more without noise.
/// @return 0 with fewer than 3 echoes and without signal
[[nodiscard]] double bipolar_evidence(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                                      std::span<const double> echo_times_s);

}  // namespace qsmpi::phase
