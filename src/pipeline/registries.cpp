#include "registries.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/background/weak_harmonics.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/inversion/tv.hpp"
#include "qsmpi/mask/expression.hpp"

namespace qsmpi::pipeline {
namespace {

// Iterations of the inversion between rounds of the background method: it goes on where the last round left it, and is only a
// prior for the next.
constexpr int first_iterations = 20, quick_iterations = 5, later_iterations = 8;
// Sources outside the mask that the map keeps speed the first rounds up. Then low-order fields begin to swing.
constexpr int quick_rounds = 6;
// Part of lambda beyond the mask: what is left of the background then finds its sources there.
constexpr double freedom_outside = 0.05;
constexpr double later_forgotten_outside = 0.1;

/// sigma of a map; empty if it is not known.
VolumeF sigma_in_ppm(const MapState& map, double b0_tesla)
{
    return map.sigma_hz ? in_ppm(*map.sigma_hz, b0_tesla) : VolumeF();
}

// Background methods that lose no voxel next to a hole of the mask, and what stands in for the others.
constexpr std::array<std::string_view, 4> bears_holes{"separation", "pdf", "lbv", background::no_removal};
constexpr std::string_view method_with_holes = "separation";

/// One echo time that stands for all in nonlinear inversions: the root of their mean square, at most 30 ms, since later
/// echoes of tissue are mostly noise.
double effective_echo_time_s(const std::vector<double>& echo_times_s)
{
    if (echo_times_s.empty()) return 0.0;
    double sum = 0.0;
    for (const double t : echo_times_s) sum += t * t;
    return std::min(0.030, std::sqrt(sum / static_cast<double>(echo_times_s.size())));
}

inversion::Border border_for(const Chain& chain)
{
    if (chain.given_local_field) return inversion::Border::edge;
    const background::Method& background = background::method(resolved(chain.spec.options).background);
    return background.leaves_little ? inversion::Border::unknown : inversion::Border::signal;
}

}  // namespace

std::vector<std::string> background_names() { return background::method_names(); }
std::vector<std::string> inversion_names() { return inversion::method_names(); }

ChainOptions resolved(ChainOptions options)
{
    const background::Method& background = background::method(options.background);
    options.background = background.name;
    if (options.background_cleanup == "auto") options.background_cleanup = background.leaves_harmonics ? "on" : "off";
    const inversion::Method& inversion = inversion::method(options.inversion);
    options.inversion = inversion.name;
    options.mask = mask::to_text(mask::parse_expression(options.mask));
    // A total-field inversion has no use for a local field.
    if (inversion.input == inversion::Input::total_field) {
        options.background = background::no_removal;
        options.background_cleanup = "off";
    }
    if (options.null_space == "auto") options.null_space = options.background == "separation" ? "on" : "off";
    return options;
}

bool removes_background(const ChainOptions& options) { return resolved(options).background != background::no_removal; }

BackgroundUse background_use(const ChainOptions& options)
{
    const background::Method& used = background::method(resolved(options).background);
    return {inversion::method(options.inversion).input == inversion::Input::total_field, used.takes_radius, used.takes_rounds};
}

background::LocalField remove_background(const Chain& chain, const MapState& map, const VolumeF& total_field_ppm,
                                         Pass pass)
{
    const io::Acquisition& acquisition = chain.spec.acquisition;
    const UnitVector direction = acquisition.geometry.b0_direction_ijk();
    const VolumeF sigma_ppm = sigma_in_ppm(map, acquisition.b0_tesla);
    background::Problem problem;
    problem.total_field_ppm = &total_field_ppm;
    problem.mask = pass == Pass::filled ? chain.mask.get() : chain.reliable_mask.get();
    problem.sigma_ppm = sigma_ppm.empty() ? nullptr : &sigma_ppm;
    problem.magnitude = chain.magnitude_rss.get();
    problem.relative_residual = map.relative_residual.get();
    problem.holds_coil_phase =
        chain.notes.value("phase", nlohmann::json::object()).value("offset_method", "") == no_offset_method;
    problem.b0_direction_ijk = direction;
    problem.max_radius_mm = chain.spec.options.background_radius_mm;
    problem.rounds = static_cast<int>(chain.spec.options.background_rounds);
    std::optional<inversion::ContinuedTv> inner;
    problem.inner = [&](const background::InnerProblem& p) {
        if (p.round == 0) {
            const VolumeF* magnitude = chain.spec.options.inversion_edges ? p.magnitude : nullptr;
            auto settings = inversion::tv_defaults(
                p.mask.grid(), magnitude != nullptr ? inversion::Guidance::edges : inversion::Guidance::none);
            settings.unguided = freedom_outside;
            const VolumeF guide = inversion::edge_guide(magnitude, p.mask, inversion::Border::unknown);
            inner.emplace(p.mask, direction, settings, p.weight, &guide);
        }
        const bool quick = p.round < quick_rounds;
        const int iterations = p.round == 0 ? first_iterations : quick ? quick_iterations : later_iterations;
        return inner->run(p.local_field_ppm, iterations, quick ? 0.0 : later_forgotten_outside);
    };
    const ChainOptions options = resolved(chain.spec.options);
    std::string name = options.background;
    if (pass == Pass::reliable && std::find(bears_holes.begin(), bears_holes.end(), name) == bears_holes.end())
        name = method_with_holes;
    background::LocalField local = background::method(name).run(problem);
    if (options.background_cleanup == "on") background::remove_weak_harmonics(local);
    return local;
}

inversion::Result invert(const Chain& chain, const MapState& map, const Mask* csf)
{
    const io::Acquisition& acquisition = chain.spec.acquisition;
    const inversion::Method& method = inversion::method(chain.spec.options.inversion);
    const VolumeF sigma_ppm = sigma_in_ppm(map, acquisition.b0_tesla);
    VolumeF total_field_ppm;
    inversion::Problem problem;
    problem.field_ppm = map.local_field_ppm.get();
    if (method.input == inversion::Input::total_field) {
        total_field_ppm = in_ppm(*map.field_hz, acquisition.b0_tesla);
        problem.field_ppm = &total_field_ppm;
    }
    problem.mask = map.local_mask.get();
    problem.weight = map.local_weight.get();
    problem.sigma_ppm = sigma_ppm.empty() ? nullptr : &sigma_ppm;
    problem.magnitude = chain.spec.options.inversion_edges ? chain.magnitude_rss.get() : nullptr;
    problem.relative_residual = map.relative_residual.get();
    problem.border = border_for(chain);
    problem.csf_mask = csf;
    problem.b0_direction_ijk = acquisition.geometry.b0_direction_ijk();
    problem.radians_per_ppm =
        units::rad_from_hz(units::hz_per_ppm(acquisition.b0_tesla), effective_echo_time_s(chain.echo_times_s));
    problem.lambda = chain.spec.options.inversion_lambda;
    return method.run(problem);
}

void add_registry_methods(std::vector<Method>& methods, const ChainOptions& options, bool sees_edges)
{
    const ChainOptions chosen = resolved(options);
    const background::Method& background = background::method(chosen.background);
    methods.push_back(
        {"local_field", std::string(background.name), std::string(background.sentence), std::string(background.citation)});
    if (chosen.background_cleanup == "on")
        methods.push_back({"local_field", "weak harmonics",
                           "Solid harmonics up to order four were fitted to the local field and subtracted.",
                           "Zhou et al., NMR Biomed. 27(3):312-319, 2014, doi:10.1002/nbm.3064"});
    const inversion::Method& inversion = inversion::method(options.inversion);
    const bool other_words = !sees_edges && !inversion.sentence_without_edges.empty();
    methods.push_back({"chi", std::string(inversion.name),
                       std::string(other_words ? inversion.sentence_without_edges : inversion.sentence), std::string(inversion.citation)});
}

}  // namespace qsmpi::pipeline
