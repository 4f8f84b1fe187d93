#pragma once
#include <functional>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/inversion/inversion.hpp"
#include "qsmpi/numerics/fft.hpp"

namespace qsmpi::inversion::detail {

/// Turns n factors of the dipole kernel into those of the inverse, in place. `laplacian` holds the symbol of the
/// negative Laplacian [1/mm^2] at the same frequencies, if it was asked for.
using InverseSymbol = std::function<void(float* dipole, const float* laplacian, std::size_t n)>;
enum class NeedsLaplacian { no, yes };
enum class Underestimation { kept, corrected };

/// chi = F^-1 S(D) F field, the whole of a direct inversion; k = 0 set to 0.
/// @param underestimation  corrected: divided by the mean of D S(D) over all frequencies, which is what the method
///                          keeps of a
///                         white source (Schweser et al. 2013)
/// @throws InputError if the grids differ, the padding is negative or the direction is no unit vector
///
/// One F, and another sweep over the kernel if corrected.
[[nodiscard]] Result invert_directly(const VolumeF& field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                     const InverseSymbol& symbol, NeedsLaplacian needs, Underestimation underestimation,
                                     int pad_voxels, double pad_fraction, const char* who);

}  // namespace qsmpi::inversion::detail
