#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::mask {

struct SurfaceOptions {
    double fractional_intensity = 0.5;  ///< f of BET, (0, 1): how bright against its surroundings an edge of the brain is;
                                        ///< smaller gives a larger brain
    int iterations = 1000;              ///< steps of the surface, at most; >= 1
    int most_passes = 10;               ///< fresh starts with a stiffer surface while it cuts through itself, >= 1
};

struct BrainSurface {
    Mask mask;
    int passes = 0;                ///< that were needed; 0: the image is empty
    bool cuts_itself = false;      ///< still, after the last pass: the mask is the union of what it winds round
};

/// Brain by a surface that grows from a ball in the head until it meets the dark gap around the brain (BET).
///
/// 2562 vertices in mm; each is drawn to the middle of its neighbours, strongly where the surface is curved more tightly
/// than 3.3 mm, weakly beyond 10 mm, and moved along its normal until the darkest point in the 7 mm below it is as dark as
/// a threshold between background and the brightest in the 3 mm below it. A surface that cuts through itself is grown
/// again with its dents pulled out ten times more strongly for every pass. A voxel is inside when the surface winds round
/// its centre. Beyond the field of view the image goes on as it ends: slabs and single slices work.
///
/// @param magnitude  any unit, >= 0; what is not finite counts as 0. Scaling it changes nothing
/// @return the mask; empty when no voxel is brighter than the background
/// @throws InputError if an option is out of its range
/// About half a second a pass, whatever the grid; two voxels' worth of short integers. One thread; no randomness.
/// Smith, Hum. Brain Mapp. 17:143-155, 2002.
[[nodiscard]] BrainSurface brain_surface(const VolumeF& magnitude, const SurfaceOptions& options = {});

}  // namespace qsmpi::mask
