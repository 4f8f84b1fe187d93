#include "qsmpi/inversion/l1.hpp"

#include <algorithm>

#include "qsmpi/inversion/registry.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {

double l1_lambda(const Grid& grid, double noise_ppm)
{
    // Against a term that pulls with w whatever the misfit.
    const double for_a_step = noise_ppm > 0.0 ? std::clamp(10.0 * noise_ppm, 0.02, 0.2) : 0.03;
    return for_a_step * grid.voxel_edge_mm();
}

Result l1(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
          const L1Options& options, const VolumeF* weight, const Observer& observer)
{
    const SplittingOptions& o = options.splitting;
    detail::check(o, "l1");
    const double r = detail::checked_radians_per_ppm(options.radians_per_ppm, "l1");
    detail::Splitting problem(local_field_ppm, mask, weight, b0_direction_ijk, o, "l1");
    if (problem.is_empty()) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    const detail::WeightedDomain& d = problem.domain();
    VolumeF chi = problem.run(detail::linear_l1(d.field_ppm, d.weight, o.mu),
                              detail::phase_l1(d.field_ppm, d.weight, o.mu, r), o, observer, result);
    result.chi_ppm = problem.whole(chi);
    return result;
}

extern const Method l1_method;
constinit const Method l1_method{
    .name = "l1",
    .help = "total variation with a nonlinear L1 data term: bears fields that are wrong in places",
    .parameters = "lambda 10 / ppm times the noise, 0.02 to 0.2, or 0.03, times the voxel size, rho 500 / ppm "
                  "lambda, mu 100 / ppm, "
                  "relaxation 1.6, at most 60 iterations, tolerance 1e-2",
    .sentence = "Susceptibility was computed by total variation regularisation with a nonlinear data term of the "
                "L1 norm (L1-QSM), "
                "solved with the alternating direction method of multipliers.",
    .citation = "Milovic et al., Magn. Reson. Med. 87(1):457-473, 2022, doi:10.1002/mrm.28957",
    .run = [](const Problem& p) {
        L1Options options{.radians_per_ppm = p.radians_per_ppm};
        options.splitting.lambda = p.lambda > 0.0 ? p.lambda : l1_lambda(p.mask->grid(), detail::noise_ppm(p));
        return with_lambda(l1(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.splitting.lambda);
    }};

}  // namespace qsmpi::inversion
