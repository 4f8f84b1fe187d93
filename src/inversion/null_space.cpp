#include "qsmpi/inversion/null_space.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "qsmpi/core/mixed.hpp"
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

/// About so many of the voxels whose R2* and susceptibility are known, drawn at random, in the order of R2*; none if there are too
/// few. Equal rates are in random order, as that of their places would make slabs of classes; so are all without R2*.
Samples take_samples(const VolumeF& chi_ppm, const Mask& mask, const VolumeF* r2star_per_s, const Polynomials& polynomials,
                     const NullSpaceOptions& o)
{
    VolumeF known(mask.grid());
    std::size_t n_known = 0, n_mask = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const float rate = r2star_per_s != nullptr ? (*r2star_per_s)[i] : 1.0F;
        const bool is_known = mask[i] != 0 && std::isfinite(rate) && rate > 0.0F && std::isfinite(chi_ppm[i]);
        known[i] = is_known ? 1.0F : 0.0F;
        n_known += is_known ? 1 : 0;
        n_mask += mask[i] != 0 ? 1 : 0;
    }
    const auto n_classes = static_cast<std::size_t>(o.n_classes), n_samples = static_cast<std::size_t>(o.n_samples);
    Samples samples;
    if (static_cast<double>(n_known) < o.known_least * static_cast<double>(n_mask)) return samples;

    // Every so many would lie in one plane where the mask fills the grid and its rows are a multiple of that.
    const double share = std::min(1.0, static_cast<double>(n_samples) / static_cast<double>(std::max<std::size_t>(n_known, 1)));
    const auto last = static_cast<std::uint64_t>(share * 0x1.fffffffffffffp63);
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (known[i] > 0.0F && (share == 1.0 || mixed(i) <= last)) samples.voxels.push_back(i);
    if (samples.voxels.size() < least_members * n_classes) return {};
    const VolumeF smooth =
        r2star_per_s != nullptr ? numerics::gaussian_smooth(*r2star_per_s, known, o.smoothing_mm) : std::move(known);
    std::sort(samples.voxels.begin(), samples.voxels.end(),
                     [&](std::size_t a, std::size_t b) {
                         return smooth[a] != smooth[b] ? smooth[a] < smooth[b] : mixed(~a) < mixed(~b);
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

/// Polynomials and classes by least squares.
void fit_classes(Fit& fit, const Samples& samples, const std::vector<float>& values, const std::vector<float>& weights)
{
    const std::size_t n = fit.coefficients.size();
    std::vector<ClassSums> classes(samples.n_classes());
    parallel::for_each(classes.size(), [&](std::size_t c) {
        ClassSums sums{.equations = numerics::NormalEquations(n), .row = std::vector<double>(n)};
        for (std::size_t s = samples.bounds[c]; s < samples.bounds[c + 1]; ++s) {
            const auto weight = static_cast<double>(weights[s]), value = static_cast<double>(values[s]);
            if (weight == 0.0) continue;
            const double* row = &samples.rows[s * n];
            sums.equations.add(row, weight, value);
            for (std::size_t i = 0; i < n; ++i) sums.row[i] += weight * row[i];
            sums.chi_ppm += weight * value;
            sums.weight += weight;
        }
        if (sums.weight > 0.0) {
            for (double& x : sums.row) x /= sums.weight;
            sums.chi_ppm /= sums.weight;
            sums.equations.add(sums.row.data(), -sums.weight, sums.chi_ppm);  // about the mean of the class
        }
        classes[c] = std::move(sums);
    });
    numerics::NormalEquations all(n);
    for (const ClassSums& sums : classes) all += sums.equations;
    fit.coefficients = all.solved();
    for (std::size_t c = 0; c < classes.size(); ++c)
        fit.class_ppm[c] = classes[c].chi_ppm -
                           std::inner_product(fit.coefficients.begin(), fit.coefficients.end(), classes[c].row.begin(), 0.0);
}

/// One step of settle_null_space(): weights from the distance to the class.
void improve(Fit& fit, const VolumeF& chi_ppm, const Samples& samples, double narrowness)
{
    const std::vector<float> rest = less_class(flattened(chi_ppm, samples, fit), samples, fit.class_ppm);
    const auto scale_ppm = static_cast<float>(narrowness * 1.4826 * median_size(rest));  // of normal noise it is sigma / 1.4826
    if (!(scale_ppm > 0.0F)) return;
    std::vector<float> values(rest.size()), weights(rest.size());
    for (std::size_t s = 0; s < rest.size(); ++s) {
        const float ratio = rest[s] / scale_ppm;
        values[s] = chi_ppm[samples.voxels[s]];
        weights[s] = 1.0F / (1.0F + ratio * ratio);
    }
    fit_classes(fit, samples, values, weights);
}

/// The mode that each value belongs to: the peak of a histogram with a Gaussian window on whose slope it lies. Peaks are told
/// apart by valleys that are well below the lower one, and further than counting makes them. Not a number for values beyond all
/// but two thousandths of the others, and for all of them if they are spread too wide for a histogram.
std::vector<float> modes_of(const std::vector<float>& values, double width_ppm)
{
    constexpr int steps_per_width = 12, reach = 5 * steps_per_width;
    constexpr double valley = 0.9, standard_deviations = 6.0;
    constexpr double most_bins = 1e5;
    std::vector<float> sorted = values;
    const double low = numerics::quantile(sorted, 0.001), high = numerics::quantile(sorted, 0.999), step = width_ppm / steps_per_width;
    std::vector<float> modes(values.size(), std::numeric_limits<float>::quiet_NaN());
    if (!((high - low) / step < most_bins)) return modes;
    const auto n = static_cast<std::ptrdiff_t>((high - low) / step) + 1;
    const auto for_each_bin = [&](const auto& what) {
        for (std::size_t s = 0; s < values.size(); ++s) {
            const double place = std::floor((static_cast<double>(values[s]) - low) / step);
            if (place >= 0.0 && place < static_cast<double>(n)) what(s, static_cast<std::size_t>(place));
        }
    };
    std::vector<double> count(static_cast<std::size_t>(n), 0.0), density(count), variance(count);
    for_each_bin([&](std::size_t, std::size_t i) { count[i] += 1.0; });
    std::vector<double> window;
    for (int k = -reach; k <= reach; ++k) window.push_back(std::exp(-0.5 * k * k / (steps_per_width * steps_per_width)));
    parallel::for_each(density.size(), [&](std::size_t i) {
        for (int k = -reach; k <= reach; ++k) {
            const std::ptrdiff_t j = static_cast<std::ptrdiff_t>(i) + k;
            if (j < 0 || j >= n) continue;
            const double weight = window[static_cast<std::size_t>(k + reach)], n_here = count[static_cast<std::size_t>(j)];
            density[i] += weight * n_here;
            variance[i] += weight * weight * n_here;
        }
    });
    const auto is_well_below = [&](std::size_t lower, std::size_t upper) {
        const double depth = density[upper] - density[lower];
        return density[lower] < valley * density[upper] && depth > 0.0 &&
               depth * depth > standard_deviations * standard_deviations * (variance[lower] + variance[upper]);
    };

    // From left to right: a peak ends where a valley well below it was passed and the density rises well above that again.
    struct Peak {
        std::size_t top, begin;  // bins; it reaches to the next one's begin
    };
    std::vector<Peak> peaks{{0, 0}};
    std::size_t lowest = 0;  // since the top of the last peak
    for (std::size_t i = 1; i < density.size(); ++i) {
        Peak& last = peaks.back();
        if (density[i] < density[lowest]) lowest = i;
        if (lowest > last.top && is_well_below(lowest, last.top) && is_well_below(lowest, i)) {
            peaks.push_back({i, lowest});
            lowest = i;
        } else if (density[i] > density[last.top]) {
            last.top = lowest = i;
        }
    }
    std::vector<float> mode_of_bin(density.size());
    for (std::size_t p = 0; p < peaks.size(); ++p) {
        const std::size_t end = p + 1 < peaks.size() ? peaks[p + 1].begin : density.size();
        std::fill(mode_of_bin.begin() + static_cast<std::ptrdiff_t>(peaks[p].begin), mode_of_bin.begin() + static_cast<std::ptrdiff_t>(end),
                  static_cast<float>(low + step * (static_cast<double>(peaks[p].top) + 0.5)));
    }
    for_each_bin([&](std::size_t s, std::size_t i) { modes[s] = mode_of_bin[i]; });
    return modes;
}

/// One step of settle_null_space_by_modes().
void sharpen(Fit& fit, const VolumeF& chi_ppm, const Samples& samples, double width_ppm)
{
    const std::vector<float> flat = flattened(chi_ppm, samples, fit), modes = modes_of(flat, width_ppm);
    std::vector<float> values(flat.size(), 0.0F), weights(flat.size(), 0.0F);
    for (std::size_t s = 0; s < flat.size(); ++s) {
        if (!(std::abs(flat[s] - modes[s]) < static_cast<float>(3.0 * width_ppm))) continue;  // or no mode
        values[s] = chi_ppm[samples.voxels[s]] - modes[s];
        weights[s] = 1.0F;
    }
    fit_classes(fit, samples, values, weights);
}

/// Part of the values' spread that is gone when what explains them is subtracted.
double explained(std::vector<float> values, const std::vector<float>& rest)
{
    const double within = median_size(rest);
    const auto middle = static_cast<float>(median(values));
    for (float& v : values) v -= middle;
    const double spread = median_size(std::move(values));
    return spread > 0.0 ? std::max(0.0, 1.0 - within * within / (spread * spread)) : 0.0;
}

void check(const NullSpaceOptions& o)
{
    require(o.order > 0 && o.n_classes > 0 && o.n_samples > 0 && o.n_iterations > 0,
            "null space: expected at least 1 as order, classes, samples and iterations");
    require(o.explained_least < o.explained_enough,
            str("null space: from ", o.explained_least, " explained to ", o.explained_enough, "; expected less to more"));
    require(o.narrowness > 0.0, str("null space: narrowness ", o.narrowness, "; expected a positive number"));
    require(o.mode_ppm > 0.0, str("null space: modes of ", o.mode_ppm, " ppm; expected a positive number"));
}

/// Polynomials that may go, and how much of the map its classes then explain; 0 where nothing can be told.
struct Proposal {
    Samples samples{};
    Fit fit{};
    double explained = 0.0;
};

/// Subtracts as much of the polynomials as the explained part deserves.
NullSpaceReport settle(VolumeF& chi_ppm, const Mask& mask, const Polynomials& polynomials, const Proposal& proposal,
                       const NullSpaceOptions& o)
{
    const auto& [samples, fit, part] = proposal;
    const double share = std::clamp((part - o.explained_least) / (o.explained_enough - o.explained_least), 0.0, 1.0);
    if (share == 0.0) return {part};
    std::vector<double> coefficients{0.0};  // of the constant
    for (const double c : fit.coefficients) coefficients.push_back(share * c);
    polynomials.subtract_from(chi_ppm, mask, coefficients);

    double sum = 0.0, squares = 0.0;
    for (std::size_t s = 0; s < samples.voxels.size(); ++s) {
        const double change_ppm = share * fit.at(samples, s);
        sum += change_ppm;
        squares += change_ppm * change_ppm;
    }
    const auto n = static_cast<double>(samples.voxels.size());
    return {part, share, std::sqrt(std::max(0.0, squares / n - sum * sum / (n * n)))};
}

Proposal propose_by_r2star(const VolumeF& chi_ppm, const Mask& mask, const Polynomials& polynomials, const VolumeF& r2star_per_s,
                           const NullSpaceOptions& options)
{
    require_same_grid(r2star_per_s, mask, "null space: R2* and mask");
    Samples samples = take_samples(chi_ppm, mask, &r2star_per_s, polynomials, options);
    if (samples.voxels.empty()) return {};

    Fit fit{.coefficients = std::vector<double>(polynomials.size() - 1), .class_ppm = {}};
    fit.class_ppm = class_medians(flattened(chi_ppm, samples, fit), samples);
    for (int i = 0; i < options.n_iterations; ++i) improve(fit, chi_ppm, samples, options.narrowness);
    const std::vector<float> flat = flattened(chi_ppm, samples, fit);
    const double part = explained(flat, less_class(flat, samples, class_medians(flat, samples)));
    return {std::move(samples), std::move(fit), part};
}

Proposal propose_by_modes(const VolumeF& chi_ppm, const Mask& mask, const Polynomials& polynomials, const NullSpaceOptions& options)
{
    Samples samples = take_samples(chi_ppm, mask, nullptr, polynomials, options);
    if (samples.voxels.empty()) return {};

    Fit fit{.coefficients = std::vector<double>(polynomials.size() - 1),
            .class_ppm = std::vector<double>(static_cast<std::size_t>(options.n_classes))};
    for (int i = 0; i < options.n_iterations; ++i) sharpen(fit, chi_ppm, samples, options.mode_ppm);
    const std::vector<float> flat = flattened(chi_ppm, samples, fit), modes = modes_of(flat, options.mode_ppm);
    std::vector<float> values, rest;
    for (std::size_t s = 0; s < flat.size(); ++s) {
        if (!std::isfinite(modes[s])) continue;
        values.push_back(flat[s]);
        rest.push_back(flat[s] - modes[s]);
    }
    if (values.empty()) return {};
    const double part = explained(std::move(values), rest);
    return {std::move(samples), std::move(fit), part};
}

Polynomials checked_polynomials(const VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                const NullSpaceOptions& options)
{
    require_same_grid(chi_ppm, mask, "null space: map and mask");
    check(options);
    return Polynomials(mask.grid(), numerics::bounding_box(mask), options.order, b0_direction_ijk, curvature);
}

}  // namespace

NullSpaceReport settle_null_space(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                  const VolumeF& r2star_per_s, const NullSpaceOptions& options)
{
    const Polynomials polynomials = checked_polynomials(chi_ppm, mask, b0_direction_ijk, options);
    return settle(chi_ppm, mask, polynomials, propose_by_r2star(chi_ppm, mask, polynomials, r2star_per_s, options), options);
}

NullSpaceReport settle_null_space_by_modes(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                           const NullSpaceOptions& options)
{
    const Polynomials polynomials = checked_polynomials(chi_ppm, mask, b0_direction_ijk, options);
    return settle(chi_ppm, mask, polynomials, propose_by_modes(chi_ppm, mask, polynomials, options), options);
}

BestNullSpaceReport settle_null_space_by_best(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                              const VolumeF* r2star_per_s, const NullSpaceOptions& options)
{
    const Polynomials polynomials = checked_polynomials(chi_ppm, mask, b0_direction_ijk, options);
    Proposal best = r2star_per_s != nullptr ? propose_by_r2star(chi_ppm, mask, polynomials, *r2star_per_s, options) : Proposal{};
    bool by_modes = false;
    if (!(best.explained >= options.explained_well)) {
        Proposal modes = propose_by_modes(chi_ppm, mask, polynomials, options);
        by_modes = modes.explained > best.explained;
        if (by_modes) best = std::move(modes);
    }
    return {settle(chi_ppm, mask, polynomials, best, options), by_modes};
}

}  // namespace qsmpi::inversion
