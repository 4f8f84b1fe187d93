// Echoes become one field map (or one for each echo) with its uncertainty.
#include <cmath>
#include <limits>
#include <span>

#include "chain.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/field/field_map.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::pipeline {
namespace {

// Above this share of unexplained signal the fit is not a field (algorithms.md 3.4).
constexpr float relative_residual_limit = 0.3f;
// Without magnitude the noise is not known; weights need only its ratio between voxels.
constexpr double assumed_noise_std = 0.1;

field::FieldMap fit_all_echoes(const Chain& chain, double noise_std)
{
    const auto& method = chain.spec.options.field_map;
    if (chain.phase_rad.size() > 1 && method == "linear")
        return field::linear_fit(chain.phase_rad, chain.magnitude, chain.used_times_s, noise_std);
    field::FieldMap average =
        field::weighted_average(chain.phase_rad, chain.magnitude, chain.used_times_s, noise_std);
    if (chain.phase_rad.size() == 1 || method == "average") return average;
    // The fit sees exp(i phase) only, so unwrapped phases serve as wrapped ones.
    const VolumeF start_hz = std::move(average.field_hz);
    average = {};
    return field::nonlinear_fit(chain.phase_rad, chain.magnitude, chain.used_times_s, start_hz, noise_std);
}

// Marks voxels whose field is unknown: outside the unwrapped domain, or not explained by the model.
void mark_unknown(field::FieldMap& map, const Mask& domain)
{
    constexpr float unknown = std::numeric_limits<float>::infinity();
    const bool has_residual = !map.relative_residual.empty();
    parallel::for_blocks(map.field_hz.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool outside = !domain.empty() && domain[i] == 0;
            const bool finite = std::isfinite(map.field_hz[i]) && std::isfinite(map.sigma_hz[i]);
            if (outside || !std::isfinite(map.field_hz[i])) map.field_hz[i] = 0.0f;
            if (outside || !finite || (has_residual && map.relative_residual[i] > relative_residual_limit))
                map.sigma_hz[i] = unknown;
        }
    });
}

void settle(Chain& chain, field::FieldMap& fit, double period_hz)
{
    const Mask signal = chain.magnitude_rss ? mask::robust_threshold(*chain.magnitude_rss) : Mask{};
    chain.note("aliases_settled", field::settle_aliases(fit, period_hz, signal.empty() ? nullptr : &signal));
}

void keep(MapState& map, field::FieldMap&& fit)
{
    map.field_hz = std::make_shared<VolumeF>(std::move(fit.field_hz));
    map.sigma_hz = std::make_shared<VolumeF>(std::move(fit.sigma_hz));
    if (!fit.relative_residual.empty())
        map.relative_residual = std::make_shared<VolumeF>(std::move(fit.relative_residual));
}

}  // namespace

// Late echoes have more air and less structure.
double noise_of(Chain& chain)
{
    if (!chain.magnitude_rss) return assumed_noise_std;
    for (std::size_t e = chain.magnitude.size(); e-- > 0;) {
        try {
            return field::estimate_noise_std(chain.magnitude[e]);
        } catch (const InputError&) {
            // Too small, or too many voxels of this echo are missing.
        }
    }
    std::vector<float> bright;
    for (const float m : *chain.magnitude_rss)
        if (m > 0.0f) bright.push_back(m);
    chain.warn("the noise cannot be estimated from so few voxels: taken as a twentieth of the signal");
    return bright.empty() ? assumed_noise_std : 0.05 * numerics::quantile(bright, 0.5);
}

void run_field(Chain& chain)
{
    const bool offsets_left = chain.phase_rad.size() > 1 && !chain.spec.options.offset_removal;
    if (offsets_left && chain.spec.options.field_map != "linear")
        chain.warn("offset_removal is off, but this field map takes the phase at TE 0 for 0: use field_map linear");

    const double noise_std = noise_of(chain);
    const bool has_magnitude = !chain.magnitude.empty();
    if (!has_magnitude)
        for (std::size_t e = 0; e < chain.phase_rad.size(); ++e) chain.magnitude.emplace_back(chain.grid(), 1.0f);
    chain.note("noise_std", noise_std);

    if (chain.maps.size() == 1) {
        field::FieldMap fit = fit_all_echoes(chain, noise_std);
        mark_unknown(fit, chain.domain);
        const double period_hz = field::alias_period_hz(chain.used_times_s);
        if (chain.spec.options.unwrapping != "laplacian" && chain.used_times_s.size() > 1 && period_hz > 0.0)
            settle(chain, fit, period_hz);
        keep(chain.maps.front(), std::move(fit));
    } else {
        for (std::size_t e = 0; e < chain.phase_rad.size(); ++e) {
            field::FieldMap fit = field::weighted_average(std::span(chain.phase_rad).subspan(e, 1),
                                                          std::span(chain.magnitude).subspan(e, 1),
                                                          std::span(chain.used_times_s).subspan(e, 1), noise_std);
            mark_unknown(fit, chain.domain);
            keep(chain.maps[e], std::move(fit));
            chain.phase_rad[e] = {};
        }
    }
    chain.phase_rad.clear();
    if (!has_magnitude) chain.magnitude.clear();
    chain.domain = {};
}

}  // namespace qsmpi::pipeline
