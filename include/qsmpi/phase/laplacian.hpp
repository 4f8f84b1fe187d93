#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase {

/// Laplacian unwrapping: wrapped second differences, Poisson solve with Neumann boundaries (DCT-II).
/// Not congruent with the input: harmonic parts change. Schofield & Zhu, Opt. Lett. 28:1194, 2003.
/// @return unwrapped phase [rad], zero mean over the volume
[[nodiscard]] VolumeF unwrap_laplacian(const VolumeF& wrapped_phase_rad);

}  // namespace qsmpi::phase
