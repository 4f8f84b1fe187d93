#include "qsmpi/inversion/hdqsm.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/l1.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {
namespace {

/// weight <- weight (1 - d), where d is the misfit as a part of the largest one among voxels of some weight.
void distrust_misfits(const VolumeF& field_ppm, const VolumeF& model_ppm, VolumeF& weight)
{
    float largest = 0.0F;
    for (std::size_t i = 0; i < weight.size(); ++i)
        if (weight[i] > 0.0F) largest = std::max(largest, std::abs(field_ppm[i] - model_ppm[i]));
    if (!(largest > 0.0F)) return;
    parallel::for_blocks(weight.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            weight[i] *= std::max(0.0F, 1.0F - std::abs(field_ppm[i] - model_ppm[i]) / largest);
    });
}

}  // namespace

Result hdqsm(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
             const HdqsmOptions& options, const VolumeF* weight, const Observer& observer)
{
    detail::check(options.first, "hdqsm, first stage");
    detail::check(options.second, "hdqsm, second stage");
    detail::Splitting problem(local_field_ppm, mask, weight, b0_direction_ijk, options.second, "hdqsm");
    if (problem.is_empty()) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    detail::WeightedDomain& d = problem.domain();
    VolumeF chi = problem.run(detail::linear_l1(d.field_ppm, d.weight, options.first.mu), options.first, observer,
                              result);
    distrust_misfits(d.field_ppm, problem.field_of(chi), d.weight);
    chi = problem.run(detail::linear_l2(d.field_ppm, d.weight, options.second.mu), options.second, observer, result,
                      std::move(chi));
    result.chi_ppm = problem.whole(chi);
    return result;
}

extern const Method hdqsm_method;
constinit const Method hdqsm_method{
    .name = "hdqsm",
    .help = "hybrid data fidelity: total variation, L1 first to find fields that contradict the map",
    .parameters = "first stage as l1, at most 20 iterations; second as nltv but linear, at most 60 iterations; "
                  "lambda is that of "
                  "the second, tolerance 1e-2",
    .sentence = "Susceptibility was computed with the hybrid data fidelity method HD-QSM.",
    .citation = "Lambert et al., Magn. Reson. Med. 88(2):962-972, 2022, doi:10.1002/mrm.29218",
    .run = [](const Problem& p) {
        const double noise = detail::noise_ppm(p);
        HdqsmOptions options;
        options.first.lambda = l1_lambda(p.mask->grid(), noise);
        options.second.lambda = p.lambda > 0.0 ? p.lambda : splitting_lambda(p.mask->grid(), noise);
        return with_lambda(hdqsm(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.second.lambda);
    }};

}  // namespace qsmpi::inversion
