#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::mask {

struct ReliableOptions {
    double quality_threshold = 0.0;   ///< ROMEO quality above which phase is reliable, (0, 1); 0: 1.3 times Otsu, at most 0.65
    double largest_filled_mm3 = 4.0;  ///< enclosed gaps up to this volume are speckle and stay in
    double opening_mm = 1.0;          ///< bridges thinner than twice this are cut
};

/// The part of a filled mask whose phase can be trusted: holes and bays at strong sources and voids stay open. For the
/// first of two passes, which sees nothing of such sources and so has no streaks of theirs.
///
/// @param filled     the mask of the second pass
/// @param quality    ROMEO quality, [0, 1]
/// @param magnitude  any unit; below robust_threshold() nothing is reliable; empty: not known
/// @param sigma_hz   standard deviation of the field; where it is not finite nothing is reliable
/// @return a part of `filled`, its largest piece; may be empty
/// @throws InputError if the grids differ or an option is out of its range
/// Two distance transforms. Stewart et al., Magn. Reson. Med. 87:1289-1300, 2022.
[[nodiscard]] Mask reliable_part(const Mask& filled, const VolumeF& quality, const VolumeF& magnitude,
                                 const VolumeF& sigma_hz, const ReliableOptions& options = {});

}  // namespace qsmpi::mask
