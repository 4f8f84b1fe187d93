#include "registries.hpp"

#include "qsmpi/background/registry.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/inversion/tv.hpp"

namespace qsmpi::pipeline {
namespace {

// Between rounds of the background method a coarse map will do: it is only a prior for the next round.
constexpr int coarse_iterations = 10;

}  // namespace

std::vector<std::string> background_names() { return background::method_names(); }
std::vector<std::string> inversion_names() { return inversion::method_names(); }

ChainOptions resolved(ChainOptions options)
{
    options.background = background::method(options.background).name;
    options.inversion = inversion::method(options.inversion).name;
    return options;
}

background::LocalField remove_background(const Chain& chain, const MapState& map, const VolumeF& total_field_ppm)
{
    const io::Acquisition& acquisition = chain.spec.acquisition;
    const UnitVector direction = acquisition.geometry.b0_direction_ijk();
    const VolumeF sigma_ppm = in_ppm(*map.sigma_hz, acquisition.b0_tesla);
    background::Problem problem;
    problem.total_field_ppm = &total_field_ppm;
    problem.mask = chain.mask.get();
    problem.sigma_ppm = &sigma_ppm;
    problem.magnitude = chain.magnitude_rss.get();
    problem.relative_residual = map.relative_residual.get();
    problem.b0_direction_ijk = direction;
    problem.max_radius_mm = chain.spec.options.background_radius_mm;
    problem.inner = [&](const VolumeF& local_field_ppm, const VolumeF& weight, const Mask& mask, int) {
        inversion::TvOptions options = inversion::tv_defaults(mask.grid());
        options.max_iterations = coarse_iterations;
        return inversion::tv(local_field_ppm, mask, direction, options, &weight).chi_ppm;
    };
    return background::method(chain.spec.options.background).run(problem);
}

inversion::Result invert(const Chain& chain, const MapState& map)
{
    inversion::Problem problem;
    problem.local_field_ppm = map.local_field_ppm.get();
    problem.mask = map.local_mask.get();
    problem.weight = map.local_weight.get();
    problem.b0_direction_ijk = chain.spec.acquisition.geometry.b0_direction_ijk();
    problem.lambda = chain.spec.options.inversion_lambda;
    return inversion::method(chain.spec.options.inversion).run(problem);
}

void add_registry_methods(std::vector<Method>& methods, const ChainOptions& options)
{
    const background::Method& background = background::method(options.background);
    methods.push_back(
        {"local_field", std::string(background.name), std::string(background.sentence), std::string(background.citation)});
    const inversion::Method& inversion = inversion::method(options.inversion);
    methods.push_back({"chi", std::string(inversion.name), std::string(inversion.sentence), std::string(inversion.citation)});
}

}  // namespace qsmpi::pipeline
