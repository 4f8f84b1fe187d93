// Susceptibility-weighted images. The last stage: it starts from the field map of the record, so that a scan that was
// reconstructed without gets one in seconds.
#include <cmath>

#include "chain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/swi/swi.hpp"

namespace qsmpi::pipeline {
namespace {

// Veins are opposite in phase to what surrounds them at about 20 ms and 3 T.
constexpr double classic_time_s_tesla = 0.020 * 3.0;

/// The field where it is known, else 0: that of all echoes, or the mean of the echoes' fields with weights 1 / sigma^2.
VolumeF known_field(const Chain& chain, Mask& known)
{
    VolumeF field_hz(chain.grid());
    parallel::for_blocks(field_hz.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            float sum = 0.0f, weights = 0.0f;
            for (std::size_t m = 0; m < chain.n_fields(); ++m) {
                const float sigma = (*chain.maps[m].sigma_hz)[i];
                const float weight = sigma > 0.0f ? 1.0f / (sigma * sigma) : 0.0f;  // 0 for infinite sigma
                sum += weight * (*chain.maps[m].field_hz)[i];
                weights += weight;
            }
            known[i] = (*chain.mask)[i] != 0 && weights > 0.0f ? 1 : 0;
            field_hz[i] = weights > 0.0f ? sum / weights : 0.0f;
        }
    });
    return field_hz;
}

/// Of the echoes, the one that suits classic SWI.
double classic_echo_time_s(const Chain& chain)
{
    const double best_s = classic_time_s_tesla / chain.spec.acquisition.b0_tesla;
    double nearest_s = chain.echo_times_s.front();
    for (const double t : chain.echo_times_s)
        if (std::abs(t - best_s) < std::abs(nearest_s - best_s)) nearest_s = t;
    return nearest_s;
}

}  // namespace

void run_swi(Chain& chain)
{
    const std::string method = swi_method(chain.spec.acquisition, chain.spec.options);
    if (method == "off" || !chain.magnitude_rss) {
        if (chain.spec.options.swi != "off") chain.warn("no magnitude: no susceptibility-weighted image");
        return;
    }
    Mask known(chain.grid());
    VolumeF field_hz = known_field(chain, known);
    if (method == "clear") {
        chain.swi = std::make_shared<VolumeF>(swi::clear_swi(*chain.magnitude_rss, field_hz, known));
        return;
    }
    const double echo_time_s = classic_echo_time_s(chain);
    chain.note("echo_time_s", echo_time_s);
    const auto rad_per_hz = static_cast<float>(units::rad_from_hz(1.0, echo_time_s));
    parallel::for_blocks(field_hz.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) field_hz[i] *= rad_per_hz;
    });
    chain.swi = std::make_shared<VolumeF>(swi::classic_swi(*chain.magnitude_rss, field_hz, known));
}

}  // namespace qsmpi::pipeline
