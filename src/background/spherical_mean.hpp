#pragma once
#include <vector>

#include "qsmpi/background/background.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/resize.hpp"

/// What the methods share that compare a field with its mean over balls.
namespace qsmpi::background {

/// The part of a field that is known, in the box of its mask.
struct KnownField {
    numerics::Box box;
    VolumeF field;  ///< 0 where it is not known
    Mask known;     ///< in the mask and finite
};

[[nodiscard]] KnownField known_field(const VolumeF& field, const Mask& mask);

/// No ball may be smaller [mm]: what is left of one is hardly more than its central voxel.
[[nodiscard]] double least_radius_mm(const Vec3& voxel_mm);
/// Largest distance [mm] of a voxel's centre from the ball's centre when any of its 4^3 sub-samples is inside: a ball lies
/// in a mask when its centre is farther than this from the outside.
[[nodiscard]] double ball_reach_mm(double radius_mm, const Vec3& voxel_mm);
/// Voxels that are farther than this from the outside.
[[nodiscard]] Mask deeper_than(const VolumeF& distance_mm, double depth_mm);

/// Voxels where a ball fits into a mask.
struct FittingBall {
    double radius_mm;  ///< at least the least radius
    Mask fits;
};
[[nodiscard]] FittingBall fitting_ball(const Mask& known, double radius_mm);

/// The result when no ball fits anywhere.
[[nodiscard]] LocalField no_local_field(const Grid& grid);
/// 0 outside the mask.
void keep_inside(VolumeF& field, const Mask& mask);
/// @throws InputError "<what> -1; expected a positive number"
void require_positive(const char* what, double value);

/// Smallest grid that a ball may be convolved on when it stays inside `box` wherever its result is used, or wherever its
/// input is not 0: nothing then comes around the periodic border.
[[nodiscard]] Grid tight_grid(const Grid& box, double radius_mm);

/// Multiplies a tile by factor(kernel), where `kernel` is a half spectrum of the grid and must outlive the result.
template <typename Factor>
[[nodiscard]] numerics::TileBody multiply_by(const std::vector<float>& kernel, const Dims& grid, Factor factor)
{
    return [&kernel, half_x = grid.nx / 2 + 1, ny = grid.ny, factor](const numerics::Tile& tile) {
        for (std::size_t z = 0; z < tile.nz; ++z) {
            const float* k = kernel.data() + half_x * (tile.y + ny * z) + tile.x0;
            auto* values = reinterpret_cast<float*>(tile.data + z * numerics::Tile::width);
            for (std::size_t j = 0; j < tile.n_x; ++j) {
                const float f = factor(k[j]);
                values[2 * j] *= f;
                values[2 * j + 1] *= f;
            }
        }
    };
}

/// How a solver ended.
struct Convergence {
    int iterations = 0;
    double relative_residual = 0.0;
    bool converged = true;
};

/// Solves (shift + S K S) x = b by conjugate gradients, where S is a region and K the convolution that `filter` does to
/// the tiles of `fft`; symmetric and not negative. One filter an iteration, with all vector updates fused into its rows.
/// @param b_to_x  right side, 0 outside the region; becomes x
/// 3 volumes of the box more, and `work`.
[[nodiscard]] Convergence solve_in_region(const numerics::Fft3& fft, const numerics::TileBody& filter, double shift,
                                          const Mask& region, VolumeF& b_to_x, int max_iterations, double tolerance,
                                          numerics::Spectrum& work);

/// The result where the ball fits.
[[nodiscard]] LocalField local_field(const KnownField& part, const FittingBall& ball, const Convergence& end, const Grid& whole);

}  // namespace qsmpi::background
