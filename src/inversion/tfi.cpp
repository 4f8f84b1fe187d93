#include "qsmpi/inversion/tfi.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "conjugate_gradients.hpp"
#include "domain.hpp"
#include "medi_problem.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/gradient.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "relative_change.hpp"
#include "tfi_problem.hpp"

namespace qsmpi::inversion {
namespace {

void check(const TfiOptions& o)
{
    const auto positive = [](double v, const char* what) {
        require(std::isfinite(v) && v > 0.0, str("tfi: ", what, " ", v, "; expected a positive number"));
    };
    const auto not_negative = [](double v, const char* what) {
        require(std::isfinite(v) && v >= 0.0, str("tfi: ", what, " ", v, "; expected a number from 0"));
    };
    positive(o.lambda, "lambda [ppm mm]");
    positive(o.smoothing_ppm_per_mm, "smoothing [ppm/mm]");
    positive(o.void_size_ppm, "size of sources without signal [ppm]");
    positive(o.tissue_size_ppm, "size of sources in tissue [ppm]");
    positive(o.inside_size_ppm, "size of sources in the mask [ppm]");
    positive(o.first_preconditioner, "first preconditioner [ppm]");
    positive(o.preconditioner, "preconditioner [ppm]");
    positive(o.model_error_ppm, "model error [ppm]");
    not_negative(o.rim_error_ppm, "error of the rim [ppm]");
    not_negative(o.second_rim_error_ppm, "error of the second layer [ppm]");
    not_negative(o.steepness_error, "error by steepness");
    not_negative(o.margin_mm, "margin [mm]");
    not_negative(o.pad_fraction, "padding");
    not_negative(o.tolerance, "tolerance");
    not_negative(o.cg_tolerance, "tolerance of a step");
    require(o.edge_fraction >= 0.0 && o.edge_fraction < 1.0,
            str("tfi: edge fraction ", o.edge_fraction, " is outside [0, 1)"));
    require(o.max_iterations > 0 && o.cg_iterations > 0 && o.first_cg_iterations > 0,
            "tfi: expected at least 1 iteration of each kind");
}

/// w^2 = model_error^2 / variance of each voxel of the data.
VolumeF squared_weights(const VolumeF& field, const Mask& data, const VolumeF& sigma, const TfiOptions& o)
{
    const Dims& n = field.dims();
    const Vec3& h = field.grid().voxel_mm;
    const VolumeF depth_mm = numerics::distance_inside_mm(data, false);
    const double layer_mm = *std::max_element(h.begin(), h.end());
    const auto square = [](double v) { return v * v; };
    VolumeF weight(field.grid(), 0.0F);
    parallel::for_each(n.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < n.ny; ++y)
            for (std::size_t x = 0; x < n.nx; ++x) {
                const std::size_t i = n.index(x, y, z);
                if (data[i] == 0) continue;
                const double depth = static_cast<double>(depth_mm[i]);
                const double rim = depth <= 1.1 * layer_mm   ? o.rim_error_ppm
                                   : depth <= 2.1 * layer_mm ? o.second_rim_error_ppm
                                                             : 0.0;
                const double noise = sigma.empty() ? 0.0 : static_cast<double>(sigma[i]);
                const double variance =
                    square(o.model_error_ppm) + square(rim) + square(noise) +
                    square(o.steepness_error * static_cast<double>(numerics::surroundings(field, data, x, y, z).largest_step));
                weight[i] = std::isfinite(variance) ? static_cast<float>(square(o.model_error_ppm) / variance) : 0.0F;
            }
    });
    return weight;
}

}  // namespace

TfiOptions tfi_defaults(const Grid& grid)
{
    return {.lambda = 2e-4 * grid.voxel_edge_mm(), .smoothing_ppm_per_mm = 5e-3 / grid.voxel_edge_mm()};
}

Result tfi(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk, const TfiInput& input,
           const TfiOptions& options, const Observer& observer)
{
    check(options);
    require_same_grid(total_field_ppm, mask, "tfi: field and mask");
    if (input.sigma_ppm != nullptr) require_same_grid(total_field_ppm, *input.sigma_ppm, "tfi: field and sigma");
    if (input.magnitude != nullptr) require_same_grid(total_field_ppm, *input.magnitude, "tfi: field and magnitude");
    (void)numerics::DipoleKernel({{1, 1, 1}}, b0_direction_ijk);  // checks the direction
    if (detail::is_empty(mask)) return {.chi_ppm = VolumeF(mask.grid(), 0.0F)};

    const numerics::Box box = numerics::bounding_box(mask, numerics::voxels_along(mask.grid(), options.margin_mm));
    const Mask inside = numerics::crop(mask, box);
    VolumeF field = numerics::crop(total_field_ppm, box);
    const VolumeF magnitude = input.magnitude == nullptr ? VolumeF() : numerics::crop(*input.magnitude, box);
    const double signal_limit = magnitude.empty()
                                    ? std::numeric_limits<double>::infinity()
                                    : options.signal_fraction * numerics::usual_signal(magnitude, inside);
    Mask data(inside.grid());
    Volume<std::uint8_t> regions(inside.grid());
    for (std::size_t i = 0; i < data.size(); ++i) {
        data[i] = inside[i] != 0 && std::isfinite(field[i]) ? 1 : 0;
        if (data[i] == 0) field[i] = 0.0F;
        const bool signal = !magnitude.empty() && static_cast<double>(magnitude[i]) > signal_limit;
        regions[i] = inside[i] != 0 ? detail::tfi_inside : signal ? detail::tfi_tissue : detail::tfi_void;
    }
    VolumeF weight = squared_weights(
        field, data, input.sigma_ppm == nullptr ? VolumeF() : numerics::crop(*input.sigma_ppm, box), options);

    const Grid padded = numerics::padded_grid(field.grid(), 0.0, options.pad_fraction);
    detail::DipoleFilter dipole(padded, b0_direction_ijk);
    detail::TfiProblem problem(dipole, std::move(field), std::move(weight), std::move(regions),
                               magnitude.empty() ? Volume<std::uint8_t>(inside.grid(), 0)
                                                 : detail::magnitude_edges(magnitude, inside, options.edge_fraction),
                               options);
    VolumeF y(padded, 0.0F), residual(padded), x(inside.grid(), 0.0F), before(inside.grid(), 0.0F);
    Result result;
    result.converged = false;
    while (!result.converged && result.iterations < options.max_iterations) {
        // Large for the background, small for the inside: what one leaves undone the other does.
        problem.set_preconditioner(result.iterations % 2 == 0 ? options.first_preconditioner : options.preconditioner,
                                   y);
        problem.descent(y, residual);
        const int n_cg = result.iterations == 0 ? options.first_cg_iterations : options.cg_iterations;
        detail::conjugate_gradients([&](const VolumeF& p, VolumeF& q) { return problem.curvature(p, q); }, y, residual,
                                    n_cg, options.cg_tolerance);
        std::swap(x, before);
        problem.map(y, x);
        result.relative_residual = detail::relative_change(x, before);
        ++result.iterations;
        result.converged = result.relative_residual < options.tolerance;
        if (observer) observer(result.iterations, result.relative_residual);
    }
    // The number of iterations is part of the regularisation: that it was reached is no failure.
    result.converged = true;
    result.chi_ppm = numerics::uncrop(x, box, mask.grid());
    return result;
}

extern const Method tfi_method;
constinit const Method tfi_method{
    .name = "tfi",
    .help = "total field inversion: sources inside and outside the mask together, no background removal needed",
    .parameters =
        "lambda 2e-4 ppm times the voxel size, P 30 and 10 by turns, 5 reweightings of at most 60, then 40 CG "
        "iterations, 30 % edges",
    .sentence = "Susceptibility was computed by preconditioned total field inversion.",
    .citation = "Liu Z. et al., Magn. Reson. Med. 78(1):303-315, 2017, doi:10.1002/mrm.26331",
    .input = Input::total_field,
    .run = [](const Problem& p) {
        TfiOptions options = tfi_defaults(p.mask->grid());
        if (p.lambda > 0.0) options.lambda = p.lambda;
        return with_lambda(tfi(*p.field_ppm, *p.mask, p.b0_direction_ijk,
                               {.sigma_ppm = p.sigma_ppm, .magnitude = p.magnitude}, options, p.observer),
                           options.lambda);
    }};

}  // namespace qsmpi::inversion
