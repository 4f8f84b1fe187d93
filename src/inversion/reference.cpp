#include "qsmpi/inversion/reference.hpp"

#include <cmath>
#include <string_view>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion {
namespace {

struct Sum {
    double chi = 0.0, weight = 0.0;
    Sum& operator+=(const Sum& other)
    {
        chi += other.chi;
        weight += other.weight;
        return *this;
    }
};

/// Mean over the mask with weights region_weight(i) >= 0, or nothing if they are all 0.
template <typename Weight>
std::optional<double> weighted_mean(const VolumeF& chi_ppm, const Mask& mask, const VolumeF* weight, Weight&& region_weight)
{
    const Sum sum = parallel::sum_blocks<Sum>(chi_ppm.size(), [&](std::size_t begin, std::size_t end) {
        Sum part;
        for (std::size_t i = begin; i < end; ++i) {
            if (mask[i] == 0 || (weight != nullptr && (*weight)[i] == 0.0F)) continue;
            const double w = region_weight(i);
            if (!(w > 0.0)) continue;
            part.chi += w * static_cast<double>(chi_ppm[i]);
            part.weight += w;
        }
        return part;
    });
    if (sum.weight > 0.0) return sum.chi / sum.weight;
    return std::nullopt;
}

void subtract(VolumeF& chi_ppm, const Mask& mask, double shift_ppm)
{
    const auto shift = static_cast<float>(shift_ppm);
    parallel::for_blocks(chi_ppm.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) chi_ppm[i] = mask[i] != 0 ? chi_ppm[i] - shift : 0.0F;
    });
}

void check_grids(const VolumeF& chi_ppm, const Mask& mask, const VolumeF* weight)
{
    require_same_grid(chi_ppm, mask, "set_reference: map and mask");
    if (weight != nullptr) require_same_grid(chi_ppm, *weight, "set_reference: map and weight");
}

}  // namespace

double set_reference(VolumeF& chi_ppm, const Mask& mask, Reference reference, const VolumeF* weight)
{
    check_grids(chi_ppm, mask, weight);
    double shift_ppm = 0.0;
    if (reference == Reference::mean)
        shift_ppm = weighted_mean(chi_ppm, mask, weight, [](std::size_t) { return 1.0; }).value_or(0.0);
    subtract(chi_ppm, mask, shift_ppm);
    return shift_ppm;
}

std::optional<double> set_reference(VolumeF& chi_ppm, const Mask& mask, const VolumeF& region, const VolumeF* weight)
{
    check_grids(chi_ppm, mask, weight);
    require_same_grid(chi_ppm, region, "set_reference: map and region");
    const auto shift_ppm = weighted_mean(chi_ppm, mask, weight, [&](std::size_t i) {
        return std::isfinite(region[i]) ? static_cast<double>(region[i]) : 0.0;
    });
    subtract(chi_ppm, mask, shift_ppm.value_or(0.0));
    return shift_ppm;
}

VolumeF region_of_labels(const VolumeF& labels, std::span<const int> wanted)
{
    VolumeF region(labels.grid());
    parallel::for_blocks(region.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            region[i] = 0.0f;
            // Files may hold labels as floats that were rounded on their way.
            for (const int label : wanted)
                if (std::abs(labels[i] - static_cast<float>(label)) < 0.5f) region[i] = 1.0f;
        }
    });
    return region;
}

Reference reference_from(const char* name)
{
    const std::string_view word = name;
    require(word == "none" || word == "mean", str("reference '", word, "' is unknown; expected none or mean"));
    return word == "mean" ? Reference::mean : Reference::none;
}

}  // namespace qsmpi::inversion
