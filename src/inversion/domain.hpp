#pragma once
#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::inversion::detail {

/// The part of the scan that an inversion works on: the mask's box, and the padded grid of its FFT.
struct Domain {
    numerics::Box box;
    Grid padded;
    Mask mask;          ///< of the box
    VolumeF field_ppm;  ///< of the box; 0 outside the mask and where it was not finite; empty if made without
};

/// @param who  name of the method, for messages
/// @throws InputError if the grids differ or the padding is negative
[[nodiscard]] Domain make_domain(const VolumeF& field_ppm, const Mask& mask, int pad_voxels, double pad_fraction,
                                 const char* who);

/// The same without a field.
[[nodiscard]] Domain make_domain(const Mask& mask, int pad_voxels, double pad_fraction, const char* who);

/// What Domain::field_ppm would be.
[[nodiscard]] VolumeF field_in_box(const VolumeF& field_ppm, const Domain& domain);

/// Back to the whole grid, 0 outside the mask.
[[nodiscard]] VolumeF to_whole(VolumeF& chi_ppm, const Domain& domain, const Grid& whole);

[[nodiscard]] bool is_empty(const Mask& mask);

}  // namespace qsmpi::inversion::detail
