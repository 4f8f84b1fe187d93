#pragma once
#include <functional>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

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
