#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of pdf().
struct PdfOptions {
    int max_iterations = 30;    ///< of conjugate gradients; stopping early is what keeps local sources out
    double tolerance = 0.002;   ///< of the gradient, relative to its first value
    double pad_fraction = 0.3;  ///< sources are placed in the mask's box and this much padding of each axis
};

/// Local field by projection onto dipole fields: the field of sources outside the mask that explains the total field in
/// the mask best, min || w (f - D x - c) ||^2 over x, 0 inside the mask, and the constant c, is taken away with c. No source
/// explains a constant (the kernel is 0 at k = 0), and the centre frequency of a scan may be anything.
///
/// @param total_field_ppm   unwrapped total field, in any unit: the method is linear; values that are not finite have no weight
/// @param mask              where the field is known; same grid
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param sigma_ppm         standard deviation of the field in its unit, infinite where it is unknown; null: even
/// @return local field in the whole mask; converged tells whether the tolerance was reached
/// @throws InputError if the grids differ, the direction is no unit vector or an option is out of its range
///
/// 2 F an iteration, where F is a pair of FFTs of the padded box; 3 volumes and a spectrum of the padded box, 4 volumes
/// of the box. Same bits for any number of threads.
/// Liu T. et al., NMR Biomed. 24(9):1129-1136, 2011.
[[nodiscard]] LocalField pdf(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                             const PdfOptions& options = {}, const VolumeF* sigma_ppm = nullptr);

}  // namespace qsmpi::background
