#pragma once
#include <cstddef>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::phase
{

/// What enters the weight of an edge; a null pointer drops the term.
struct WeightTerms {
    const float* phase_rad = nullptr;
    const float* second_phase_rad = nullptr;
    float echo_time_ratio = 0.0f;  ///< TE of the phase / TE of the second phase
    const float* magnitude = nullptr;
    bool linearity = false;
};

/// Terms of one preset. `linearity` is the third term (romeo4); the others are used when their data are
/// there.
/// @throws InputError if a grid differs or an echo time is not positive
[[nodiscard]] WeightTerms weight_terms(const VolumeF& wrapped_phase_rad, const RomeoInput& input,
                                       bool linearity);

/// Weights in [0, 1] of the n edges (v, v + stride), v = first ... first + n - 1; NaN where the phase is not
/// finite.
/// @param has_outer  whether v - stride and v + 2 stride are neighbours too (only the linearity term looks)
void edge_weights(const WeightTerms& terms, std::size_t first, std::size_t n, std::size_t stride,
                  bool has_outer, float* weights);

/// Weights of the edges from every voxel of row (y, z) to its forward neighbour along `axis`; -1 where there
/// is none. Writes nx values.
void edge_weight_row(const WeightTerms& terms, const Dims& dims, int axis, std::size_t y, std::size_t z,
                     float* weights);

}  // namespace qsmpi::phase
