#pragma once
#include "chain.hpp"
#include "qsmpi/phase/offsets.hpp"

namespace qsmpi::pipeline {

/// Whether a phase or field is exactly 0 in a voxel and in so many of its neighbours that it is no measurement.
[[nodiscard]] bool is_gap(const VolumeF& values, std::size_t voxel);

/// Looks at what was read before anything is done with it, and settles what can be settled: parts of an echo that are
/// missing get no weight (magnitude 0), a few voxels far brighter than all others get less, an echo that is missing or noise altogether is taken out of the chain, with a
/// warning that names it.
/// @throws InputError where no echo is left: phase is noise, magnitude and phase are exchanged, nothing was recorded
/// @throws InputError where two echoes hold the same phase, or an echo holds it in another unit than the others
void check_echoes(Chain& chain);

/// Warns of two echoes, by index, so far apart that the step between them could not be unwrapped by itself when the
/// coil offset was removed.
void warn_of_steep_steps(Chain& chain, std::size_t first, std::size_t second, const phase::RemovedOffset& removed);

/// Warns of a field [ppm] whose standard deviation inside the mask exceeds the usual: another unit, most likely.
void warn_of_implausible_field(Chain& chain, const VolumeF& field_ppm, const Mask& mask, double usual_ppm);

/// Warns of what unwrapping cannot settle: parts whose fields are known only apart from each other, and steps between
/// voxels that are beyond it. To be called with the unwrapped echoes, whose domain is known.
void check_unwrapped(Chain& chain);

}  // namespace qsmpi::pipeline
