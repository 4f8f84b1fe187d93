#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Exact Euclidean distance [mm] of every inside voxel's centre to the nearest outside voxel's centre; 0 outside,
/// infinity where nothing is outside.
/// The world beyond the grid counts as outside when `border_is_outside`. Felzenszwalb & Huttenlocher 2012, separable.
[[nodiscard]] VolumeF distance_inside_mm(const Mask& mask, bool border_is_outside = true);

/// Erosion and dilation by a ball of radius_mm, closing and opening from them; exact: a voxel is in the ball when its
/// centre is at most radius_mm away. Closing never loses a voxel, opening never gains one, and both are idempotent:
/// for them the world beyond the grid is neither inside nor outside.
/// A radius <= 0 returns the mask. Outputs are 0 and 1.
[[nodiscard]] Mask erode(const Mask& mask, double radius_mm, bool border_is_outside = true);
[[nodiscard]] Mask dilate(const Mask& mask, double radius_mm);
[[nodiscard]] Mask close(const Mask& mask, double radius_mm);
[[nodiscard]] Mask open(const Mask& mask, double radius_mm);
/// Fills background components (6-connected) that do not reach the border of the grid.
[[nodiscard]] Mask fill_holes(const Mask& mask);
/// Fills such components only up to `largest_hole_voxels`.
[[nodiscard]] Mask fill_holes(const Mask& mask, std::size_t largest_hole_voxels);
/// Labels 1..n of 6-connected components in scan order; 0 outside. sizes[k] = voxels of label k (sizes[0] = outside).
struct Components {
    Volume<std::uint32_t> labels;
    std::vector<std::size_t> sizes;
};
[[nodiscard]] Components label_components(const Mask& mask);
/// The largest 6-connected component (ties: first in scan order); empty stays empty.
[[nodiscard]] Mask largest_component(const Mask& mask);
[[nodiscard]] std::size_t count(const Mask& mask);
/// Voxels of the mask in each plane across each axis.
[[nodiscard]] std::array<std::vector<std::size_t>, 3> cross_sections(const Mask& mask);

}  // namespace qsmpi::numerics
