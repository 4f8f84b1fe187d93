#pragma once
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// What ROMEO looks at besides the wrapped phase itself. Pointers may be null; nothing is kept.
struct RomeoInput {
    const VolumeF* magnitude = nullptr;                  ///< any unit; null: magnitude terms are dropped
    const Mask* mask = nullptr;                          ///< null: all voxels
    const VolumeF* second_phase_rad = nullptr;           ///< second echo for the temporal term; null: dropped
    double echo_time_s = 0.0, second_echo_time_s = 0.0;  ///< needed with second_phase_rad
};

/// Unwraps one wrapped phase volume spatially: along the minimum spanning forest of its edges, whose costs
/// are those of ROMEO (romeo3 terms with magnitude, romeo4 without).
///
/// Every connected part of the mask is moved by whole turns so that the median of round(U / 2 pi) in it is 0.
/// Congruent: output - input is a multiple of 2 pi. Non-finite phase is treated as outside.
/// @return unwrapped phase [rad], shape of the input; 0 outside the mask
/// @throws InputError for grids that differ, an empty volume, or missing echo times
///
/// Almost all of it runs in parallel; O(N), the same bits for any number of threads. Up to 20 bytes a voxel.
/// Dymerska et al., Magn. Reson. Med. 85:2294-2308, 2021.
[[nodiscard]] VolumeF unwrap_romeo(const VolumeF& wrapped_phase_rad, const RomeoInput& input);

/// Unwraps all echoes: the first one in space, as unwrap_romeo() with the second echo's term, then each later
/// one in time against the weighted mean field (m^2 TE^2) of all echoes before it. Phase offsets must have
/// been removed.
///
/// The first echo fixes the field only modulo 1/TE1 for each connected part; the alias that the phases of all
/// later echoes fit best is taken, the one nearest to 0 if they do not tell (echo times in whole ratios).
///
/// An echo is missing where its magnitude is 0 or a value is not finite. If that befalls the first one in more
/// than 1 % of the voxels, the most complete echo takes its part; where that one is missing too, the field
/// grows in from neighbours and the other echoes are unwrapped against it.
/// @param wrapped_phase_rad  at least one echo, in the order of time
/// @param magnitude          of each echo, or empty
/// @param mask               null: all voxels
/// @return unwrapped phases [rad], 0 outside the mask
/// @throws InputError for counts or grids that differ and echo times that do not rise
[[nodiscard]] std::vector<VolumeF> unwrap_romeo_template(std::span<const VolumeF> wrapped_phase_rad,
                                                         std::span<const VolumeF> magnitude,
                                                         std::span<const double> echo_times_s,
                                                         const Mask* mask);

/// The echo that unwrap_romeo_template() unwraps in space.
[[nodiscard]] std::size_t romeo_template_echo(std::span<const VolumeF> wrapped_phase_rad,
                                              std::span<const VolumeF> magnitude, const Mask* mask);

/// Unwraps every echo in space by itself, with the echo before as second phase (the second one for the
/// first), then moves each connected part of echo k by the median of the whole turns that the echoes before it
/// ask for; the first echo as in unwrap_romeo_template(). For phases that leave the line of echo time, where
/// one echo misleads the next; it needs steps below pi between neighbours at the last echo too.
/// @return unwrapped phases [rad], 0 outside the mask
/// @throws InputError as unwrap_romeo_template()
[[nodiscard]] std::vector<VolumeF> unwrap_romeo_individual(std::span<const VolumeF> wrapped_phase_rad,
                                                           std::span<const VolumeF> magnitude,
                                                           std::span<const double> echo_times_s,
                                                           const Mask* mask);

/// Voxel quality in [0, 1]: mean of the six incident ROMEO edge weights (romeo4 terms), missing edges count
/// 0. The mask of `input` is not looked at.
[[nodiscard]] VolumeF romeo_quality(const VolumeF& wrapped_phase_rad, const RomeoInput& input);

}  // namespace qsmpi::phase
