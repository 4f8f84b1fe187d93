#pragma once
#include <memory>

#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// How total variation measures a gradient: the sum of its components' magnitudes, or its length.
enum class TvNorm { anisotropic, isotropic };

/// Settings of tv().
struct TvOptions {
    double lambda = 2e-4;        ///< weight of the total variation [ppm mm]
    double rho = 0.0;            ///< penalty of the gradient splitting [mm^2]; 0: 100 mm/ppm lambda
    double mu = 1.0;             ///< penalty of the data splitting (only with weights)
    double relaxation = 1.6;     ///< over-relaxation, in [1, 1.9]
    TvNorm norm = TvNorm::anisotropic;
    int max_iterations = 60;
    double tolerance = 1e-3;     ///< stops when ||x - x_before|| < tolerance ||x||
    int add_back_after = 0;      ///< iterations after which what is left of the field is added to it, once; 0: never (only with weights)
    double unguided = 1.0;       ///< part of lambda where the guide is not a number, (0, 1]
    int pad_voxels = 16;         ///< least zero padding of each axis
    double pad_fraction = 0.25;
};

/// A guide for tv(): the logarithm of the magnitude in units of the step that 70 % of neighbours in the mask do not exceed. So
/// texture and noise count little and tissue borders count, whatever the contrast of the scan.
/// @param magnitude  any unit, on the grid of the mask; values that are not positive count as a thousandth of the largest. Null:
///                   the guide is flat in the mask, and there must be a border other than `signal`
/// @return not a number beyond the mask where the border is unknown
/// One pass and one volume. Liu J. et al., NeuroImage 59(3):2560-2568, 2012 (morphology as prior).
[[nodiscard]] VolumeF edge_guide(const VolumeF* magnitude, const Mask& mask, Border border);

/// Whether tv() is guided by edges.
enum class Guidance { none, edges };

/// What the registry runs when nothing else is asked for: lambda of 1e-4 ppm for each step of a voxel, twice that where a
/// guide spares the edges, so that the weight against the data, and with it the minimum, does not change with the voxel size.
/// Penalties and a tolerance are tuned on simulated heads. rho is 0.05 mm^2 for each mm of a voxel's edge; iterations would be
/// the same at any voxel size with the square of the edge, but they stop before the minimum, and that was worse (2 mm, end to
/// end: 28.2 instead of 26.9 % error). So maps of the same numbers on voxels of another size differ a little.
[[nodiscard]] TvOptions tv_defaults(const Grid& grid, Guidance guidance = Guidance::none);

/// Susceptibility by total variation regularisation: min 1/2 ||w (D x - f)||^2 + lambda ||grad x||_1 by ADMM.
///
/// Total variation takes contrast away with the noise. One Bregman iteration (add_back_after) gives it back: the field that
/// the map leaves unexplained is added to the data, and the iterations go on.
///
/// @param local_field_ppm   background-free field relative to B0 [ppm]; shape (nx, ny, nz)
/// @param mask              voxels to reconstruct; same grid as the field
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param weight            relative trust w in each voxel's field (about 1 / sigma, mean 1, 0: unknown); null: w = 1
///                          everywhere and the field is 0 outside the mask, which takes half the time
/// @param observer          told after each iteration
/// @param guide             edges to expect, for example edge_guide() of a magnitude: where neighbours differ in it by d, lambda
///                          is 1 / (1 + d^2) of itself, at least a quarter, and the option `unguided` of itself where d is not
///                          a number; null: no edge is expected more than another. Anisotropic norm only
/// @return susceptibility [ppm], 0 outside the mask. Outside of the mask's box gradients are penalised quadratically
/// @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
///
/// About 1.3 F an iteration without and 2.5 F with weights, where F is a pair of FFTs of the padded box; volumes of
/// the box's size: 6, and 1 spectrum; with weights 8, and 3 of the padded size. Same bits for any number of threads.
/// Bilgic et al., Magn. Reson. Med. 72(5):1444-1459, 2014; Osher et al., Multiscale Model. Simul. 4(2):460-489, 2005.
[[nodiscard]] Result tv(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                        const TvOptions& options = {}, const VolumeF* weight = nullptr,
                        const Observer& observer = {}, const VolumeF* guide = nullptr);

/// tv() with weights, for a local field that is improved again and again: each run() goes on from the map and the duals of
/// the last. Keeps about 9 volumes of the mask's box and 3 of the padded size.
class ContinuedTv {
public:
    /// As for tv(). @throws InputError if the grids differ, a weight is negative or not finite, or an option is out of its range
    ContinuedTv(const Mask& mask, const UnitVector& b0_direction_ijk, const TvOptions& options, const VolumeF& weight,
                const VolumeF* guide = nullptr);
    ~ContinuedTv();
    ContinuedTv(const ContinuedTv&) = delete;
    ContinuedTv& operator=(const ContinuedTv&) = delete;

    /// So many iterations more; the tolerance does not count.
    /// @param local_field_ppm  on the grid of the mask; voxels that are not finite count as 0
    /// @return susceptibility [ppm], 0 outside the mask
    /// @param forgotten_outside  share, [0, 1], of the sources found outside the mask so far that is forgotten first.
    ///   Turns with a background method that explains the same need some of it in the long run: low-order fields that both
    ///   claim otherwise swing, more widely in every turn.
    [[nodiscard]] VolumeF run(const VolumeF& local_field_ppm, int n_iterations, double forgotten_outside = 0.0);

private:
    struct State;
    std::unique_ptr<State> state_;  ///< null: the mask is empty
    Grid whole_;
};

}  // namespace qsmpi::inversion
