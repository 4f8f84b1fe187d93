#include "qsmpi/inversion/tv.hpp"

#include <algorithm>
#include <cmath>

#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "tv_admm.hpp"
#include "tv_weighted.hpp"

namespace qsmpi::inversion {
namespace {

void check(const TvOptions& o)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.lambda), str("tv: lambda ", o.lambda, " ppm mm; expected a positive number, such as 2e-4"));
    require(o.rho == 0.0 || positive(o.rho), str("tv: rho ", o.rho, "; expected a positive number, or 0 for a rule"));
    require(positive(o.mu), str("tv: mu ", o.mu, "; expected a positive number"));
    require(o.relaxation >= 1.0 && o.relaxation <= 1.9, str("tv: relaxation ", o.relaxation, " is outside [1, 1.9]"));
    require(o.max_iterations > 0, str("tv: ", o.max_iterations, " iterations; expected at least 1"));
    require(o.tolerance >= 0.0, str("tv: tolerance ", o.tolerance, "; expected a number from 0"));
}

/// Runs step() -> relative change until it falls below the tolerance.
template <typename Step>
void iterate(Result& result, const TvOptions& options, const Observer& observer, Step&& step)
{
    result.converged = false;
    while (!result.converged && result.iterations < options.max_iterations) {
        result.relative_residual = step();
        ++result.iterations;
        result.converged = result.relative_residual < options.tolerance;
        if (observer) observer(result.iterations, result.relative_residual);
    }
}

}  // namespace

TvOptions tv_defaults(const Grid& grid)
{
    const auto& h = grid.voxel_mm;
    const double lambda = 1e-4 * std::cbrt(h[0] * h[1] * h[2]);
    return {.lambda = lambda, .rho = 500.0 * lambda, .relaxation = 1.6, .max_iterations = 60, .tolerance = 1e-2};
}

Result tv(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
          const TvOptions& options, const VolumeF* weight, const Observer& observer)
{
    check(options);
    if (weight != nullptr) require_same_grid(local_field_ppm, *weight, "tv: field and weight");
    detail::Domain domain = detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "tv");
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    if (detail::is_empty(domain.mask)) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    Result result;
    const numerics::Fft3 fft(domain.padded);
    const detail::TvAdmm::Settings settings{.lambda = options.lambda,
                                            .rho = options.rho > 0.0 ? options.rho : 100.0 * options.lambda,
                                            .relaxation = options.relaxation,
                                            .norm = options.norm};
    if (weight != nullptr) {
        const VolumeF w = numerics::crop(*weight, domain.box);
        detail::WeightedTv solver(fft, dipole, domain.field_ppm, domain.mask, w, options.mu, settings);
        domain.field_ppm = {};
        iterate(result, options, observer, [&] { return solver.step(); });
        result.chi_ppm = detail::to_whole(solver.x(), domain, local_field_ppm.grid());
        return result;
    }
    detail::TvAdmm solver(fft, domain.field_ppm, [&](const numerics::Tile& tile, float* a, float* b) {
        dipole.tile(tile, b);
        for (std::size_t i = 0; i < tile.nz * numerics::Tile::width; ++i) a[i] = b[i] * b[i];
    }, settings);
    iterate(result, options, observer, [&] {
        const double change = solver.update_x();
        solver.update_split();
        return change;
    });
    result.chi_ppm = detail::to_whole(solver.x(), domain, local_field_ppm.grid());
    return result;
}

extern const Method tv_method;
constinit const Method tv_method{
    .name = "tv",
    .help = "total variation by ADMM, weighted by the noise where it is known: accurate",
    .parameters = "lambda 1e-4 ppm times the voxel size, rho 500 lambda, relaxation 1.6, at most 60 iterations, tolerance 1e-2",
    .sentence = "Susceptibility was computed by total variation regularisation, solved with the alternating direction "
                "method of multipliers.",
    .citation = "Bilgic et al., Magn. Reson. Med. 72(5):1444-1459, 2014, doi:10.1002/mrm.25029",
    .run = [](const Problem& p) {
        TvOptions options = tv_defaults(p.mask->grid());
        if (p.lambda > 0.0) {
            options.lambda = p.lambda;
            options.rho = 500.0 * p.lambda;
        }
        return tv(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer);
    }};

}  // namespace qsmpi::inversion
