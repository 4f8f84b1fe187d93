#pragma once
#include "qsmpi/core/volume.hpp"

/// What becomes of the holes of a mask, and erosion that leaves them alone. algorithms.md 4.6.
/// Along an axis of one or two voxels a hole counts as enclosed though it reaches the border: slabs have holes too.
/// All: outputs are 0 and 1, O(N), the same bits for any number of threads.
namespace qsmpi::mask {

/// Fills enclosed holes (6-connected) of at most this volume; 0: all of them. Idempotent.
/// @throws InputError if the volume is negative
[[nodiscard]] Mask fill(const Mask& mask, double largest_hole_ml = 0.0);

/// Sets every voxel of which at most one of 26 neighbours is outside: pin holes of noise go, vessels and
/// calcifications, which are lines and blobs, stay but for the ends of lines one voxel wide. Neighbours beyond the grid are not counted.
[[nodiscard]] Mask patch(const Mask& mask);

/// Erosion by a ball from outside only: enclosed holes neither grow nor close.
/// The border of the grid is no edge: what it cuts off counts as continuing. A radius <= 0 returns the mask.
[[nodiscard]] Mask peel(const Mask& mask, double radius_mm);

/// Where the mask, smoothed by a Gaussian, exceeds one half: flat faces stay, corners and rough edges are rounded.
/// @param sigma_mm  standard deviation; <= 0 returns the mask
[[nodiscard]] Mask smooth(const Mask& mask, double sigma_mm);

}  // namespace qsmpi::mask
