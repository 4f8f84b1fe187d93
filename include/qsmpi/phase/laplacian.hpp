#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// Laplacian unwrapping: wrapped second differences, Poisson solve with Neumann boundaries (DCT-II).
///
/// Exact up to a constant where no step between neighbours exceeds pi; elsewhere steps are lost, and the
/// difference to the truth is harmonic away from them. Not congruent with the input. Steps to non-finite
/// phase count 0.
/// @param wrapped_phase_rad  any grid; voxel sizes may differ between the axes
/// @return unwrapped phase [rad], zero mean over the volume
/// @throws InputError for an empty volume
///
/// Two real FFTs of the volume's own size; 8 bytes a voxel besides the result. Deterministic.
/// Schofield & Zhu, Opt. Lett. 28:1194, 2003; Ghiglia & Romero, J. Opt. Soc. Am. A 11:107, 1994.
[[nodiscard]] VolumeF unwrap_laplacian(const VolumeF& wrapped_phase_rad);

}  // namespace qsmpi::phase
