#pragma once
#include <cstddef>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// How well phase hangs together over two voxels, in blocks of 8 x 8 x 8: R = |sum m_i m_j e^{i (phi_i - phi_j)}| /
/// sum m_i m_j, along the axis where it is largest, less what n pairs agree by chance: R^2 - 4 / n
/// (n of equal weight).
/// White noise has hardly any, and noise that was interpolated to twice its matrix no more, since values two
/// voxels apart share nothing; signal at a signal-to-noise ratio of 3 has 0.8, a steady slope of any steepness 1.
struct Coherence {
    double mean = 0.0;  ///< over the blocks, each weighted by its sum m_i m_j
    double best = 0.0;  ///< that one block in fifty exceeds: an object smaller than the field of view
};

/// @param wrapped_phase_rad  any phase; voxels that are not finite do not count
/// @param magnitude          null: all voxels alike
/// @throws InputError if the grids differ
/// Looks at a thousand blocks at most: some 30 ms. 0 for fewer than 3 voxels along every axis.
[[nodiscard]] Coherence coherence(const VolumeF& wrapped_phase_rad, const VolumeF* magnitude);

/// Part of the steps between neighbours inside the mask that exceed `limit`, in the unit of the values.
/// @throws InputError if the grids differ
[[nodiscard]] double steps_beyond(const VolumeF& values, const Mask& mask, float limit);

/// Part of the steps between neighbours inside the mask that exceed half a turn after unwrapping. Where the true
/// steps are below that a path finds them all, and 0 is left; what is left tells how much of the field was
/// beyond the reach of unwrapping (steep field, long echo time, thick voxels).
/// @throws InputError if the grids differ
[[nodiscard]] double broken_steps(const VolumeF& unwrapped_phase_rad, const Mask& mask);

/// Part of the steps between neighbours inside the mask where the wrapped step of a phase is not within half a turn
/// of `factor` times that of a guide, which should predict it but for something smooth: the phase turns by more than
/// half a turn from voxel to voxel there (or the guide does, or there is noise), so that it cannot be unwrapped alone.
/// @throws InputError if the grids differ
[[nodiscard]] double contradicting_steps(const VolumeF& wrapped_phase_rad, const VolumeF& guide_rad, float factor,
                                         const Mask& mask);

/// Part of the voxels that lie above, or below, both neighbours along the first axis by more than 0.4 of the image's
/// range (its quantiles of 1 and 99 % and 0, which is in the range of every magnitude: that of a flat one is not its
/// noise). Phase of air is at random between both ends and has 14 %; a magnitude has edges, but no such teeth.
[[nodiscard]] double teeth(const VolumeF& image);

}  // namespace qsmpi::phase
