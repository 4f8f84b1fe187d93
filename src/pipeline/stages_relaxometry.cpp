// The decay of the magnitude over the echoes.
#include <algorithm>
#include <limits>

#include "chain.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/relaxometry/r2star.hpp"

namespace qsmpi::pipeline {
namespace {

/// What is missing in an echo (exactly 0) says nothing of the decay.
void leave_out_what_is_missing(std::vector<VolumeF>& magnitude)
{
    for (VolumeF& m : magnitude)
        parallel::for_blocks(m.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) m[i] = m[i] > 0.0f ? m[i] : std::numeric_limits<float>::quiet_NaN();
        });
}

}  // namespace

bool has_magnitude(const io::Acquisition& acquisition)
{
    return std::all_of(acquisition.echoes.begin(), acquisition.echoes.end(),
                       [](const io::Echo& e) { return e.magnitude.present() || e.real.present(); });
}

std::string r2star_method(const io::Acquisition& acquisition, const ChainOptions& options)
{
    if (options.r2star == "off" || acquisition.echoes.size() < 2 || !has_magnitude(acquisition)) return "off";
    if (acquisition.echoes.size() == 2) return "loglinear";
    std::vector<double> echo_times_s;
    for (const io::Echo& echo : acquisition.echoes) echo_times_s.push_back(echo.echo_time_s);
    return options.r2star == "arlo" && !relaxometry::equally_spaced(echo_times_s) ? "nlls" : options.r2star;
}

std::string swi_method(const io::Acquisition& acquisition, const ChainOptions& options)
{
    return has_magnitude(acquisition) ? options.swi : "off";
}

void run_r2star(Chain& chain)
{
    const std::string& wanted = chain.spec.options.r2star;
    std::string method = r2star_method(chain.spec.acquisition, chain.spec.options);
    // Echoes without signal are not used.
    const std::size_t n_used = chain.used_times_s.size();
    if (method != "off" && n_used == 2) method = "loglinear";
    if (method == "arlo" && !relaxometry::equally_spaced(chain.used_times_s)) method = "nlls";
    if (wanted == "arlo" && method != wanted) chain.warn(str("ARLO needs three equally spaced echoes: R2* by ", method));
    chain.note("fit", method);
    chain.note_used("r2star", method);
    if (method == "off") {
        if (wanted != "off") log::info("no R2*: it needs the magnitude of two echoes");
    } else if (n_used < 2) {
        chain.warn("fewer than two echoes have signal: R2*, T2* and S0 are 0");
        chain.r2star_per_s = std::make_shared<VolumeF>(chain.grid(), 0.0F);
        chain.s0 = std::make_shared<VolumeF>(chain.grid(), 0.0F);
    } else {
        const relaxometry::RelaxationOptions options{.noise_std = chain.notes.at("field").at("noise_std").get<double>()};
        const auto fit = method == "arlo" ? relaxometry::arlo
                         : method == "nlls" ? relaxometry::nonlinear
                                            : relaxometry::log_linear;
        leave_out_what_is_missing(chain.magnitude);
        relaxometry::Relaxation relaxation = fit(chain.magnitude, chain.used_times_s, options);
        chain.r2star_per_s = std::make_shared<VolumeF>(std::move(relaxation.r2star_per_s));
        chain.s0 = std::make_shared<VolumeF>(std::move(relaxation.s0));
    }
    chain.magnitude.clear();
}

}  // namespace qsmpi::pipeline
