#pragma once
#include "chain.hpp"

namespace qsmpi::pipeline {

/// Warns of a field of view of a few slices, along any axis, and of voxels much longer than wide.
void warn_of_geometry(Chain& chain);

/// Warns of a mask of a few slices, along any axis, and of one that ends where the volume does with much of its cross-section:
/// the object goes on beyond it.
void warn_of_mask_shape(Chain& chain, const Mask& mask);

}  // namespace qsmpi::pipeline
