#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "qsmpi/swi/swi.hpp"

namespace qsmpi::swi {
namespace {

// A strided sample of about this many voxels gives quantiles to far better than they matter here.
constexpr std::size_t sample_size = 500'000;
// A field flatter than this is the rounding of a constant.
constexpr double flat_hz = 1e-3;

std::size_t stride_of(const VolumeF& volume) { return std::max<std::size_t>(1, volume.size() / sample_size) | 1; }

/// Field minus its smooth part, 0 outside the mask.
VolumeF high_pass(const VolumeF& field_hz, const Mask& mask, double sigma_mm)
{
    VolumeF weight(mask.grid());
    parallel::for_blocks(weight.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            weight[i] = mask[i] != 0 && std::isfinite(field_hz[i]) ? 1.0f : 0.0f;
    });
    VolumeF rest = numerics::gaussian_smooth(field_hz, weight, sigma_mm);
    parallel::for_blocks(rest.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) rest[i] = weight[i] > 0.0f ? field_hz[i] - rest[i] : 0.0f;
    });
    return rest;
}

/// Where the phase mask has fallen to a half [Hz]; 0 if there is no contrast.
double half_contrast_hz(const VolumeF& high_passed_hz, const Mask& mask, double strength)
{
    std::vector<float> positive = numerics::inside(high_passed_hz, mask, stride_of(high_passed_hz));
    std::erase_if(positive, [](float x) { return x <= 0.0f; });
    const double median = positive.empty() ? 0.0 : numerics::quantile(positive, 0.5);
    return median > flat_hz ? median * 10.0 / strength : 0.0;
}

/// Magnitude over its sensitivity, with what is far darker than usual compressed (softplus).
VolumeF flattened(const VolumeF& magnitude, const Mask& mask, double sigma_mm)
{
    VolumeF flat = sensitivity(magnitude, mask, sigma_mm);
    parallel::for_blocks(flat.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool known = std::isfinite(magnitude[i]) && flat[i] > 0.0f;
            flat[i] = known ? magnitude[i] / flat[i] : 0.0f;
        }
    });
    std::vector<float> values = numerics::inside(flat, mask, stride_of(flat));
    const auto knee = static_cast<float>(0.5 * numerics::quantile(values, 0.8));
    if (!(knee > 0.0f)) return flat;
    // log(1 + e^u) without overflow; 0 stays 0.
    const auto softplus = [](float u) { return std::log1p(std::exp(-std::abs(u))) + std::max(0.0f, u); };
    const float factor = 2.0f / knee, at_zero = softplus(-2.0f);
    parallel::for_blocks(flat.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            flat[i] = (softplus(factor * (flat[i] - knee)) - at_zero) / factor;
    });
    return flat;
}

}  // namespace

VolumeF clear_swi(const VolumeF& magnitude, const VolumeF& field_hz, const Mask& mask, const ClearSwiOptions& options)
{
    require_same_grid(magnitude, field_hz, "clear_swi: magnitude and field");
    require_same_grid(magnitude, mask, "clear_swi: magnitude and mask");
    require(options.high_pass_sigma_mm > 0.0 && options.strength > 0.0,
            "clear_swi: sigma and strength must be positive");

    VolumeF contrast = high_pass(field_hz, mask, options.high_pass_sigma_mm);
    const double half_hz = half_contrast_hz(contrast, mask, options.strength);
    VolumeF image = options.flatten ? flattened(magnitude, mask, options.sensitivity_sigma_mm) : magnitude.clone();
    const auto per_half = static_cast<float>(half_hz > 0.0 ? 1.0 / half_hz : 0.0);
    const bool any = half_hz > 0.0;
    parallel::for_blocks(image.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float m = std::isfinite(image[i]) ? image[i] : 0.0f;
            image[i] = any ? m * 0.5f * (1.0f + std::tanh(1.0f - contrast[i] * per_half)) : m;
        }
    });
    return image;
}

}  // namespace qsmpi::swi
