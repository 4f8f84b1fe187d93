#include <algorithm>
#include <array>
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
constexpr std::size_t inner = edge - 2, innermost = edge - 4;  ///< differences of second, fourth order fit so often

/// Slices of a cube: 6, or all if there are fewer.
std::size_t depth_of(const VolumeF& magnitude)
{
    return std::min(edge, magnitude.dims().nz);
}

/// Variances of second and fourth differences of white noise of variance 1: sums of the squares of 1 -2 1 and of
/// 1 -4 6 -4 1.
constexpr double second_power = 6.0, fourth_power = 70.0;

struct CubeStatistics {
    double mean = 0.0;
    double root_mean_square = 0.0;
    double deviation = 0.0;  ///< standard deviation
    // Standard deviation of the noise if it is white, from mixed differences: structure is suppressed.
    double by_second = 0.0;    ///< second differences along both axes
    double by_fourth_x = 0.0;  ///< fourth along x, second along y
    double by_fourth_y = 0.0;  ///< second along x, fourth along y
};

/// Voxels that are looked at lie so far apart along x and y.
struct Spacing {
    std::size_t x = 1, y = 1;
};

double second_difference(double a, double b, double c)
{
    return a - 2.0 * b + c;
}

/// Mixed differences of the slices of a cube, absolute values. Those of second order, the kernel
/// [1 -2 1; -2 4 -2; 1 -2 1], vanish on planes, on quadratic surfaces without a mixed term, and on straight edges
/// along an axis. Immerkaer 1996.
struct Differences {
    std::vector<float> second, fourth_x, fourth_y;

    void add_slice(const std::array<std::array<double, edge>, edge>& rows)
    {
        std::array<std::array<double, inner>, inner> d{};
        for (std::size_t y = 0; y < inner; ++y)
            for (std::size_t x = 0; x < inner; ++x) {
                const auto along_x = [&](std::size_t v) {
                    return second_difference(rows[v][x], rows[v][x + 1], rows[v][x + 2]);
                };
                d[y][x] = second_difference(along_x(y), along_x(y + 1), along_x(y + 2));
                second.push_back(static_cast<float>(std::abs(d[y][x])));
            }
        for (std::size_t i = 0; i < inner; ++i)
            for (std::size_t j = 0; j < innermost; ++j) {
                fourth_x.push_back(
                    static_cast<float>(std::abs(second_difference(d[i][j], d[i][j + 1], d[i][j + 2]))));
                fourth_y.push_back(
                    static_cast<float>(std::abs(second_difference(d[j][i], d[j + 1][i], d[j + 2][i]))));
            }
    }
};

/// Standard deviation of white noise whose differences, of variance `power`, have this median.
double white_noise_std(std::vector<float>& differences, double power)
{
    return numerics::quantile(differences, 0.5) / (0.67449 * std::sqrt(power));
}

/// False where the cube holds voxels that are not finite or exactly 0 (outside of a stripped brain).
bool measure(const VolumeF& m, const Dims& corner, std::size_t depth, const Spacing& spacing, CubeStatistics& out)
{
    double sum = 0.0, squares = 0.0;
    Differences differences;
    for (std::size_t z = corner.nz; z < corner.nz + depth; ++z) {
        std::array<std::array<double, edge>, edge> rows{};
        for (std::size_t y = 0; y < edge; ++y) {
            for (std::size_t x = 0; x < edge; ++x) {
                const auto v = static_cast<double>(m(corner.nx + x * spacing.x, corner.ny + y * spacing.y, z));
                if (!(v > 0.0) || !std::isfinite(v)) return false;
                sum += v;
                squares += v * v;
                rows[y][x] = v;
            }
        }
        differences.add_slice(rows);
    }
    const double n = static_cast<double>(edge * edge * depth);
    out.mean = sum / n;
    out.root_mean_square = std::sqrt(squares / n);
    out.deviation = std::sqrt(std::max(0.0, squares / n - out.mean * out.mean));
    out.by_second = white_noise_std(differences.second, second_power * second_power);
    out.by_fourth_x = white_noise_std(differences.fourth_x, fourth_power * second_power);
    out.by_fourth_y = white_noise_std(differences.fourth_y, fourth_power * second_power);
    return true;
}

/// Statistics of all cubes that measure() takes.
std::vector<CubeStatistics> cubes_of(const VolumeF& magnitude, const Spacing& spacing = {})
{
    const Dims& d = magnitude.dims();
    const std::size_t depth = depth_of(magnitude), wide = edge * spacing.x, high = edge * spacing.y;
    std::vector<std::vector<CubeStatistics>> layers(d.nz / depth);
    parallel::for_each(layers.size(), [&](std::size_t k) {
        for (std::size_t j = 0; j < d.ny / high; ++j) {
            for (std::size_t i = 0; i < d.nx / wide; ++i) {
                CubeStatistics c;
                if (measure(magnitude, {i * wide, j * high, k * depth}, depth, spacing, c)) layers[k].push_back(c);
            }
        }
    });
    std::vector<CubeStatistics> cubes;
    for (const auto& layer : layers) cubes.insert(cubes.end(), layer.begin(), layer.end());
    return cubes;
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
    const double median = numerics::quantile(levels, 0.5);
    const double spread = numerics::quantile(levels, 0.75) - numerics::quantile(levels, 0.25);
    return spread < 0.2 * median ? median / std::sqrt(2.0) : 0.0;
}

std::vector<CubeStatistics> tissue_of(const std::vector<CubeStatistics>& cubes, double signal)
{
    std::vector<CubeStatistics> tissue;
    for (const CubeStatistics& c : cubes)
        if (c.mean > 0.25 * signal) tissue.push_back(c);
    return tissue;
}

/// White noise of the tissue; 0 without tissue. Structure only adds to differences, so the calmest tenth of the cubes
/// tells the noise. For white noise that decile of the cubes' medians lies at 1 - 0.45 / sqrt(slices + 0.6)
/// (simulated; 1 % for 1 to 6 slices).
double white_noise_of(const std::vector<CubeStatistics>& tissue, std::size_t depth)
{
    std::vector<float> levels;
    for (const CubeStatistics& c : tissue) levels.push_back(static_cast<float>(c.by_second));
    if (levels.empty()) return 0.0;
    return numerics::quantile(levels, 0.1) / (1.0 - 0.45 / std::sqrt(static_cast<double>(depth) + 0.6));
}

double sinc(double x)
{
    return x == 0.0 ? 1.0 : std::sin(units::pi * x) / (units::pi * x);
}

/// Variances of differences of neighbours, relative to white noise of the same variance, for noise that fills the
/// fraction `bandwidth` of the axis of k-space evenly, as zero filling leaves it: its correlation at distance n is
/// sinc(n bandwidth).
double second_response(double bandwidth)
{
    return (6.0 - 8.0 * sinc(bandwidth) + 2.0 * sinc(2.0 * bandwidth)) / second_power;
}
double fourth_response(double bandwidth)
{
    return (70.0 - 112.0 * sinc(bandwidth) + 56.0 * sinc(2.0 * bandwidth) - 16.0 * sinc(3.0 * bandwidth) +
            2.0 * sinc(4.0 * bandwidth)) /
           fourth_power;
}

/// Fraction of the axis that noise fills, at least a fifth, from the ratio of the levels that fourth and second
/// differences tell, which rises with it; 1 unless the ratio is clearly below that of white noise.
double bandwidth_of(double ratio)
{
    // White noise: 0.94, scattered by 0.04 in the smallest images asked; zero filling by 4/3: 0.76, by 2: 0.44.
    if (!(ratio < 0.8)) return 1.0;
    double low = 0.2, high = 1.0;
    while (high - low > 1e-4) {
        const double middle = 0.5 * (low + high);
        (fourth_response(middle) < ratio * ratio * second_response(middle) ? low : high) = middle;
    }
    return high;
}

struct Bandwidth {
    double x = 1.0, y = 1.0;  ///< 1: white
};

/// Told by the calmest quarter of the tissue; taken for white where that is too little to tell.
Bandwidth bandwidth_of(std::vector<CubeStatistics> tissue, std::size_t depth)
{
    constexpr std::size_t fewest_in_cube = 3, fewest = 120;  // slices
    const std::size_t n = tissue.size() / 4;
    if (depth < fewest_in_cube || n * depth < fewest) return {};
    // Calm by all three measures alike: no ratio of them is favoured.
    const auto unrest = [](const CubeStatistics& c) { return c.by_second * c.by_fourth_x * c.by_fourth_y; };
    std::nth_element(tissue.begin(), tissue.begin() + static_cast<std::ptrdiff_t>(n), tissue.end(),
                     [&](const CubeStatistics& a, const CubeStatistics& b) { return unrest(a) < unrest(b); });
    std::vector<float> ratio_x, ratio_y;
    for (std::size_t i = 0; i < n; ++i) {
        const double second = std::max(tissue[i].by_second, 1e-12 * tissue[i].mean);
        ratio_x.push_back(static_cast<float>(tissue[i].by_fourth_x / second));
        ratio_y.push_back(static_cast<float>(tissue[i].by_fourth_y / second));
    }
    return {bandwidth_of(numerics::quantile(ratio_x, 0.5)), bandwidth_of(numerics::quantile(ratio_y, 0.5))};
}

/// Noise of the tissue, also of an image interpolated by zero filling, whose neighbours share their noise: there
/// differences are taken between voxels as far apart as those acquired were, or nearly so, and what correlation that
/// leaves is allowed for.
double from_tissue(const VolumeF& magnitude, const std::vector<CubeStatistics>& cubes, double signal)
{
    const std::size_t depth = depth_of(magnitude);
    const std::vector<CubeStatistics> tissue = tissue_of(cubes, signal);
    const Bandwidth bandwidth = bandwidth_of(tissue, depth);
    const auto acquired = [](double b) { return static_cast<std::size_t>(std::lround(1.0 / b)); };
    const auto response = [&](const Spacing& s) {
        return std::sqrt(second_response(static_cast<double>(s.x) * bandwidth.x) *
                         second_response(static_cast<double>(s.y) * bandwidth.y));
    };
    const Spacing spacing{acquired(bandwidth.x), acquired(bandwidth.y)};
    if (spacing.x * spacing.y > 1) {
        const double noise = white_noise_of(tissue_of(cubes_of(magnitude, spacing), signal), depth);
        if (noise > 0.0) return noise / response(spacing);
    }
    return white_noise_of(tissue, depth) / response({});
}

}  // namespace

double estimate_noise_std(const VolumeF& magnitude)
{
    const Dims& d = magnitude.dims();
    require(d.nx >= edge && d.ny >= edge && d.nz >= 1, str("estimate_noise_std: ", d.nx, "x", d.ny, "x", d.nz,
                                                           " voxels are too few, at least 6x6x1 needed"));
    const std::vector<CubeStatistics> cubes = cubes_of(magnitude);
    std::vector<float> means;
    for (const CubeStatistics& c : cubes) means.push_back(static_cast<float>(c.mean));
    require(!means.empty(),
            "estimate_noise_std: the magnitude has no cube of 6 voxels without zeros; is it empty?");

    const double signal = numerics::quantile(means, 0.95);
    double noise = from_air(cubes, signal);
    if (!(noise > 0.0)) noise = from_tissue(magnitude, cubes, signal);
    // A noise-free simulation: a positive floor far below anything that can be seen.
    return std::max(noise, 1e-5 * signal);
}

}  // namespace qsmpi::field
