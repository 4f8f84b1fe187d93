#include "qsmpi/mask/reliable.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::mask {
namespace {

constexpr double otsu_factor = 1.3;
// A volume of reliable phase alone (a crop) has no second mode: Otsu would cut through the tissue.
constexpr double largest_threshold = 0.65;
// A strided sample of about this many voxels tells the threshold well enough.
constexpr std::size_t sample_size = 200'000;

double threshold_of(const VolumeF& quality)
{
    const std::size_t stride = std::max<std::size_t>(1, quality.size() / sample_size) | 1;
    std::vector<float> sample;
    for (std::size_t i = 0; i < quality.size(); i += stride)
        if (std::isfinite(quality[i])) sample.push_back(quality[i]);
    return sample.empty() ? 1.0 : std::min(otsu_factor * numerics::otsu_threshold(sample), largest_threshold);
}

}  // namespace

Mask reliable_part(const Mask& filled, const VolumeF& quality, const VolumeF& magnitude, const VolumeF& sigma_hz,
                   const ReliableOptions& options)
{
    require_same_grid(filled, quality, "reliable_part: mask and quality");
    require_same_grid(filled, sigma_hz, "reliable_part: mask and sigma");
    require(options.quality_threshold >= 0.0 && options.quality_threshold < 1.0,
            str("reliable_part: quality threshold ", options.quality_threshold, " is outside [0, 1)"));
    require(options.largest_filled_mm3 >= 0.0 && options.opening_mm >= 0.0,
            "reliable_part: volume and opening must not be negative");
    Mask bright;
    if (!magnitude.empty()) {
        require_same_grid(filled, magnitude, "reliable_part: mask and magnitude");
        bright = robust_threshold(magnitude);
    }
    const auto threshold =
        static_cast<float>(options.quality_threshold > 0.0 ? options.quality_threshold : threshold_of(quality));

    Mask reliable(filled.grid());
    parallel::for_blocks(reliable.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool good = filled[i] != 0 && quality[i] > threshold && std::isfinite(sigma_hz[i]) &&
                              (bright.empty() || bright[i] != 0);
            reliable[i] = good ? 1 : 0;
        }
    });
    reliable = numerics::fill_holes(reliable, static_cast<std::size_t>(options.largest_filled_mm3 / filled.grid().voxel_mm3()));
    // For the opening what is outside the mask counts as reliable: the mask's own surface stays as it is.
    for (std::size_t i = 0; i < reliable.size(); ++i) reliable[i] = reliable[i] || !filled[i] ? 1 : 0;
    reliable = numerics::open(reliable, options.opening_mm);
    for (std::size_t i = 0; i < reliable.size(); ++i) reliable[i] = reliable[i] && filled[i] ? 1 : 0;
    return numerics::largest_component(reliable);
}

}  // namespace qsmpi::mask
