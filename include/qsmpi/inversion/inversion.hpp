#pragma once
#include <functional>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

/// What a guide says of the border of the mask and of what lies beyond.
enum class Border {
    edge,    ///< an edge all along, and none beyond: best for the field of sources in the mask alone
    signal,  ///< what the magnitude shows: best for a local field that holds some background yet
    unknown  ///< nothing: TvOptions::unguided counts
};

/// A susceptibility map and how it came about.
struct Result {
    VolumeF chi_ppm;  ///< 0 outside the mask; unreferenced
    int iterations = 0;
    double relative_residual = 0.0;  ///< ||x - x_before|| / ||x|| of the last iteration; 0 for direct methods
    bool converged = true;
    double lambda = 0.0;  ///< strength of the regularisation that was used, as Problem::lambda; set by methods of the registry
};

/// Told after each iteration: number and relative change. May throw to stop.
using Observer = std::function<void(int iteration, double relative_change)>;

}  // namespace qsmpi::inversion
