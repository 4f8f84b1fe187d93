// Threshold between the classes of a mixture of normal distributions, fitted to a histogram.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "qsmpi/mask/threshold.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "sample.hpp"

namespace qsmpi::mask {
namespace {

constexpr std::size_t n_bins = 512;
constexpr int most_steps = 300;
constexpr double enough = 1e-8;  // rise of the mean log likelihood in a step

struct Histogram {
    double low = 0.0, width = 0.0, total = 0.0;
    std::vector<double> count = std::vector<double>(n_bins, 0.0);
    [[nodiscard]] double centre(std::size_t bin) const { return low + width * (static_cast<double>(bin) + 0.5); }
};

struct Class {
    double share = 0.0, mean = 0.0, variance = 0.0;
    [[nodiscard]] double log_density(double x) const
    {
        return std::log(share) - 0.5 * std::log(variance) - 0.5 * (x - mean) * (x - mean) / variance;
    }
};

/// Share, mean and variance of the bins [begin, end).
Class class_of(const Histogram& h, std::size_t begin, std::size_t end)
{
    double n = 0.0, sum = 0.0, squares = 0.0;
    for (std::size_t i = begin; i < end; ++i) {
        n += h.count[i];
        sum += h.count[i] * h.centre(i);
    }
    const double mean = n > 0.0 ? sum / n : h.centre((begin + end) / 2);
    for (std::size_t i = begin; i < end; ++i) squares += h.count[i] * (h.centre(i) - mean) * (h.centre(i) - mean);
    return {std::max(n / h.total, 1e-6), mean, std::max(n > 0.0 ? squares / n : 0.0, h.width * h.width)};
}

double log_of_sum(double a, double b)
{
    const double high = std::max(a, b);
    return high + std::log1p(std::exp(std::min(a, b) - high));
}

/// Expectation and maximisation until the likelihood rises no more. Returns its mean logarithm.
double fit(std::vector<Class>& classes, const Histogram& h)
{
    double before = -std::numeric_limits<double>::infinity();
    for (int step = 0; step < most_steps; ++step) {
        std::vector<double> n(classes.size(), 0.0), sum(n), squares(n);
        double likelihood = 0.0;
        for (std::size_t bin = 0; bin < n_bins; ++bin) {
            if (h.count[bin] == 0.0) continue;
            const double x = h.centre(bin);
            double all = classes.front().log_density(x);
            for (std::size_t k = 1; k < classes.size(); ++k) all = log_of_sum(all, classes[k].log_density(x));
            likelihood += h.count[bin] * all;
            for (std::size_t k = 0; k < classes.size(); ++k) {
                const double part = h.count[bin] * std::exp(classes[k].log_density(x) - all);
                const double d = x - classes[k].mean;
                n[k] += part;
                sum[k] += part * d;
                squares[k] += part * d * d;
            }
        }
        for (std::size_t k = 0; k < classes.size(); ++k) {
            if (n[k] < 1e-9 * h.total) continue;  // died out: it stays as it is
            const double shift = sum[k] / n[k];
            classes[k].share = n[k] / h.total;
            classes[k].mean += shift;
            // A class is no narrower than a bin.
            classes[k].variance = std::max(squares[k] / n[k] - shift * shift, h.width * h.width / 12.0);
        }
        likelihood /= h.total;
        if (likelihood - before < enough) return likelihood;
        before = likelihood;
    }
    return before;
}

/// Classes between the values at which the histogram is parted.
std::vector<Class> parted(const Histogram& h, std::initializer_list<double> partings)
{
    std::vector<Class> classes;
    std::size_t begin = 0;
    for (const double value : partings) {
        const std::size_t end = std::max(begin + 1, static_cast<std::size_t>(std::clamp((value - h.low) / h.width, 1.0, n_bins - 2.0)));
        classes.push_back(class_of(h, begin, end));
        begin = end;
    }
    classes.push_back(class_of(h, begin, n_bins));
    return classes;
}

}  // namespace

double mixture_threshold(std::span<const float> sorted_values, int n_classes)
{
    require(n_classes == 2 || n_classes == 3, str("mixture_threshold: ", n_classes, " classes; expected 2 or 3"));
    if (sorted_values.empty()) return std::numeric_limits<double>::quiet_NaN();
    const auto at = [&](double q) {
        return static_cast<double>(sorted_values[static_cast<std::size_t>(q * static_cast<double>(sorted_values.size() - 1))]);
    };
    Histogram h;
    h.low = at(0.0005);
    h.width = (at(0.995) - h.low) / static_cast<double>(n_bins);
    // Otsu's threshold, and those of what lies below and above it.
    const auto trimmed = sorted_values.subspan(0, static_cast<std::size_t>(0.995 * static_cast<double>(sorted_values.size() - 1)) + 1);
    const double otsu = numerics::otsu_threshold(trimmed);
    if (!(h.width > 0.0)) return otsu;
    for (const float v : sorted_values) {
        const double bin = (static_cast<double>(v) - h.low) / h.width;
        if (bin < 0.0 || bin > static_cast<double>(n_bins)) continue;
        h.count[std::min(n_bins - 1, static_cast<std::size_t>(bin))] += 1.0;
        h.total += 1.0;
    }
    const auto n_below = static_cast<std::size_t>(std::upper_bound(trimmed.begin(), trimmed.end(), static_cast<float>(otsu)) - trimmed.begin());
    const auto second = [&](std::span<const float> values) { return values.empty() ? otsu : numerics::otsu_threshold(values); };
    const double lower = second(trimmed.first(n_below)), upper = second(trimmed.subspan(n_below));

    // A fit finds the nearest maximum: of several the likeliest counts.
    std::vector<std::vector<Class>> starts;
    if (n_classes == 2) starts = {parted(h, {otsu}), parted(h, {lower})};
    else starts = {parted(h, {otsu, upper}), parted(h, {lower, otsu})};
    std::vector<Class> classes;
    double best = -std::numeric_limits<double>::infinity();
    for (auto& start : starts) {
        const double likelihood = fit(start, h);
        if (likelihood <= best) continue;
        best = likelihood;
        classes = start;
    }
    if (classes.empty()) return otsu;
    std::sort(classes.begin(), classes.end(), [](const Class& a, const Class& b) { return a.mean < b.mean; });

    // Where background and foreground are equally likely, between the two lowest means.
    const auto background_wins = [&](double x) {
        double foreground = classes[1].log_density(x);
        for (std::size_t k = 2; k < classes.size(); ++k) foreground = log_of_sum(foreground, classes[k].log_density(x));
        return classes[0].log_density(x) > foreground;
    };
    double low = classes[0].mean, high = classes[1].mean;
    if (!background_wins(low) || background_wins(high)) return otsu;  // one class swallows the other
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (background_wins(middle) ? low : high) = middle;
    }
    return 0.5 * (low + high);
}

Mask mixture_threshold(const VolumeF& magnitude, int n_classes)
{
    const std::vector<float> sample = detail::sorted_sample(magnitude);
    if (sample.empty()) return Mask(magnitude.grid(), 0);
    return detail::above(magnitude, mixture_threshold(sample, n_classes));
}

}  // namespace qsmpi::mask
