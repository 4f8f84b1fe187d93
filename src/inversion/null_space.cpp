#include "qsmpi/inversion/null_space.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/harmonic_polynomials.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/normal_equations.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion {
namespace {

using Polynomials = numerics::HarmonicPolynomials;

// (1/3 laplace - d^2/dz^2) chi = 1/3 (chi_uu + chi_vv - 2 chi_ww)
constexpr double curvature = -2.0;
constexpr std::size_t least_members = 100;  // of a class

/// Voxels that stand for the map, class by class.
struct Samples {
    std::vector<std::size_t> voxels;
    std::vector<std::size_t> bounds;  ///< first sample of each class, and the end
    std::vector<double> rows;         ///< values of the polynomials at each, without the constant

    [[nodiscard]] std::size_t n_classes() const { return bounds.size() - 1; }
};

/// What least squares found: coefficients of the polynomials, and the susceptibility of each class.
struct Fit {
    std::vector<double> coefficients, class_ppm;

    /// The polynomials at a sample.
    [[nodiscard]] double at(const Samples& samples, std::size_t s) const
    {
        return std::inner_product(coefficients.begin(), coefficients.end(), &samples.rows[s * coefficients.size()], 0.0);
    }
};

double median(std::vector<float> values) { return numerics::quantile(values, 0.5); }

double median_size(std::vector<float> values)
{
    for (float& v : values) v = std::abs(v);
    return numerics::quantile(values, 0.5);
}

std::vector<float> members(const std::vector<float>& values, const Samples& samples, std::size_t of_class)
{
    const auto at = [&](std::size_t c) { return values.begin() + static_cast<std::ptrdiff_t>(samples.bounds[c]); };
    return {at(of_class), at(of_class + 1)};
}

/// Order of voxels of equal R2*: any but that of their places, which would make slabs of classes.
std::size_t shuffled(std::size_t voxel) { return voxel * 0x9E3779B97F4A7C15U; }

/// Every so many of the voxels whose R2* and susceptibility are known, in the order of R2*; none if there are too few.
Samples take_samples(const VolumeF& chi_ppm, const Mask& mask, const VolumeF& r2star_per_s, const Polynomials& polynomials,
                     const NullSpaceOptions& o)
{
    VolumeF known(mask.grid());
    std::size_t n_known = 0, n_mask = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const bool is_known =
            mask[i] != 0 && std::isfinite(r2star_per_s[i]) && r2star_per_s[i] > 0.0F && std::isfinite(chi_ppm[i]);
        known[i] = is_known ? 1.0F : 0.0F;
        n_known += is_known ? 1 : 0;
        n_mask += mask[i] != 0 ? 1 : 0;
    }
    const auto n_classes = static_cast<std::size_t>(o.n_classes), n_samples = static_cast<std::size_t>(o.n_samples);
    Samples samples;
    const std::size_t every = std::max<std::size_t>(1, (n_known + n_samples - 1) / n_samples);
    if (n_known / every < least_members * n_classes) return samples;
    if (static_cast<double>(n_known) < o.known_least * static_cast<double>(n_mask)) return samples;

    for (std::size_t i = 0, n = 0; i < mask.size(); ++i)
        if (known[i] > 0.0F && n++ % every == 0) samples.voxels.push_back(i);
    const VolumeF smooth = numerics::gaussian_smooth(r2star_per_s, known, o.smoothing_mm);
    std::sort(samples.voxels.begin(), samples.voxels.end(),
                     [&](std::size_t a, std::size_t b) {
                         return smooth[a] != smooth[b] ? smooth[a] < smooth[b] : shuffled(a) < shuffled(b);
                     });
    for (std::size_t c = 0; c <= n_classes; ++c) samples.bounds.push_back(c * samples.voxels.size() / n_classes);

    const std::size_t n = polynomials.size() - 1;
    samples.rows.resize(samples.voxels.size() * n);
    const Dims& d = mask.dims();
    parallel::for_blocks(samples.voxels.size(), [&](std::size_t begin, std::size_t end) {
        Polynomials::Values values;
        for (std::size_t s = begin; s < end; ++s) {
            const std::size_t i = samples.voxels[s];
            polynomials.at(i % d.nx, i / d.nx % d.ny, i / (d.nx * d.ny), values);
            std::copy_n(values.data() + 1, n, &samples.rows[s * n]);
        }
    });
    return samples;
}

/// The map at the samples without the polynomials.
std::vector<float> flattened(const VolumeF& chi_ppm, const Samples& samples, const Fit& fit)
{
    std::vector<float> flat(samples.voxels.size());
    parallel::for_blocks(flat.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t s = begin; s < end; ++s) flat[s] = chi_ppm[samples.voxels[s]] - static_cast<float>(fit.at(samples, s));
    });
    return flat;
}

std::vector<float> less_class(std::vector<float> values, const Samples& samples, const std::vector<double>& class_ppm)
{
    for (std::size_t c = 0; c < samples.n_classes(); ++c)
        for (std::size_t s = samples.bounds[c]; s < samples.bounds[c + 1]; ++s) values[s] -= static_cast<float>(class_ppm[c]);
    return values;
}

std::vector<double> class_medians(const std::vector<float>& values, const Samples& samples)
{
    std::vector<double> medians;
    for (std::size_t c = 0; c < samples.n_classes(); ++c) medians.push_back(median(members(values, samples, c)));
    return medians;
}

/// Weighted sums over one class.
struct ClassSums {
    numerics::NormalEquations equations;
    double weight = 0.0, chi_ppm = 0.0;
    std::vector<double> row;
};

/// One step: weights from the distance to the class, then polynomials and classes by least squares.
void improve(Fit& fit, const VolumeF& chi_ppm, const Samples& samples, double narrowness)
{
    const std::vector<float> rest = less_class(flattened(chi_ppm, samples, fit), samples, fit.class_ppm);
    const double scale_ppm = narrowness * 1.4826 * median_size(rest);  // the median size of normal noise is sigma / 1.4826
    if (!(scale_ppm > 0.0)) return;
    const std::size_t n = fit.coefficients.size();
    std::vector<ClassSums> classes(samples.n_classes());
    parallel::for_each(classes.size(), [&](std::size_t c) {
        ClassSums sums{.equations = numerics::NormalEquations(n), .row = std::vector<double>(n)};
        for (std::size_t s = samples.bounds[c]; s < samples.bounds[c + 1]; ++s) {
            const double ratio = static_cast<double>(rest[s]) / scale_ppm, weight = 1.0 / (1.0 + ratio * ratio);
            const auto value = static_cast<double>(chi_ppm[samples.voxels[s]]);
            const double* row = &samples.rows[s * n];
            sums.equations.add(row, weight, value);
            for (std::size_t i = 0; i < n; ++i) sums.row[i] += weight * row[i];
            sums.chi_ppm += weight * value;
            sums.weight += weight;
        }
        for (double& x : sums.row) x /= sums.weight;
        sums.chi_ppm /= sums.weight;
        sums.equations.add(sums.row.data(), -sums.weight, sums.chi_ppm);  // about the mean of the class
        classes[c] = std::move(sums);
    });
    numerics::NormalEquations all(n);
    for (const ClassSums& sums : classes) all += sums.equations;
    fit.coefficients = all.solved();
    for (std::size_t c = 0; c < classes.size(); ++c)
        fit.class_ppm[c] = classes[c].chi_ppm -
                           std::inner_product(fit.coefficients.begin(), fit.coefficients.end(), classes[c].row.begin(), 0.0);
}

double explained(const VolumeF& chi_ppm, const Samples& samples, const Fit& fit)
{
    std::vector<float> flat = flattened(chi_ppm, samples, fit);
    const double within = median_size(less_class(flat, samples, class_medians(flat, samples)));
    const auto middle = static_cast<float>(median(flat));
    for (float& v : flat) v -= middle;
    const double spread = median_size(flat);
    return spread > 0.0 ? std::max(0.0, 1.0 - within * within / (spread * spread)) : 0.0;
}

void subtract(VolumeF& chi_ppm, const Mask& mask, const Polynomials& polynomials, const std::vector<double>& coefficients)
{
    const Dims& d = mask.dims();
    parallel::for_each(d.nz, [&](std::size_t z) {
        Polynomials::Values p;
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                if (mask(x, y, z) == 0) continue;
                polynomials.at(x, y, z, p);
                chi_ppm(x, y, z) -=
                    static_cast<float>(std::inner_product(coefficients.begin(), coefficients.end(), p.data() + 1, 0.0));
            }
    });
}

}  // namespace

NullSpaceReport settle_null_space(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                  const VolumeF& r2star_per_s, const NullSpaceOptions& options)
{
    require_same_grid(chi_ppm, mask, "null space: map and mask");
    require_same_grid(r2star_per_s, mask, "null space: R2* and mask");
    require(options.order > 0 && options.n_classes > 0 && options.n_samples > 0 && options.n_iterations > 0,
            "null space: expected at least 1 as order, classes, samples and iterations");
    require(options.explained_least < options.explained_enough,
            str("null space: from ", options.explained_least, " explained to ", options.explained_enough, "; expected less to more"));
    require(options.narrowness > 0.0, str("null space: narrowness ", options.narrowness, "; expected a positive number"));
    const Polynomials polynomials(mask.grid(), numerics::bounding_box(mask), options.order, b0_direction_ijk, curvature);
    const Samples samples = take_samples(chi_ppm, mask, r2star_per_s, polynomials, options);
    if (samples.voxels.empty()) return {0.0, 0.0};

    Fit fit{.coefficients = std::vector<double>(polynomials.size() - 1), .class_ppm = {}};
    fit.class_ppm = class_medians(flattened(chi_ppm, samples, fit), samples);
    for (int i = 0; i < options.n_iterations; ++i) improve(fit, chi_ppm, samples, options.narrowness);
    const double part = explained(chi_ppm, samples, fit);
    const double share =
        std::clamp((part - options.explained_least) / (options.explained_enough - options.explained_least), 0.0, 1.0);
    for (double& c : fit.coefficients) c *= share;
    if (share > 0.0) subtract(chi_ppm, mask, polynomials, fit.coefficients);
    return {part, share};
}

}  // namespace qsmpi::inversion
