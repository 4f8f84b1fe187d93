#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/field/field_map.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::field
{

namespace
{

/// Edge of the cubes of which statistics are taken: large enough for 10 %, small enough to lie in one tissue.
constexpr std::size_t edge = 6;

struct CubeStatistics {
    double mean = 0.0;
    double root_mean_square = 0.0;
    double deviation = 0.0;  ///< standard deviation
    double difference_std =
        0.0;  ///< standard deviation of the noise from second differences, structure suppressed
};

/// Response to white noise of the kernel [1 -2 1; -2 4 -2; 1 -2 1] has 6 times the standard deviation; it
/// vanishes on planes, on quadratic surfaces without a mixed term, and on straight edges along an axis.
/// Immerkaer 1996.
double mixed_difference(const VolumeF& m, std::size_t x, std::size_t y, std::size_t z)
{
    const auto row = [&](std::size_t v) {
        return static_cast<double>(m(x - 1, v, z)) - 2.0 * static_cast<double>(m(x, v, z)) +
               static_cast<double>(m(x + 1, v, z));
    };
    return row(y - 1) - 2.0 * row(y) + row(y + 1);
}

/// False where the cube holds voxels that are not finite or exactly 0 (outside of a stripped brain).
bool measure(const VolumeF& m, std::size_t x0, std::size_t y0, std::size_t z0, std::size_t depth,
             CubeStatistics& out)
{
    double sum = 0.0, squares = 0.0;
    std::vector<float> differences;
    for (std::size_t z = z0; z < z0 + depth; ++z) {
        for (std::size_t y = y0; y < y0 + edge; ++y) {
            for (std::size_t x = x0; x < x0 + edge; ++x) {
                const auto v = static_cast<double>(m(x, y, z));
                if (!(v > 0.0) || !std::isfinite(v)) return false;
                sum += v;
                squares += v * v;
            }
        }
        for (std::size_t y = y0 + 1; y + 1 < y0 + edge; ++y) {
            for (std::size_t x = x0 + 1; x + 1 < x0 + edge; ++x) {
                differences.push_back(static_cast<float>(std::abs(mixed_difference(m, x, y, z))));
            }
        }
    }
    const double n = static_cast<double>(edge * edge * depth);
    out.mean = sum / n;
    out.root_mean_square = std::sqrt(squares / n);
    out.deviation = std::sqrt(std::max(0.0, squares / n - out.mean * out.mean));
    out.difference_std = numerics::quantile(differences, 0.5) / (6.0 * 0.67449);
    return true;
}

double quantile_of(std::vector<float>& values, double q)
{
    return numerics::quantile(values, q);
}

/// Rayleigh noise: a cube of air has mean / deviation = sqrt(pi / (4 - pi)) = 1.913, and all such cubes have
/// the same root mean square, sqrt(2) sigma. Returns 0 when there are too few, or when they scatter too much
/// to be air.
double from_air(const std::vector<CubeStatistics>& cubes, double signal)
{
    std::vector<float> levels;
    for (const CubeStatistics& c : cubes) {
        const double ratio = c.mean / std::max(c.deviation, 1e-12 * c.mean);
        if (ratio > 1.6 && ratio < 2.3 && c.mean < 0.3 * signal)
            levels.push_back(static_cast<float>(c.root_mean_square));
    }
    if (levels.size() < std::max<std::size_t>(20, cubes.size() / 100)) return 0.0;
    const double median = quantile_of(levels, 0.5);
    const double spread = quantile_of(levels, 0.75) - quantile_of(levels, 0.25);
    return spread < 0.2 * median ? median / std::sqrt(2.0) : 0.0;
}

/// Structure only adds to differences, so the calmest tenth of the cubes tells the noise. For white noise
/// that decile of the cubes' medians lies at 1 - 0.45 / sqrt(slices + 0.6) (simulated; 1 % for 1 to 6
/// slices).
double from_tissue(const std::vector<CubeStatistics>& cubes, double signal, std::size_t depth)
{
    std::vector<float> levels;
    for (const CubeStatistics& c : cubes) {
        if (c.mean > 0.25 * signal) levels.push_back(static_cast<float>(c.difference_std));
    }
    if (levels.empty()) return 0.0;
    return quantile_of(levels, 0.1) / (1.0 - 0.45 / std::sqrt(static_cast<double>(depth) + 0.6));
}

}  // namespace

double estimate_noise_std(const VolumeF& magnitude)
{
    const Dims& d = magnitude.dims();
    require(d.nx >= edge && d.ny >= edge && d.nz >= 1, str("estimate_noise_std: ", d.nx, "x", d.ny, "x", d.nz,
                                                           " voxels are too few, at least 6x6x1 needed"));
    const std::size_t depth = std::min(edge, d.nz);
    const Dims counts{d.nx / edge, d.ny / edge, d.nz / depth};
    std::vector<std::vector<CubeStatistics>> layers(counts.nz);
    parallel::for_each(counts.nz, [&](std::size_t k) {
        for (std::size_t j = 0; j < counts.ny; ++j) {
            for (std::size_t i = 0; i < counts.nx; ++i) {
                CubeStatistics c;
                if (measure(magnitude, i * edge, j * edge, k * depth, depth, c)) layers[k].push_back(c);
            }
        }
    });
    std::vector<CubeStatistics> cubes;
    for (const auto& layer : layers) cubes.insert(cubes.end(), layer.begin(), layer.end());
    std::vector<float> means;
    for (const CubeStatistics& c : cubes) means.push_back(static_cast<float>(c.mean));
    require(!means.empty(),
            "estimate_noise_std: the magnitude has no cube of 6 voxels without zeros; is it empty?");

    const double signal = quantile_of(means, 0.95);
    double noise = from_air(cubes, signal);
    if (!(noise > 0.0)) noise = from_tissue(cubes, signal, depth);
    // A noise-free simulation: a positive floor far below anything that can be seen.
    return std::max(noise, 1e-5 * signal);
}

}  // namespace qsmpi::field
