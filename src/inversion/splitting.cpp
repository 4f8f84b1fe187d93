#include "splitting.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

namespace qsmpi::inversion {

double splitting_lambda(const Grid& grid, double noise_ppm)
{
    const double for_a_step_ppm = noise_ppm > 0.0 ? std::max(5e-5, 0.08 * noise_ppm) : 1e-4;
    return for_a_step_ppm * grid.voxel_edge_mm();
}

namespace detail {
namespace {

/// Until the tolerance is reached, adding to the counts of `result`.
void iterate(ProxTv& tv, int max_iterations, double tolerance, const Observer& observer, Result& result)
{
    result.converged = false;
    for (int i = 0; i < max_iterations && !result.converged; ++i) {
        result.relative_residual = tv.step();
        ++result.iterations;
        result.converged = result.relative_residual < tolerance;
        if (observer) observer(result.iterations, result.relative_residual);
    }
}

}  // namespace

void check(const SplittingOptions& o, const char* who)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.lambda), str(who, ": lambda ", o.lambda, "; expected a positive number"));
    require(o.rho == 0.0 || positive(o.rho),
            str(who, ": rho ", o.rho, "; expected a positive number, or 0 for a rule"));
    require(positive(o.mu), str(who, ": mu ", o.mu, "; expected a positive number"));
    require(o.relaxation >= 1.0 && o.relaxation <= 1.9,
            str(who, ": relaxation ", o.relaxation, " is outside [1, 1.9]"));
    require(o.support >= 0.0 && std::isfinite(o.support),
            str(who, ": support ", o.support, "; expected a number from 0"));
    require(o.max_iterations > 0, str(who, ": ", o.max_iterations, " iterations; expected at least 1"));
    require(o.tolerance >= 0.0, str(who, ": tolerance ", o.tolerance, "; expected a number from 0"));
}

double checked_radians_per_ppm(double radians_per_ppm, const char* who)
{
    require(std::isfinite(radians_per_ppm) && radians_per_ppm >= 0.0,
            str(who, ": ", radians_per_ppm, " radians for 1 ppm; expected a positive number, or 0 if it is not known"));
    return radians_per_ppm > 0.0 ? radians_per_ppm : fallback_radians_per_ppm;
}

Splitting::Splitting(const VolumeF& field_ppm, const Mask& mask, const VolumeF* weight,
                     const UnitVector& b0_direction_ijk, const SplittingOptions& options, const char* who)
    : whole_(field_ppm.grid()),
      domain_(make_weighted_domain(field_ppm, mask, weight, options.pad_voxels, options.pad_fraction, who)),
      dipole_(domain_.padded, b0_direction_ijk),
      fft_(domain_.padded)
{
}

ProxTv Splitting::solver(const DataProx& prox, const SplittingOptions& options, const Harmonic& harmonic) const
{
    return {fft_, dipole_, domain_.mask, prox,
            {.lambda = options.lambda,
             .rho = options.rho > 0.0 ? options.rho : 500.0 * options.lambda * whole_.voxel_edge_mm(),
             .mu = options.mu,
             .relaxation = options.relaxation,
             .support = options.support,
             .harmonic = harmonic.strength,
             .harmonic_penalty = harmonic.penalty,
             .norm = options.norm}};
}

VolumeF Splitting::run(const DataProx& prox, const SplittingOptions& options, const Observer& observer, Result& result,
                       VolumeF start)
{
    ProxTv tv = solver(prox, options);
    if (!start.empty()) tv.start(std::move(start));
    iterate(tv, options.max_iterations, options.tolerance, observer, result);
    return std::move(tv.x());
}

VolumeF Splitting::run(const DataProx& convex, const DataProx& prox, const SplittingOptions& options,
                       const Observer& observer, Result& result)
{
    ProxTv tv = solver(convex, options);
    const int before = result.iterations;
    iterate(tv, options.max_iterations / 2, options.tolerance, observer, result);
    tv.set_prox(prox);
    iterate(tv, options.max_iterations - (result.iterations - before), options.tolerance, observer, result);
    return std::move(tv.x());
}

VolumeF Splitting::run_nonlinear(double radians_per_ppm, const SplittingOptions& options, const Observer& observer,
                                 Result& result, const Harmonic& harmonic)
{
    float largest_ppm = 0.0F;
    for (std::size_t i = 0; i < domain_.weight.size(); ++i)
        if (domain_.weight[i] > 0.0F) largest_ppm = std::max(largest_ppm, std::abs(domain_.field_ppm[i]));
    const int before = result.iterations;
    VolumeF begin;
    if (radians_per_ppm * static_cast<double>(largest_ppm) > std::numbers::pi && options.max_iterations > 1) {
        // A misfit of 1/300 ppm weighs as much in both terms; a hundredth of a ppm is a step of the magnitudes'
        // splitting.
        constexpr double weight_per_ppm = 300.0, mu_per_ppm = 100.0;
        SplittingOptions magnitudes = options;
        magnitudes.lambda *= weight_per_ppm;
        magnitudes.rho *= weight_per_ppm;
        magnitudes.mu = mu_per_ppm;
        magnitudes.support *= mu_per_ppm / options.mu;
        const double scale = mu_per_ppm / options.mu;
        ProxTv tv = solver(linear_l1(domain_.field_ppm, domain_.weight, mu_per_ppm), magnitudes,
                           {.strength = scale * harmonic.strength, .penalty = scale * harmonic.penalty});
        iterate(tv, options.max_iterations / 2, options.tolerance, observer, result);
        begin = std::move(tv.x());
    }
    ProxTv tv = solver(phase_l2(domain_.field_ppm, domain_.weight, options.mu, radians_per_ppm), options, harmonic);
    if (!begin.empty()) tv.start(std::move(begin));
    iterate(tv, options.max_iterations - (result.iterations - before), options.tolerance, observer, result);
    return std::move(tv.x());
}

VolumeF Splitting::field_of(const VolumeF& chi_ppm) const
{
    VolumeF field(chi_ppm.grid());
    numerics::Spectrum work(fft_.grid().dims);
    fft_.filter_tiles(chi_ppm, field, [&](const numerics::Tile& tile) {
        AlignedBuffer<float> d(tile.nz * numerics::Tile::width);
        dipole_.tile(tile, d.data());
        tile.multiply(d.data());
    }, work);
    return field;
}

}  // namespace detail
}  // namespace qsmpi::inversion
