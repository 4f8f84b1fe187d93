#include "qsmpi/inversion/tv.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "tv_admm.hpp"
#include "tv_weighted.hpp"
#include "weighted_domain.hpp"

namespace qsmpi::inversion {
namespace {

void check(const TvOptions& o, const VolumeF* guide)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.lambda), str("tv: lambda ", o.lambda, " ppm mm; expected a positive number, such as 2e-4"));
    require(o.rho == 0.0 || positive(o.rho), str("tv: rho ", o.rho, "; expected a positive number, or 0 for a rule"));
    require(positive(o.mu), str("tv: mu ", o.mu, "; expected a positive number"));
    require(o.relaxation >= 1.0 && o.relaxation <= 1.9, str("tv: relaxation ", o.relaxation, " is outside [1, 1.9]"));
    require(o.max_iterations > 0, str("tv: ", o.max_iterations, " iterations; expected at least 1"));
    require(o.add_back_after >= 0, str("tv: the field is added back after ", o.add_back_after, " iterations; expected a number from 0"));
    require(o.unguided > 0.0 && o.unguided <= 1.0, str("tv: unguided ", o.unguided, " is outside (0, 1]"));
    require(o.tolerance >= 0.0, str("tv: tolerance ", o.tolerance, "; expected a number from 0"));
    require(guide == nullptr || o.norm == TvNorm::anisotropic, "tv: a guide needs the anisotropic norm");
}

/// @param guide  of the box, must outlive the solver; null: none
detail::TvAdmm::Settings admm_settings(const TvOptions& o, const VolumeF* guide)
{
    return {.lambda = o.lambda,
            .rho = o.rho > 0.0 ? o.rho : 100.0 * o.lambda,
            .relaxation = o.relaxation,
            .norm = o.norm,
            .guide = guide,
            .unguided = o.unguided};
}

/// guide <- logarithm of the magnitude over the step that most neighbours in the mask do not exceed.
void log_in_steps(const VolumeF& magnitude, const Mask& mask, VolumeF& guide)
{
    constexpr double calm_fraction = 0.7;
    constexpr float smallest_step = 1e-4F;
    float largest = 0.0F;
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (mask[i] != 0 && std::isfinite(magnitude[i])) largest = std::max(largest, magnitude[i]);
    if (largest <= 0.0F) return;
    const float floor = 1e-3F * largest;
    parallel::for_blocks(guide.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            guide[i] = std::log(std::isfinite(magnitude[i]) ? std::max(magnitude[i], floor) : floor);
    });
    const Dims& d = guide.dims();
    std::vector<float> steps;
    const auto add = [&](std::size_t i, std::size_t j) {
        if (mask[i] != 0 && mask[j] != 0) steps.push_back(std::abs(guide[j] - guide[i]));
    };
    for (std::size_t z = 0; z < d.nz; z += 2)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = y % 2; x < d.nx; x += 2) {
                const std::size_t i = d.index(x, y, z);
                if (x + 1 < d.nx) add(i, i + 1);
                if (y + 1 < d.ny) add(i, i + d.nx);
                if (z + 1 < d.nz) add(i, i + d.nx * d.ny);
            }
    const double step = steps.empty() ? 1.0 : numerics::quantile(steps, calm_fraction);
    const float scale = 1.0F / std::max(static_cast<float>(step), smallest_step);
    parallel::for_blocks(guide.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) guide[i] *= scale;
    });
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

TvOptions tv_defaults(const Grid& grid, Guidance guidance)
{
    const double edge_mm = grid.voxel_edge_mm();
    return {.lambda = (guidance == Guidance::edges ? 2e-4 : 1e-4) * edge_mm, .rho = 0.05 * edge_mm, .relaxation = 1.6,
            .max_iterations = 60, .tolerance = 5e-3, .add_back_after = 12};
}

VolumeF edge_guide(const VolumeF* magnitude, const Mask& mask, Border border)
{
    require(magnitude != nullptr || border != Border::signal, "edge_guide: a border of signal needs a magnitude");
    VolumeF guide(mask.grid(), 0.0F);
    if (magnitude != nullptr) {
        require_same_grid(*magnitude, mask, "edge_guide: magnitude and mask");
        log_in_steps(*magnitude, mask, guide);
    }
    if (border == Border::signal) return guide;
    const float beyond = border == Border::edge ? std::numeric_limits<float>::max() : std::numeric_limits<float>::quiet_NaN();
    parallel::for_blocks(guide.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (mask[i] == 0) guide[i] = beyond;
    });
    return guide;
}

struct ContinuedTv::State {
    detail::Domain domain;
    numerics::DipoleKernel dipole;
    numerics::Fft3 fft;
    VolumeF guide;  ///< of the box; empty: none
    detail::WeightedTv solver;

    State(detail::Domain d, const UnitVector& b0_direction_ijk, const TvOptions& o, const VolumeF& weight,
          const VolumeF* whole_guide)
        : domain(std::move(d)),
          dipole(domain.padded, b0_direction_ijk),
          fft(domain.padded),
          guide(whole_guide != nullptr ? numerics::crop(*whole_guide, domain.box) : VolumeF()),
          solver(fft, dipole, domain.mask, numerics::crop(weight, domain.box), o.mu,
                 admm_settings(o, guide.empty() ? nullptr : &guide))
    {
    }
};

ContinuedTv::ContinuedTv(const Mask& mask, const UnitVector& b0_direction_ijk, const TvOptions& options, const VolumeF& weight,
                         const VolumeF* guide)
    : whole_(mask.grid())
{
    check(options, guide);
    require_same_grid(mask, weight, "tv: field and weight");
    if (guide != nullptr) require_same_grid(mask, *guide, "tv: field and guide");
    detail::Domain domain = detail::make_domain(mask, options.pad_voxels, options.pad_fraction, "tv");
    if (!detail::is_empty(domain.mask))
        state_ = std::make_unique<State>(std::move(domain), b0_direction_ijk, options, weight, guide);
}

ContinuedTv::~ContinuedTv() = default;

VolumeF ContinuedTv::run(const VolumeF& local_field_ppm, int n_iterations, double forgotten_outside)
{
    if (!state_) return VolumeF(whole_, 0.0F);
    State& s = *state_;
    s.solver.set_field(detail::field_in_box(local_field_ppm, s.domain));
    if (forgotten_outside > 0.0) s.solver.forget_outside(s.domain.mask, static_cast<float>(forgotten_outside));
    for (int i = 0; i < n_iterations; ++i) static_cast<void>(s.solver.step());
    VolumeF chi_ppm = s.solver.x().clone();
    return detail::to_whole(chi_ppm, s.domain, whole_);
}

Result tv(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
          const TvOptions& options, const VolumeF* weight, const Observer& observer, const VolumeF* guide)
{
    check(options, guide);
    if (weight != nullptr) require_same_grid(local_field_ppm, *weight, "tv: field and weight");
    if (guide != nullptr) require_same_grid(local_field_ppm, *guide, "tv: field and guide");
    detail::Domain domain = detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "tv");
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    if (detail::is_empty(domain.mask)) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};
    const VolumeF box_guide = guide != nullptr ? numerics::crop(*guide, domain.box) : VolumeF();

    Result result;
    const numerics::Fft3 fft(domain.padded);
    const auto settings = admm_settings(options, guide != nullptr ? &box_guide : nullptr);
    if (weight != nullptr) {
        const VolumeF w = numerics::crop(*weight, domain.box);
        detail::WeightedTv solver(fft, dipole, domain.mask, w, options.mu, settings);
        solver.set_field(domain.field_ppm);
        domain.field_ppm = {};
        int before_add_back = options.add_back_after;
        iterate(result, options, observer, [&] {
            const double change = solver.step();
            if (before_add_back == 0) return change;
            if (--before_add_back == 0) solver.add_back();
            return std::max(change, options.tolerance);  // not before the field was added back
        });
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
    .help = "total variation by ADMM, weighted by noise and guided by edges of the magnitude where they are known: accurate",
    .parameters = "lambda 2e-4 ppm times the voxel size (half without magnitude, half without known noise; times the square of the noise "
                  "over 2 ppb where it is more and the weights do not tell it), down to a quarter at edges, "
                  "rho 0.05, relaxation 1.6, at most 60 iterations, tolerance 5e-3; what is left of the field is added once, after 12 iterations",
    .sentence = "Susceptibility was computed by total variation regularisation, less where the magnitude has edges, with one Bregman "
                "iteration, solved with the alternating direction method of multipliers.",
    .citation = "Bilgic et al., Magn. Reson. Med. 72(5):1444-1459, 2014, doi:10.1002/mrm.25029; "
                "Osher et al., Multiscale Model. Simul. 4(2):460-489, 2005, doi:10.1137/040605412",
    .run = [](const Problem& p) {
        const bool guided = p.magnitude != nullptr;
        TvOptions options = tv_defaults(p.mask->grid(), guided ? Guidance::edges : Guidance::none);
        // Even trust in the mask is more than none: the field outside is not known to be 0.
        VolumeF even;
        if (p.weight == nullptr) {
            even = VolumeF(p.mask->grid(), 1.0F);
            if (p.sigma_ppm == nullptr) options.lambda *= 0.5;  // no noise is known of
        }
        options.lambda = p.lambda > 0.0 ? p.lambda : options.lambda * detail::noise_factor(p);
        VolumeF guide;
        if (guided || p.border == Border::edge) guide = edge_guide(p.magnitude, *p.mask, p.border);
        return with_lambda(tv(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight != nullptr ? p.weight : &even,
                              p.observer, guide.empty() ? nullptr : &guide),
                           options.lambda);
    },
    .sentence_without_edges = "Susceptibility was computed by total variation regularisation with one Bregman iteration, solved with "
                              "the alternating direction method of multipliers."};

}  // namespace qsmpi::inversion
