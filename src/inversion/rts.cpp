#include "qsmpi/inversion/rts.hpp"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "tv_admm.hpp"

namespace qsmpi::inversion {
namespace {

using numerics::Tile;
constexpr int largest_degree = 8;
// The largest D^2 is 4/9: scaled by this, moments of high order keep their size.
constexpr double scale_of_square = 9.0 / 4.0;

void check(const RtsOptions& o)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(o.threshold > 0.0 && o.threshold < 2.0 / 3.0, str("rts: threshold ", o.threshold, " is outside (0, 2/3)"));
    require(positive(o.mu), str("rts: mu ", o.mu, "; expected a positive number, such as 1e5"));
    require(positive(o.rho), str("rts: rho ", o.rho, "; expected a positive number, such as 10"));
    require(o.lsmr_iterations >= 1 && o.lsmr_iterations <= largest_degree,
            str("rts: ", o.lsmr_iterations, " LSMR iterations; expected 1 to ", largest_degree));
    require(o.max_iterations >= 0, str("rts: ", o.max_iterations, " iterations; expected a number from 0"));
    require(o.tolerance >= 0.0, str("rts: tolerance ", o.tolerance, "; expected a number from 0"));
}

/// Moments sum |F f|^2 s^p, p = 0 .. 2 largest_degree + 1, of the scaled square s of the dipole kernel.
using Moments = std::array<double, 2 * largest_degree + 2>;

Moments moments(const numerics::Fft3& fft, numerics::Spectrum& spectrum, const numerics::DipoleKernel& dipole)
{
    const Dims& n = fft.grid().dims;
    const std::size_t half_x = spectrum.half_x();
    std::vector<Moments> per_row(n.ny * n.nz);
    fft.for_each_row(spectrum, [&](std::size_t y, std::size_t z, std::complex<float>* row) {
        std::vector<float> d(half_x);
        dipole.row(y, z, d.data());
        Moments sum{};
        for (std::size_t x = 0; x < half_x; ++x) {
            const bool is_its_own_mirror = x == 0 || (n.nx % 2 == 0 && x == n.nx / 2);
            const auto dx = static_cast<double>(d[x]);
            const double s = scale_of_square * dx * dx;
            double term = (is_its_own_mirror ? 1.0 : 2.0) * static_cast<double>(std::norm(row[x]));
            for (double& m : sum) {
                m += term;
                term *= s;
            }
        }
        per_row[y + n.ny * z] = sum;
    });
    Moments total{};
    for (const Moments& m : per_row)
        for (std::size_t p = 0; p < total.size(); ++p) total[p] += m[p];
    return total;
}

/// Coefficients c_0 .. c_{n-1} of the polynomial q that minimises sum |F f|^2 s (1 - s q(s))^2: what n iterations of LSMR reach
/// on a diagonal matrix. Cholesky on the Hankel matrix of moments; a rank that round-off hides lowers the degree.
std::vector<double> lsmr_polynomial(const Moments& m, int n_iterations)
{
    const auto n = static_cast<std::size_t>(n_iterations);
    std::vector<double> c(n, 0.0);
    if (!(m[3] > 0.0)) return c;
    std::vector<std::vector<double>> l(n, std::vector<double>(n, 0.0));
    std::vector<double> y(n, 0.0);
    std::size_t rank = 0;
    for (; rank < n; ++rank) {
        for (std::size_t j = 0; j <= rank; ++j) {
            double sum = m[rank + j + 3];
            for (std::size_t k = 0; k < j; ++k) sum -= l[rank][k] * l[j][k];
            if (j < rank)
                l[rank][j] = sum / l[j][j];
            else if (sum > 1e-13 * m[2 * rank + 3])
                l[rank][rank] = std::sqrt(sum);
        }
        if (l[rank][rank] == 0.0) break;
        y[rank] = m[rank + 2];
        for (std::size_t k = 0; k < rank; ++k) y[rank] -= l[rank][k] * y[k];
        y[rank] /= l[rank][rank];
    }
    for (std::size_t i = rank; i-- > 0;) {
        c[i] = y[i];
        for (std::size_t k = i + 1; k < rank; ++k) c[i] -= l[k][i] * c[k];
        c[i] /= l[i][i];
    }
    return c;
}

/// field <- F^-1 D q(D^2) F field, the result of step 1.
void first_step(const numerics::Fft3& fft, const numerics::DipoleKernel& dipole, int n_iterations, VolumeF& field)
{
    numerics::Spectrum spectrum(fft.grid().dims);
    fft.forward(field, spectrum);
    const std::vector<double> c = lsmr_polynomial(moments(fft, spectrum, dipole), n_iterations);
    fft.for_each_row(spectrum, [&](std::size_t y, std::size_t z, std::complex<float>* row) {
        std::vector<float> d(spectrum.half_x());
        dipole.row(y, z, d.data());
        for (std::size_t x = 0; x < d.size(); ++x) {
            const auto dx = static_cast<double>(d[x]);
            const double s = scale_of_square * dx * dx;
            double q = 0.0;
            for (std::size_t i = c.size(); i-- > 0;) q = q * s + c[i];
            row[x] *= static_cast<float>(scale_of_square * dx * q);
        }
    });
    fft.inverse(spectrum, field);
}

}  // namespace

Result rts(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
           const RtsOptions& options, const Observer& observer)
{
    check(options);
    detail::Domain domain =
        detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "rts");
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    if (detail::is_empty(domain.mask)) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    const numerics::Fft3 fft(domain.padded);
    VolumeF& first = domain.field_ppm;
    first_step(fft, dipole, options.lsmr_iterations, first);
    parallel::for_blocks(first.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (domain.mask[i] == 0) first[i] = 0.0F;
    });
    if (options.max_iterations == 0) return {.chi_ppm = detail::to_whole(first, domain, local_field_ppm.grid())};

    const auto threshold = static_cast<float>(options.threshold);
    const auto mu = static_cast<float>(options.mu);
    detail::TvAdmm solver(fft, first, [&](const Tile& tile, float* a, float* b) {
        dipole.tile(tile, b);
        for (std::size_t i = 0; i < tile.nz * Tile::width; ++i)
            a[i] = b[i] = std::abs(b[i]) > threshold ? mu : 0.0F;
    }, {.lambda = 1.0, .rho = options.rho, .relaxation = 1.0, .norm = TvNorm::anisotropic});
    solver.x() = first.clone();

    Result result;
    result.converged = false;
    double gap_before = 0.0;
    while (!result.converged && result.iterations < options.max_iterations) {
        result.relative_residual = solver.update_x();
        ++result.iterations;
        result.converged = result.relative_residual < options.tolerance;
        if (observer) observer(result.iterations, result.relative_residual);
        if (result.converged || result.iterations == options.max_iterations) break;
        const double gap = solver.update_split_and_measure();
        if (result.iterations > 1 && gap > 0.7 * gap_before) solver.raise_penalty(5.0);
        gap_before = gap;
    }
    result.chi_ppm = detail::to_whole(solver.x(), domain, local_field_ppm.grid());
    return result;
}

extern const Method rts_method;
constinit const Method rts_method{
    .name = "rts",
    .help = "rapid two-step inversion: well-conditioned frequencies kept, the others filled by total variation",
    .parameters = "threshold 0.15 (lambda), mu 1e5, 8 LSMR iterations, at most 20 iterations, tolerance 1e-2",
    .sentence = "Susceptibility was computed by rapid two-step dipole inversion.",
    .citation = "Kames et al., NeuroImage 167:276-283, 2018, doi:10.1016/j.neuroimage.2017.11.018",
    .run = [](const Problem& p) {
        RtsOptions options;
        if (p.lambda > 0.0) options.threshold = p.lambda;
        return with_lambda(rts(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.observer), options.threshold);
    }};

}  // namespace qsmpi::inversion
