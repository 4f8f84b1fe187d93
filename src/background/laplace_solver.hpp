#pragma once
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {

/// The negative Laplacian of seven points on a region with zeros around it, A = -Lap_h [1/mm^2], and the solution of
/// A x = b by conjugate gradients. Preconditioner: one multigrid V-cycle, red-black Gauss-Seidel before, black-red
/// after, so that it is symmetric. Only the axes with the smallest spacing are coarsened: the smoother then works on
/// long voxels too.
///
/// An iteration costs about 1 F without any FFT; 7 volumes. Same bits for any number of threads.
class LaplaceSolver {
public:
    /// @param region  must not touch the border of its grid
    /// @throws InputError if it does
    explicit LaplaceSolver(const Mask& region);
    ~LaplaceSolver();
    LaplaceSolver(const LaplaceSolver&) = delete;
    LaplaceSolver& operator=(const LaplaceSolver&) = delete;

    /// (A f) in the region, with the values that f has around it; 0 elsewhere.
    [[nodiscard]] VolumeF apply(const VolumeF& f) const;
    /// @param b_to_x  right side, 0 outside the region; becomes x
    [[nodiscard]] Convergence solve(VolumeF& b_to_x, int max_iterations, double tolerance);

private:
    struct Level;
    void cycle(std::size_t i_level);

    std::vector<Level> levels_;
};

}  // namespace qsmpi::background
