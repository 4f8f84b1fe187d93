#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

/// The map of two passes: chi_reliable + chi_filled (1 - reliable). Before any reference is set.
///
/// The pass over reliable phase alone, with holes where sources are too strong to be measured, has no streaks of those
/// sources; the pass over the filled mask gives what is known of them.
/// @param chi_filled_ppm    of the second pass [ppm], changed in place into the map of both
/// @param chi_reliable_ppm  of the first pass [ppm], 0 outside `reliable`
/// @param reliable          where the first pass reconstructed
/// @throws InputError if the grids differ
/// Stewart et al., Magn. Reson. Med. 87:1289-1300, 2022.
void combine_passes(VolumeF& chi_filled_ppm, const VolumeF& chi_reliable_ppm, const Mask& reliable);

}  // namespace qsmpi::inversion
