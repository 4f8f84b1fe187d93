#include "qsmpi/inversion/star.hpp"

#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {
namespace {

/// The mask's voxels near any where |chi| is above the threshold.
Mask strong_voxels(const VolumeF& chi_ppm, const Mask& mask, const StarOptions& options)
{
    Mask strong(mask.grid(), 0);
    for (std::size_t i = 0; i < mask.size(); ++i)
        strong[i] = mask[i] != 0 && static_cast<double>(std::abs(chi_ppm[i])) > options.strong_chi_ppm ? 1 : 0;
    if (detail::is_empty(strong)) return strong;
    strong = numerics::dilate(strong, options.margin_mm);
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (mask[i] == 0) strong[i] = 0;
    return strong;
}

}  // namespace

Result star(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
            const StarOptions& options, const VolumeF* weight, const Observer& observer)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    detail::check(options.splitting, "star");
    require(positive(options.strong_lambda),
            str("star: lambda ", options.strong_lambda, "; expected a positive number"));
    require(positive(options.strong_chi_ppm),
            str("star: ", options.strong_chi_ppm, " ppm as a strong source; expected a positive number"));
    require(options.margin_mm >= 0.0, str("star: a margin of ", options.margin_mm, " mm; expected a number from 0"));
    detail::Splitting problem(local_field_ppm, mask, weight, b0_direction_ijk, options.splitting, "star");
    if (problem.is_empty()) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    detail::WeightedDomain& d = problem.domain();
    const auto prox = [&] { return detail::linear_l2(d.field_ppm, d.weight, options.splitting.mu); };
    SplittingOptions heavy = options.splitting;
    // The same threshold of the shrinkage.
    heavy.rho *= options.strong_lambda / heavy.lambda;
    heavy.lambda = options.strong_lambda;
    VolumeF strong = problem.run(prox(), heavy, observer, result);
    const Mask is_strong = strong_voxels(strong, d.mask, options);
    for (std::size_t i = 0; i < strong.size(); ++i)
        if (is_strong[i] == 0) strong[i] = 0.0F;

    const VolumeF explained = problem.field_of(strong);
    parallel::for_blocks(strong.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) d.field_ppm[i] -= explained[i];
    });
    VolumeF chi = problem.run(prox(), options.splitting, observer, result);
    for (std::size_t i = 0; i < chi.size(); ++i) chi[i] += strong[i];
    result.chi_ppm = problem.whole(chi);
    return result;
}

extern const Method star_method;
constinit const Method star_method{
    .name = "star",
    .help = "strong sources first, then the rest, both by total variation (STAR-like)",
    .parameters = "lambda of the rest as nltv; of the strong sources 25 times that, strong above 0.3 ppm, "
                  "widened by 1.5 mm; tolerance 1e-2",
    .sentence = "Susceptibility was computed in two passes of total variation regularisation, strong sources "
                "first, in the manner of "
                "STAR-QSM.",
    .citation = "Wei et al., NMR Biomed. 28(10):1294-1303, 2015, doi:10.1002/nbm.3383",
    .run = [](const Problem& p) {
        StarOptions options;
        options.splitting.lambda = p.lambda > 0.0 ? p.lambda : splitting_lambda(p.mask->grid(), detail::noise_ppm(p));
        options.strong_lambda = 25.0 * options.splitting.lambda;
        return with_lambda(star(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.splitting.lambda);
    }};

}  // namespace qsmpi::inversion
