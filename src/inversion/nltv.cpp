#include "qsmpi/inversion/nltv.hpp"

#include "qsmpi/inversion/registry.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {

Result nltv(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
            const NltvOptions& options, const VolumeF* weight, const Observer& observer)
{
    const SplittingOptions& o = options.splitting;
    detail::check(o, "nltv");
    const double r = detail::checked_radians_per_ppm(options.radians_per_ppm, "nltv");
    detail::Splitting problem(local_field_ppm, mask, weight, b0_direction_ijk, o, "nltv");
    if (problem.is_empty()) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    VolumeF chi = problem.run_nonlinear(r, o, observer, result);
    result.chi_ppm = problem.whole(chi);
    return result;
}

extern const Method nltv_method;
constinit const Method nltv_method{
    .name = "nltv",
    .help = "total variation with a nonlinear data term (FANSI): bears wrapped phase and noise",
    .parameters = "lambda 0.08 of the noise, at least 5e-5 ppm, or 1e-4 ppm, times the voxel size, rho 500 "
                  "lambda, mu 1, "
                  "relaxation 1.6, at most 60 iterations, tolerance 1e-2",
    .sentence = "Susceptibility was computed by total variation regularisation with a nonlinear data term "
                "(FANSI), solved with "
                "the alternating direction method of multipliers.",
    .citation = "Milovic et al., Magn. Reson. Med. 80(2):814-821, 2018, doi:10.1002/mrm.27073",
    .run = [](const Problem& p) {
        NltvOptions options{.radians_per_ppm = p.radians_per_ppm};
        options.splitting.lambda = p.lambda > 0.0 ? p.lambda : splitting_lambda(p.mask->grid(), detail::noise_ppm(p));
        return with_lambda(nltv(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.splitting.lambda);
    }};

}  // namespace qsmpi::inversion
