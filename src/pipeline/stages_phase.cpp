// The stages on single echoes: read and correct phase, unwrap it.
#include <algorithm>
#include <cmath>

#include "phase_checks.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/phase/laplacian.hpp"
#include "qsmpi/phase/offsets.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::pipeline {
namespace {

constexpr double bipolar_evidence_limit = 0.5;
// Unwrapping reaches this far beyond bright voxels, so that masks may be closed and holes filled.
constexpr double domain_margin_mm = 5.0;
// A foreground smaller than this is not a head: then everything is unwrapped.
constexpr double smallest_domain_fraction = 0.01;

void read_echoes(Chain& chain)
{
    // Reading may settle an open phase scaling and find more to warn about: on a copy, for hashes are made from the spec.
    io::Acquisition acquisition = chain.spec.acquisition;
    for (io::EchoData& echo : io::read_echoes(acquisition)) {
        chain.magnitude.push_back(std::move(echo.magnitude));
        chain.phase_rad.push_back(std::move(echo.phase_rad));
    }
    const auto& known = chain.spec.acquisition.warnings;
    for (const std::string& warning : acquisition.warnings)
        if (std::find(known.begin(), known.end(), warning) == known.end()) chain.warn(warning);
    nlohmann::json scalings = nlohmann::json::array();
    for (const io::Echo& echo : acquisition.echoes)
        scalings.push_back({{"Echo", echo.number},
                            {"Convention", echo.phase_scaling.convention},
                            {"Slope", echo.phase_scaling.slope},
                            {"Intercept", echo.phase_scaling.intercept},
                            {"Reason", echo.phase_scaling.reason},
                            {"Assumed", echo.phase_scaling.assumed}});
    chain.note(phase_scaling_note, std::move(scalings));

    for (const VolumeF& m : chain.magnitude) {
        if (!m.empty()) continue;
        chain.magnitude.clear();
        chain.warn("no magnitude: all voxels count alike, and the mask comes from the phase alone");
        break;
    }
}

// Odd and even echoes of a bipolar readout differ by a phase; "auto" removes it when the data show it.
void correct_bipolar(Chain& chain)
{
    const ChainOptions& o = chain.spec.options;
    if (o.bipolar == "off") return;
    chain.note_used("bipolar", "off");
    if (chain.phase_rad.size() < 3) {
        if (o.bipolar == "on") chain.warn("bipolar correction needs three echoes: left out");
        return;
    }
    // Odd and even are told by place, which an echo that is missing between the others upsets.
    const int first = chain.spec.acquisition.echoes.front().number;
    for (std::size_t e = 0; e < chain.used_echoes.size(); ++e) {
        if (chain.used_echoes[e] == first + static_cast<int>(e)) continue;
        chain.warn("an echo is missing between the others: alternating readouts cannot be corrected");
        return;
    }
    const double evidence = phase::bipolar_evidence(chain.phase_rad, chain.magnitude, chain.used_times_s);
    bool correct = o.bipolar == "on" || evidence > bipolar_evidence_limit;
    chain.note("bipolar_evidence", evidence);
    log::info(str("bipolar evidence ", evidence, correct ? ": corrected" : ": monopolar"));
    if (correct) {
        try {
            phase::remove_bipolar(chain.phase_rad, chain.magnitude, chain.used_times_s,
                                  {.smoothing_sigma_mm = o.offset_sigma_mm});
        } catch (const InputError& e) {
            if (o.bipolar == "on") throw;
            chain.warn(str("odd and even echoes differ, but the difference cannot be removed: ", e.what()));
            correct = false;
        }
    }
    chain.note("bipolar_corrected", correct);
    if (correct) chain.note_used("bipolar", "on");
}

void remove_coil_offset(Chain& chain)
{
    const ChainOptions& o = chain.spec.options;
    const bool possible = chain.phase_rad.size() >= 2;
    if (!possible) chain.warn("one echo: the coil phase stays in the field, and background removal takes what is quadratic of it at most");
    if (!o.offset_removal || !possible) {
        chain.note("offset_method", no_offset_method);
        return;
    }
    const auto method = o.offset_method == "aspire"    ? phase::OffsetMethod::aspire
                        : o.offset_method == "mcpc3ds" ? phase::OffsetMethod::mcpc3ds
                                                       : phase::OffsetMethod::automatic;
    const phase::OffsetPlan plan = phase::plan_offset(chain.magnitude, chain.used_times_s, method);
    const auto [first, second] = plan.echoes;
    const phase::RemovedOffset removed =
        phase::remove_offset(chain.phase_rad, chain.magnitude, chain.used_times_s,
                             {.smoothing_sigma_mm = o.offset_sigma_mm, .method = plan.method});
    warn_of_steep_steps(chain, first, second, removed);
    const bool by_aspire = plan.method == phase::OffsetMethod::aspire;
    chain.note("offset_method", by_aspire ? aspire_method : mcpc3ds_method);
    chain.note_used("offset_method", by_aspire ? "aspire" : "mcpc3ds");
    chain.note("offset_echoes", {chain.used_echoes[first], chain.used_echoes[second]});
}

// Voxels worth unwrapping: the head with some margin and without holes and the given mask, or all (empty mask).
Mask domain_of(const Chain& chain)
{
    if (!chain.magnitude_rss) return {};
    Mask domain = mask::robust_threshold(*chain.magnitude_rss);
    const double fraction = static_cast<double>(numerics::count(domain)) / static_cast<double>(domain.size());
    if (fraction < smallest_domain_fraction) return {};
    domain = numerics::fill_holes(numerics::dilate(domain, domain_margin_mm));
    for (std::size_t i = 0; chain.given_mask && i < domain.size(); ++i)
        if ((*chain.given_mask)[i] != 0) domain[i] = 1;
    return domain;
}

}  // namespace

VolumeF root_sum_of_squares(const std::vector<VolumeF>& magnitude)
{
    VolumeF rss(magnitude.front().grid());
    parallel::for_blocks(rss.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) rss[i] = magnitude.front()[i] * magnitude.front()[i];
        for (std::size_t e = 1; e < magnitude.size(); ++e) {
            const VolumeF& m = magnitude[e];
            for (std::size_t i = begin; i < end; ++i) rss[i] += m[i] * m[i];
        }
        for (std::size_t i = begin; i < end; ++i) rss[i] = std::sqrt(rss[i]);
    });
    return rss;
}

void run_phase(Chain& chain)
{
    if (chain.phase_rad.empty()) read_echoes(chain);
    const bool has_magnitude = !chain.magnitude.empty();  // else there may be zeros and ones, for what is missing
    check_echoes(chain);
    chain.note(echoes_note, chain.used_echoes);
    correct_bipolar(chain);
    remove_coil_offset(chain);

    phase::RomeoInput input;
    const std::size_t first = phase::romeo_template_echo(chain.phase_rad, chain.magnitude, nullptr);
    if (!chain.magnitude.empty()) input.magnitude = &chain.magnitude[first];
    if (chain.phase_rad.size() > 1) {
        const std::size_t second = first + 1 < chain.phase_rad.size() ? first + 1 : first - 1;
        input.second_phase_rad = &chain.phase_rad[second];
        input.echo_time_s = chain.used_times_s[first];
        input.second_echo_time_s = chain.used_times_s[second];
    }
    chain.quality = std::make_shared<VolumeF>(phase::romeo_quality(chain.phase_rad[first], input));
    if (has_magnitude)
        chain.magnitude_rss = std::make_shared<VolumeF>(root_sum_of_squares(chain.magnitude));
}

void run_unwrap(Chain& chain)
{
    if (chain.spec.options.unwrapping == "laplacian") {
        for (VolumeF& phase : chain.phase_rad) phase = phase::unwrap_laplacian(phase);
        return;
    }
    chain.domain = domain_of(chain);
    const Mask* domain = chain.domain.empty() ? nullptr : &chain.domain;
    if (chain.phase_rad.size() > 1) {
        // The template of one echo foretells the next where phase grows from 0: not with the offset still in it.
        const bool one_by_one = chain.spec.options.unwrapping == "romeo-individual" || !chain.spec.options.offset_removal;
        const auto unwrap = one_by_one ? phase::unwrap_romeo_individual : phase::unwrap_romeo_template;
        chain.phase_rad = unwrap(chain.phase_rad, chain.magnitude, chain.used_times_s, domain);
    } else {
        const phase::RomeoInput input{.magnitude = chain.magnitude.empty() ? nullptr : &chain.magnitude.front(),
                                      .mask = domain};
        chain.phase_rad.front() = phase::unwrap_romeo(chain.phase_rad.front(), input);
    }
    check_unwrapped(chain);
}

}  // namespace qsmpi::pipeline
