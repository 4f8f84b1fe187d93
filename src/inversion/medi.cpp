#include "qsmpi/inversion/medi.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "conjugate_gradients.hpp"
#include "domain.hpp"
#include "medi_problem.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "weighted_domain.hpp"

namespace qsmpi::inversion {
namespace {

void check(const MediOptions& o, const MediInput& input)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.lambda), str("medi: lambda ", o.lambda, " ppm mm; expected a positive number, such as 1e-4"));
    require(o.edge_fraction >= 0.0 && o.edge_fraction < 1.0,
            str("medi: edge fraction ", o.edge_fraction, " is outside [0, 1)"));
    require(positive(o.smoothing_ppm_per_mm),
            str("medi: smoothing ", o.smoothing_ppm_per_mm, " ppm/mm; expected a positive number"));
    require(std::isfinite(o.csf_lambda) && o.csf_lambda >= 0.0,
            str("medi: csf lambda ", o.csf_lambda, "; expected a number from 0"));
    require(o.max_iterations > 0 && o.cg_iterations > 0,
            str("medi: ", o.max_iterations, " steps of ", o.cg_iterations, " iterations; expected at least 1 of each"));
    require(o.tolerance >= 0.0 && o.cg_tolerance >= 0.0, "medi: a tolerance is negative");
    require(std::isfinite(input.radians_per_ppm) && input.radians_per_ppm >= 0.0,
            str("medi: ", input.radians_per_ppm, " rad/ppm; expected a number from 0"));
}

/// w^2 on the box, 0 outside the mask.
VolumeF squared_weights(const VolumeF* weight, const detail::Domain& domain)
{
    VolumeF squared(domain.mask.grid());
    const VolumeF w = weight == nullptr ? VolumeF() : numerics::crop(*weight, domain.box);
    for (std::size_t i = 0; i < squared.size(); ++i) {
        const float value = domain.mask[i] == 0 ? 0.0F : w.empty() ? 1.0F : w[i];
        require(value >= 0.0F && std::isfinite(value),
                str("medi: a weight in the mask is ", value,
                    "; expected finite numbers from 0, 0 where the field is unknown"));
        squared[i] = value * value;
    }
    return squared;
}

/// x <- a damped inverse of the weighted field, to start from: the norm's first weights need some gradients. The
/// field enters as the data term of s = radians_per_ppm sees it from x = 0.
void start(detail::DipoleFilter& dipole, const VolumeF& field, const VolumeF& squared_weight, double radians_per_ppm,
           VolumeF& x)
{
    constexpr float damping = 0.05F;
    const auto s = static_cast<float>(radians_per_ppm);
    parallel::for_blocks(x.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            x[i] = std::min(squared_weight[i], 1.0F) * (s > 0.0F ? std::sin(s * field[i]) / s : field[i]);
    });
    dipole.apply_changed(x, x, [](const numerics::Tile& tile, float* d) {
#pragma omp simd
        for (std::size_t i = 0; i < tile.nz * numerics::Tile::width; ++i) d[i] = d[i] / (d[i] * d[i] + damping);
    });
}

}  // namespace

MediOptions medi_defaults(const Grid& grid)
{
    return {.lambda = 1e-4 * grid.voxel_edge_mm(), .smoothing_ppm_per_mm = 5e-3 / grid.voxel_edge_mm()};
}

Result medi(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
            const MediInput& input, const MediOptions& options, const Observer& observer)
{
    check(options, input);
    if (input.weight != nullptr) require_same_grid(local_field_ppm, *input.weight, "medi: field and weight");
    if (input.magnitude != nullptr) require_same_grid(local_field_ppm, *input.magnitude, "medi: field and magnitude");
    if (input.csf_mask != nullptr) require_same_grid(local_field_ppm, *input.csf_mask, "medi: field and csf mask");
    const detail::Domain domain =
        detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "medi");
    if (detail::is_empty(domain.mask)) {
        (void)numerics::DipoleKernel(domain.padded, b0_direction_ijk);  // a wrong direction is wrong for any mask
        return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};
    }
    detail::DipoleFilter dipole(domain.padded, b0_direction_ijk);

    const Grid& box = domain.mask.grid();
    VolumeF squared_weight = squared_weights(input.weight, domain);
    const double s = input.radians_per_ppm;
    VolumeF x(box), of_turns, step(box), residual(box);
    start(dipole, domain.field_ppm, squared_weight, 0.0, x);
    if (s > 0.0) {
        of_turns = VolumeF(box);
        start(dipole, domain.field_ppm, squared_weight, s, of_turns);
    }
    Mask csf;
    if (input.csf_mask != nullptr) {
        csf = numerics::crop(*input.csf_mask, domain.box);
        for (std::size_t i = 0; i < csf.size(); ++i) csf[i] = csf[i] != 0 && domain.mask[i] != 0 ? 1 : 0;
    }
    const bool has_csf = !csf.empty() && !detail::is_empty(csf);
    detail::MediProblem problem(
        dipole, domain.field_ppm, std::move(squared_weight),
        input.magnitude == nullptr
            ? Volume<std::uint8_t>(box, 0)
            : detail::magnitude_edges(numerics::crop(*input.magnitude, domain.box), domain.mask, options.edge_fraction),
        has_csf ? &csf : nullptr, 0.0, options);

    Result result;
    const auto improve = [&](VolumeF& map) {
        problem.descent(map, residual);
        step.fill(0.0F);
        detail::conjugate_gradients([&](const VolumeF& p, VolumeF& q) { return problem.curvature(p, q); }, step,
                                    residual, options.cg_iterations, options.cg_tolerance);
        parallel::for_blocks(map.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) map[i] += step[i];
        });
        const double norm = numerics::dot(map, map);
        result.relative_residual = norm > 0.0 ? std::sqrt(numerics::dot(step, step) / norm) : 0.0;
        ++result.iterations;
        result.converged = result.relative_residual < options.tolerance;
        if (observer) observer(result.iterations, result.relative_residual);
    };
    const auto descend = [&](Reweighting reweighting) {
        const int last = result.iterations + options.max_iterations;
        result.converged = false;
        while (!result.converged && result.iterations < last) {
            improve(x);
            if (!result.converged && reweighting == Reweighting::merit) problem.reweight(x);
        }
    };
    if (s > 0.0) {
        // Beside strong sources the phase turns several times, and each turn has a minimum of its own: the convex limit comes first.
        // Where it is misled by turns in the data, the phase by itself explains more.
        descend(Reweighting::off);
        problem.set_radians_per_ppm(s);
        improve(of_turns);
        if (problem.objective(of_turns) < problem.objective(x)) std::swap(x, of_turns);
        of_turns = {};
    }
    descend(options.reweighting);
    if (has_csf) {
        const auto mean = static_cast<float>(numerics::mean_inside(x, csf));
        for (float& value : x) value -= mean;
    }
    result.chi_ppm = detail::to_whole(x, domain, local_field_ppm.grid());
    return result;
}

extern const Method medi_method;
constinit const Method medi_method{
    .name = "medi",
    .help = "morphology enabled dipole inversion (MEDI): edges of the magnitude are spared, fluid can be the zero",
    .parameters =
        "lambda 1e-4 ppm times the voxel size (and the square of the noise over 2 ppb where it is more and the weights do "
        "not tell it), 30 % edges, at most 10 steps of 40 CG iterations, tolerance 0.1, first for the linear limit",
    .sentence = "Susceptibility was computed by morphology enabled dipole inversion.",
    .citation =
        "Liu T. et al., Magn. Reson. Med. 69(2):467-476, 2013, doi:10.1002/mrm.24272; "
        "Liu J. et al., NeuroImage 59(3):2560-2568, 2012, doi:10.1016/j.neuroimage.2011.08.082; "
        "Liu Z. et al., Magn. Reson. Med. 79(5):2795-2803, 2018, doi:10.1002/mrm.26946",
    .run = [](const Problem& p) {
        MediOptions options = medi_defaults(p.mask->grid());
        options.lambda = p.lambda > 0.0 ? p.lambda : options.lambda * detail::noise_factor(p);
        return with_lambda(medi(*p.field_ppm, *p.mask, p.b0_direction_ijk,
                                {.weight = p.weight,
                                 .magnitude = p.magnitude,
                                 .csf_mask = p.csf_mask,
                                 .radians_per_ppm = p.radians_per_ppm},
                                options, p.observer),
                           options.lambda);
    }};

}  // namespace qsmpi::inversion
