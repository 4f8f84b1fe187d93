#pragma once
#include <optional>

#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of lbv().
struct LbvOptions {
    std::optional<double> peel_mm{};  ///< peeled off the mask before; none given: one layer of voxels
    int max_iterations = 60;          ///< of conjugate gradients
    double tolerance = 1e-5;          ///< of the residual, relative to the right side
};

/// Local field by the Laplacian boundary value method: the background is harmonic inside the mask and equals the total
/// field on its outermost voxels, where the local field is taken for 0.
///
/// @param total_field_ppm  unwrapped total field, in any unit: the method is linear; not finite: unknown
/// @param mask             where the field is known; same grid. The world beyond the grid is outside
/// @return local field, valid where all six neighbours lie in the peeled mask: two layers of voxels are lost by default
/// @throws InputError if the grids differ or an option is out of its range
///
/// No FFT; as long as about 10 F, 8 volumes of the mask's box. Same bits for any number of threads.
/// Zhou et al., NMR Biomed. 27:312-319, 2014.
[[nodiscard]] LocalField lbv(const VolumeF& total_field_ppm, const Mask& mask, const LbvOptions& options = {});

}  // namespace qsmpi::background
