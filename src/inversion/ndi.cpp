#include "qsmpi/inversion/ndi.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "splitting.hpp"

namespace qsmpi::inversion {
namespace {

constexpr float largest_weight = 1.5F;
// Part of the noise is the field of some map, and fitted first. On a simulated head with noise of 6 ppb the error is
// least here.
constexpr double share_of_noise = 0.5;

void check(const NdiOptions& o)
{
    require(std::isfinite(o.damping) && o.damping >= 0.0,
            str("ndi: damping ", o.damping, "; expected a number from 0"));
    require(o.noise_ppm >= 0.0, str("ndi: a noise of ", o.noise_ppm, " ppm; expected a number from 0"));
    require(o.max_iterations > 0, str("ndi: ", o.max_iterations, " iterations; expected at least 1"));
    require(o.tolerance >= 0.0, str("ndi: tolerance ", o.tolerance, "; expected a number from 0"));
}

struct Sums {
    double change = 0.0, norm = 0.0, uphill = 0.0;
    Sums& operator+=(const Sums& other)
    {
        change += other.change;
        norm += other.norm;
        uphill += other.uphill;
        return *this;
    }
};

struct Misfit {
    double squares = 0.0, n = 0.0;
    Misfit& operator+=(const Misfit& other)
    {
        squares += other.squares;
        n += other.n;
        return *this;
    }
};

/// model <- w^2 / r sin r (model - f), the derivative of the data term; with `is_bent` instead w^2 (model - f), at most
/// w^2 / r: a convex term that pulls no harder, so it hardly follows a field that is off by a turn.
/// @return the weighted misfit [ppm], root mean square
double data_gradient(const VolumeF& field_ppm, const VolumeF& weight, double radians_per_ppm, bool is_bent,
                     VolumeF& model)
{
    const auto r = static_cast<float>(radians_per_ppm), ppm = static_cast<float>(1.0 / radians_per_ppm);
    const Misfit sum = parallel::sum_blocks<Misfit>(model.size(), [&](std::size_t begin, std::size_t end) {
        Misfit part;
        for (std::size_t i = begin; i < end; ++i) {
            const float w = weight[i];
            const float misfit = model[i] - field_ppm[i];
            const float sine = is_bent ? std::min(std::max(misfit, -ppm), ppm) : std::sin(r * misfit) * ppm;
            part.squares += static_cast<double>(w * w * sine * sine);
            part.n += w > 0.0F ? 1.0 : 0.0;
            model[i] = w * w * sine;
        }
        return part;
    });
    return sum.n > 0.0 ? std::sqrt(sum.squares / sum.n) : 0.0;
}

/// Phase that 1 in 10000 voxels exceed: of strong sources, but not of a few voxels that are off by a turn.
double strong_phase_rad(const detail::WeightedDomain& domain, double radians_per_ppm)
{
    std::vector<float> fields_ppm;
    for (std::size_t i = 0; i < domain.weight.size(); ++i)
        if (domain.weight[i] > 0.0F) fields_ppm.push_back(std::abs(domain.field_ppm[i]));
    return fields_ppm.empty() ? 0.0 : radians_per_ppm * numerics::quantile(fields_ppm, 0.9999);
}

}  // namespace

Result ndi(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
           const NdiOptions& options, const VolumeF* weight, const Observer& observer)
{
    check(options);
    const double r = detail::checked_radians_per_ppm(options.radians_per_ppm, "ndi");
    detail::WeightedDomain domain = detail::make_weighted_domain(local_field_ppm, mask, weight, options.pad_voxels,
                                                                 options.pad_fraction, "ndi");
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    if (detail::is_empty(domain.mask)) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};
    float heaviest = 0.0F;
    for (float& w : domain.weight) {
        w = std::min(w, largest_weight);
        heaviest = std::max(heaviest, w);
    }
    // The largest curvature is max w^2 max D^2 + damping, and max D^2 = 4/9.
    const double curvature = static_cast<double>(heaviest * heaviest) * 4.0 / 9.0 + options.damping;
    const auto step = static_cast<float>(curvature > 0.0 ? 1.0 / curvature : 0.0);
    const auto damping = static_cast<float>(options.damping);

    const numerics::Fft3 fft(domain.padded);
    numerics::Spectrum work(domain.padded.dims);
    const auto convolve = [&](const VolumeF& in, VolumeF& out) {
        fft.filter_tiles(in, out, [&](const numerics::Tile& tile) {
            AlignedBuffer<float> d(tile.nz * numerics::Tile::width);
            dipole.tile(tile, d.data());
            tile.multiply(d.data());
        }, work);
    };

    Result result;
    result.converged = false;
    VolumeF x(domain.mask.grid(), 0.0F), ahead(domain.mask.grid(), 0.0F), gradient(domain.mask.grid());
    double momentum = 1.0;
    // From x = 0 the sine would lead a field beyond half a turn to the wrong one, so the convex term begins.
    bool is_bent = strong_phase_rad(domain, r) > std::numbers::pi;
    while (!result.converged && result.iterations < options.max_iterations) {
        convolve(ahead, gradient);
        const double misfit_ppm = data_gradient(domain.field_ppm, domain.weight, r, is_bent, gradient);
        if (misfit_ppm < share_of_noise * options.noise_ppm) {
            result.converged = true;
            break;
        }
        convolve(gradient, gradient);
        const double next_momentum = 0.5 * (1.0 + std::sqrt(1.0 + 4.0 * momentum * momentum));
        const auto push = static_cast<float>((momentum - 1.0) / next_momentum);
        const Sums sums = parallel::sum_blocks<Sums>(x.size(), [&](std::size_t begin, std::size_t end) {
            Sums part;
            for (std::size_t i = begin; i < end; ++i) {
                const float slope = gradient[i] + damping * ahead[i];
                const float next = ahead[i] - step * slope, change = next - x[i];
                part.change += static_cast<double>(change * change);
                part.norm += static_cast<double>(next * next);
                part.uphill += static_cast<double>(slope * change);
                ahead[i] = next + push * change;
                x[i] = next;
            }
            return part;
        });
        momentum = sums.uphill > 0.0 ? 1.0 : next_momentum;
        result.relative_residual = sums.norm > 0.0 ? std::sqrt(sums.change / sums.norm) : 0.0;
        ++result.iterations;
        result.converged = !is_bent && result.relative_residual < options.tolerance;
        if (is_bent && (2 * result.iterations >= options.max_iterations ||
                        result.relative_residual < options.tolerance)) {
            is_bent = false;
            momentum = 1.0;
        }
        if (observer) observer(result.iterations, result.relative_residual);
    }
    result.chi_ppm = detail::to_whole(x, domain, local_field_ppm.grid());
    return result;
}

extern const Method ndi_method;
constinit const Method ndi_method{
    .name = "ndi",
    .help = "nonlinear dipole inversion by gradient descent, stopped early: a baseline",
    .parameters = "damping 1e-5 (lambda), at most 100 iterations, tolerance 4e-3, or as soon as the misfit is 0.5 of "
                  "the noise",
    .sentence = "Susceptibility was computed by nonlinear dipole inversion with early stopping.",
    .citation = "Polak et al., NMR Biomed. 33(12):e4271, 2020, doi:10.1002/nbm.4271",
    .run = [](const Problem& p) {
        NdiOptions options{.noise_ppm = detail::noise_ppm(p), .radians_per_ppm = p.radians_per_ppm};
        if (p.lambda > 0.0) options.damping = p.lambda;
        return with_lambda(ndi(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.damping);
    }};

}  // namespace qsmpi::inversion
