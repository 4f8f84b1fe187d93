#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

/// Susceptibility is known up to a constant; this says which.
enum class Reference { none, mean };

/// Subtracts the mean over the mask, voxels of weight 0 excluded, from all voxels of the mask; 0 elsewhere.
/// With Reference::none only the voxels outside the mask are set to 0.
/// @param chi_ppm  susceptibility [ppm], changed in place
/// @param weight   null: all voxels of the mask count
/// @return what was subtracted [ppm]; 0 if no voxel counts
/// @throws InputError if the grids differ
///
/// Two passes, sums in double. algorithms.md 7.2.
double set_reference(VolumeF& chi_ppm, const Mask& mask, Reference reference, const VolumeF* weight = nullptr);

/// "none" | "mean"; throws InputError for another word.
[[nodiscard]] Reference reference_from(const char* name);

}  // namespace qsmpi::inversion
