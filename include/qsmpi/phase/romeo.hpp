#pragma once
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase {

/// What ROMEO looks at besides the wrapped phase itself. Pointers may be null; nothing is kept.
struct RomeoInput {
    const VolumeF* magnitude = nullptr;             ///< any unit; null: magnitude terms are dropped
    const Mask* mask = nullptr;                     ///< null: all voxels
    const VolumeF* second_phase_rad = nullptr;      ///< second echo for the temporal term; null: dropped
    double echo_time_s = 0.0, second_echo_time_s = 0.0;  ///< needed with second_phase_rad
};

/// Unwraps one wrapped phase volume spatially (romeo3 weights with magnitude, romeo4 without), subtracts the global
/// 2 pi n so that the median of round(U / 2 pi) inside the mask is 0. Congruent: output - input is a multiple of 2 pi.
/// Voxels outside the mask are 0; non-finite phase is treated as outside.
/// @return unwrapped phase [rad], shape of the input
/// O(N), growth is serial and deterministic. Dymerska et al., Magn. Reson. Med. 85:2294-2308, 2021.
[[nodiscard]] VolumeF unwrap_romeo(const VolumeF& wrapped_phase_rad, const RomeoInput& input);

/// Template mode: echo `template_echo` is unwrapped in space with the temporal term, the others in time from it,
/// outward. Phase offsets must have been removed before. algorithms.md 2.1.
[[nodiscard]] std::vector<VolumeF> unwrap_romeo_template(std::span<const VolumeF> wrapped_phase_rad,
                                                         std::span<const VolumeF> magnitude,
                                                         std::span<const double> echo_times_s, const Mask* mask);

/// Voxel quality in [0, 1]: mean of the six incident ROMEO edge weights (romeo4 terms), missing edges count 0.
[[nodiscard]] VolumeF romeo_quality(const VolumeF& wrapped_phase_rad, const RomeoInput& input);

}  // namespace qsmpi::phase
