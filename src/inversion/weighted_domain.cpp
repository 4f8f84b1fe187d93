#include "weighted_domain.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion::detail {
namespace {

/// Median of weight times sigma over the mask. @param weight  null: 1
double median_noise_ppm(const Problem& problem, const VolumeF* weight)
{
    if (problem.sigma_ppm == nullptr) return 0.0;
    const VolumeF& sigma = *problem.sigma_ppm;
    require_same_grid(sigma, *problem.mask, "inversion: sigma and mask");
    if (weight != nullptr) require_same_grid(sigma, *weight, "inversion: sigma and weight");
    std::vector<float> values;
    for (std::size_t i = 0; i < sigma.size(); ++i) {
        if ((*problem.mask)[i] == 0) continue;
        const float value = weight == nullptr ? sigma[i] : (*weight)[i] * sigma[i];
        if (std::isfinite(value) && value > 0.0F) values.push_back(value);
    }
    return values.empty() ? 0.0 : numerics::quantile(values, 0.5);
}

}  // namespace

WeightedDomain make_weighted_domain(const VolumeF& field_ppm, const Mask& mask, const VolumeF* weight, int pad_voxels,
                                    double pad_fraction, const char* who)
{
    if (weight != nullptr) require_same_grid(field_ppm, *weight, str(who, ": field and weight").c_str());
    WeightedDomain domain{make_domain(field_ppm, mask, pad_voxels, pad_fraction, who), {}};
    const VolumeF raw = numerics::crop(field_ppm, domain.box);
    domain.weight = weight != nullptr ? numerics::crop(*weight, domain.box) : VolumeF(raw.grid(), 1.0F);
    for (std::size_t i = 0; i < raw.size(); ++i) {
        float& w = domain.weight[i];
        if (domain.mask[i] == 0) {
            w = 0.0F;
            continue;
        }
        if (!(w >= 0.0F) || !std::isfinite(w))
            throw InputError(str(who, ": a weight in the mask is ", w,
                                 "; expected finite numbers from 0, 0 where the field is unknown"));
        if (!std::isfinite(raw[i])) w = 0.0F;
    }
    return domain;
}

double noise_ppm(const Problem& problem) { return median_noise_ppm(problem, problem.weight); }

double unweighted_noise_ppm(const Problem& problem) { return median_noise_ppm(problem, nullptr); }

double noise_factor(const Problem& problem)
{
    constexpr double tuned_at_ppm = 0.002;
    const double ratio = std::max(1.0, noise_ppm(problem) / tuned_at_ppm);
    return ratio * ratio;
}

}  // namespace qsmpi::inversion::detail
