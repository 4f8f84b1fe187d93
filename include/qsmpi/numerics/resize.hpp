#pragma once
#include <array>
#include <cstddef>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// A box of voxels: first index and shape.
struct Box {
    Dims first;
    Dims dims;
};

/// Smallest box that holds every nonzero voxel, widened by `margin_voxels` at both ends of each axis and clipped to the grid.
/// An empty mask gives the whole grid.
[[nodiscard]] Box bounding_box(const Mask& mask, const Dims& margin_voxels = {});
/// Voxels along each axis that are at least so long. @throws InputError if the length is negative, not finite or absurd
[[nodiscard]] Dims voxels_along(const Grid& grid, double length_mm);
/// The part of a volume in the box. @throws InputError if the box leaves the grid
[[nodiscard]] VolumeF crop(const VolumeF& volume, const Box& box);
[[nodiscard]] Mask crop(const Mask& mask, const Box& box);
/// Puts `part` at `box` into a volume of `whole`, zero elsewhere.
/// @throws InputError if the part has not the box's shape or the box leaves the grid
[[nodiscard]] VolumeF uncrop(const VolumeF& part, const Box& box, const Grid& whole);
[[nodiscard]] Mask uncrop(const Mask& part, const Box& box, const Grid& whole);
/// Cells of whole voxels, the last of an axis maybe smaller.
struct Coarse {
    std::array<std::size_t, 3> voxels{};  ///< of a cell along each axis, at least 1
    Grid grid;                            ///< of the cells
};
/// The coarsest cells that are no longer than `cell_mm` along each axis, or single voxels.
[[nodiscard]] Coarse coarsened(const Grid& grid, double cell_mm);
/// Grid of FFT-friendly size that holds `grid` plus the larger of `pad_mm` and `fraction` of each axis, at the far end.
/// @throws InputError if the padding is negative or not finite
[[nodiscard]] Grid padded_grid(const Grid& grid, double pad_mm, double fraction = 0.0);

}  // namespace qsmpi::numerics
