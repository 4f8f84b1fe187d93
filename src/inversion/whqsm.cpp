#include "qsmpi/inversion/whqsm.hpp"

#include <cmath>

#include "qsmpi/inversion/registry.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {

Result whqsm(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
             const WhqsmOptions& options, const VolumeF* weight, const Observer& observer)
{
    const SplittingOptions& o = options.splitting;
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    detail::check(o, "whqsm");
    require(positive(options.harmonic), str("whqsm: harmonic ", options.harmonic, "; expected a positive number"));
    require(positive(options.harmonic_penalty),
            str("whqsm: harmonic penalty ", options.harmonic_penalty, "; expected a positive number"));
    const double r = detail::checked_radians_per_ppm(options.radians_per_ppm, "whqsm");
    detail::Splitting problem(local_field_ppm, mask, weight, b0_direction_ijk, o, "whqsm");
    if (problem.is_empty()) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    VolumeF chi = problem.run_nonlinear(r, o, observer, result,
                                        {.strength = options.harmonic, .penalty = options.harmonic_penalty});
    result.chi_ppm = problem.whole(chi);
    return result;
}

extern const Method whqsm_method;
constinit const Method whqsm_method{
    .name = "whqsm",
    .help = "nonlinear total variation that also finds the background left over: for imperfect background removal",
    .parameters = "lambda as nltv, harmonic 150, harmonic penalty 3, support 0.03, at most 60 iterations, "
                  "tolerance 1e-2",
    .sentence = "Susceptibility and the remaining harmonic background were computed together by WH-QSM.",
    .citation = "Milovic et al., Magn. Reson. Med. 81(2):1399-1411, 2019, doi:10.1002/mrm.27483",
    .run = [](const Problem& p) {
        WhqsmOptions options{.radians_per_ppm = p.radians_per_ppm};
        options.splitting.lambda = p.lambda > 0.0 ? p.lambda : splitting_lambda(p.mask->grid(), detail::noise_ppm(p));
        return with_lambda(whqsm(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.splitting.lambda);
    }};

}  // namespace qsmpi::inversion
