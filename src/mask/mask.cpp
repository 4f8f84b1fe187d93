#include "qsmpi/mask/mask.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::mask {
namespace {

// A strided sample of about this many voxels gives quantiles to far better than they matter here.
constexpr std::size_t sample_size = 200'000;
// Enclosed gaps up to this volume are filled before the opening, which would widen them to holes of its own size.
constexpr double small_hole_mm3 = 500.0;
// A head, even in a tight box, leaves more than this part of the field of view without reliable phase; a crop from inside
// a brain does not, and has no scalp to be cut off.
constexpr double crop_fraction = 0.6;
// An opening that leaves less than this part of the reliable voxels has lost the object.
constexpr double smallest_kept_fraction = 0.2;

std::vector<float> sorted_sample(const VolumeF& volume)
{
    // A prime-like odd stride does not run along rows of usual lengths.
    const std::size_t stride = std::max<std::size_t>(1, volume.size() / sample_size) | 1;
    std::vector<float> sample;
    sample.reserve(volume.size() / stride + 1);
    for (std::size_t i = 0; i < volume.size(); i += stride)
        if (std::isfinite(volume[i])) sample.push_back(volume[i]);
    std::sort(sample.begin(), sample.end());
    return sample;
}

// Mean of the sorted values between two quantiles.
double mean_between(const std::vector<float>& sorted, double low, double high)
{
    const auto n = static_cast<double>(sorted.size());
    const auto first = static_cast<std::size_t>(low * n);
    const auto last = std::max(first + 1, static_cast<std::size_t>(high * n));
    double sum = 0.0;
    for (std::size_t i = first; i < last; ++i) sum += static_cast<double>(sorted[i]);
    return sum / static_cast<double>(last - first);
}

Mask above(const VolumeF& volume, double threshold)
{
    Mask mask(volume.grid());
    const auto t = static_cast<float>(threshold);
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) mask[i] = volume[i] > t ? 1 : 0;
    });
    return mask;
}

Mask both(Mask a, const Mask& b)
{
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] && b[i] ? 1 : 0;
    return a;
}

Mask either(Mask a, const Mask& b)
{
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = a[i] || b[i] ? 1 : 0;
    return a;
}

// The largest compact part of `reliable`, with everything of it that lies within the opening's reach.
Mask compact_part(const Mask& reliable, double opening_mm)
{
    const auto& h = reliable.grid().voxel_mm;
    const double voxel_mm = *std::max_element(h.begin(), h.end());
    const auto n_reliable = static_cast<double>(numerics::count(reliable));
    if (n_reliable > crop_fraction * static_cast<double>(reliable.size())) return numerics::largest_component(reliable);
    for (const double share : {1.0, 0.75, 0.5, 0.25}) {
        const double radius_mm = share * opening_mm;
        if (radius_mm < voxel_mm) break;
        const Mask core = numerics::largest_component(numerics::erode(reliable, radius_mm, false));
        Mask grown = both(numerics::dilate(core, radius_mm + 0.5 * voxel_mm), reliable);
        if (static_cast<double>(numerics::count(grown)) >= smallest_kept_fraction * n_reliable) return grown;
    }
    return numerics::largest_component(reliable);
}

}  // namespace

Mask robust_threshold(const VolumeF& magnitude, double factor)
{
    require(factor > 0.0, str("robust_threshold: factor ", factor, " must be positive"));
    const std::vector<float> sample = sorted_sample(magnitude);
    if (sample.empty()) return Mask(magnitude.grid(), 0);
    const double tissue = mean_between(sample, 0.8, 0.99);
    double noise = mean_between(sample, 0.0, 0.15);
    if (noise > tissue / 10.0) noise = mean_between(sample, 0.0, 0.05);
    if (noise > tissue / 10.0) noise = 0.0;
    return above(magnitude, factor * std::max(5.0 * noise, tissue / 5.0));
}

Mask brain_mask(const VolumeF& quality, const VolumeF& magnitude, const BrainMaskOptions& options)
{
    require(options.quality_threshold >= 0.0 && options.quality_threshold < 1.0,
            str("brain_mask: quality threshold ", options.quality_threshold, " is outside [0, 1)"));
    require(options.opening_mm >= 0.0 && options.closing_mm >= 0.0 && options.erosion_mm >= 0.0,
            "brain_mask: opening, closing and erosion must not be negative");
    double threshold = options.quality_threshold;
    if (threshold == 0.0) {
        const std::vector<float> sample = sorted_sample(quality);
        if (sample.empty()) return Mask(quality.grid(), 0);
        threshold = numerics::otsu_threshold(sample);
        // A volume of reliable phase alone (a crop) has no second mode: Otsu would cut through the tissue.
        threshold = std::min(threshold, 0.5);
    }
    Mask reliable = above(quality, threshold);
    if (!magnitude.empty()) {
        require_same_grid(quality, magnitude, "brain_mask: quality and magnitude");
        reliable = both(std::move(reliable), robust_threshold(magnitude));
    }
    if (numerics::count(reliable) == 0) return reliable;

    const auto& h = quality.grid().voxel_mm;
    reliable = numerics::fill_holes(reliable, static_cast<std::size_t>(small_hole_mm3 / (h[0] * h[1] * h[2])));
    Mask mask = compact_part(reliable, options.opening_mm);
    if (options.closing_mm > 0.0) {
        Mask closed = numerics::erode(numerics::dilate(mask, options.closing_mm), options.closing_mm, false);
        mask = either(std::move(mask), closed);
    }
    mask = numerics::fill_holes(mask);
    if (options.erosion_mm > 0.0) mask = numerics::erode(mask, options.erosion_mm);
    return mask;
}

}  // namespace qsmpi::mask
