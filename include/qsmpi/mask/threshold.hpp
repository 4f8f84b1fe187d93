#pragma once
#include <span>

#include "qsmpi/core/volume.hpp"

/// Masks by a threshold that the image itself tells. Voxels that are not finite are background; an image without a finite
/// voxel, or of zeros alone, gives an empty mask. Scaling the image changes nothing. algorithms.md 4.1, 4.3.
/// All: O(N) and a sample of 200 000 voxels, taken at regular distances; the same bits for any number of threads.
namespace qsmpi::mask {

/// Foreground of a magnitude image: above five times the noise (low quantiles) and a fifth of tissue (high quantiles).
/// Without a background of noise in the image (a crop, a stripped brain) only the tissue rule counts.
/// @param magnitude  any unit, >= 0
/// @param factor     multiplies the threshold, > 0
[[nodiscard]] Mask robust_threshold(const VolumeF& magnitude, double factor = 1.0);

/// Above Otsu's threshold, which parts the histogram into the two classes of the least variance within. The brightest
/// thousandth counts as no brighter than that: a spike must not stretch the histogram.
/// @param factor  multiplies the threshold, > 0
/// Otsu, IEEE Trans. Syst. Man Cybern. 9(1):62-66, 1979.
[[nodiscard]] Mask otsu_threshold(const VolumeF& magnitude, double factor = 1.0);

/// Above the value where background and foreground are equally likely, if the histogram is a mixture of normal
/// distributions: the lowest class is the background. Fitted by expectation maximisation between the quantiles 0.05 % and
/// 99.5 %, from Otsu's classes and from their halves, whichever is likelier in the end; where one class swallows the other, Otsu's threshold counts. Unlike Otsu's it lies close to a
/// narrow background, and keeps dim tissue.
/// @param n_classes  2 or 3: with 3 the foreground has two classes
/// Dempster, Laird & Rubin, J. R. Stat. Soc. B 39(1):1-38, 1977.
[[nodiscard]] Mask mixture_threshold(const VolumeF& magnitude, int n_classes = 2);
/// The threshold itself, from values in rising order; NaN if there are none.
[[nodiscard]] double mixture_threshold(std::span<const float> sorted_values, int n_classes = 2);

/// ROMEO quality above a threshold. 0: Otsu's, but at most 0.5, for in a crop of reliable phase alone there is no second
/// class, and Otsu's would cut through the tissue.
/// @throws InputError if the threshold is outside [0, 1)
[[nodiscard]] Mask quality_threshold(const VolumeF& quality, double threshold = 0.0);

}  // namespace qsmpi::mask
