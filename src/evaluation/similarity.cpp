#include "similarity.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::evaluation::detail {
namespace {

constexpr std::size_t window_radius = 2;

/// Sums over a window of the two maps, their squares and their product.
struct Moments {
    std::array<double, 5> s{};
    void add(double t, double m)
    {
        s[0] += t;
        s[1] += m;
        s[2] += t * t;
        s[3] += m * m;
        s[4] += t * m;
    }
    Moments& operator+=(const Moments& o)
    {
        for (std::size_t k = 0; k < s.size(); ++k) s[k] += o.s[k];
        return *this;
    }
};

struct Range {
    std::size_t begin, end;
    [[nodiscard]] std::size_t size() const { return end - begin; }
};

/// Indices of the window around i, cut at the ends of an axis of n.
Range window(std::size_t i, std::size_t n)
{
    return {i - std::min(i, window_radius), std::min(i + window_radius + 1, n)};
}

/// out[i] = sum of in over the window around i, for n entries `stride` apart.
void window_sums(const Moments* in, Moments* out, std::size_t n, std::size_t stride)
{
    for (std::size_t i = 0; i < n; ++i) {
        Moments sum;
        const Range w = window(i, n);
        for (std::size_t j = w.begin; j < w.end; ++j) sum += in[j * stride];
        out[i * stride] = sum;
    }
}

double similarity(const Moments& sums, double n)
{
    constexpr double c1 = 0.01 * 0.01, c2 = 0.001 * 0.001;
    const double mean_t = sums.s[0] / n, mean_m = sums.s[1] / n;
    const double var_t = sums.s[2] / n - mean_t * mean_t, var_m = sums.s[3] / n - mean_m * mean_m;
    const double covariance = sums.s[4] / n - mean_t * mean_m;
    return (2.0 * mean_t * mean_m + c1) * (2.0 * covariance + c2) /
           ((mean_t * mean_t + mean_m * mean_m + c1) * (var_t + var_m + c2));
}

/// Sampled Gaussian of sum 1 and its second derivative, taps -radius..radius.
struct LogTaps {
    explicit LogTaps(double sigma) : radius(static_cast<std::size_t>(5.0 * sigma + 0.5))
    {
        double total = 0.0;
        std::vector<double> g;
        for (std::size_t i = 0; i < 2 * radius + 1; ++i) {
            const double x = static_cast<double>(i) - static_cast<double>(radius);
            g.push_back(std::exp(-0.5 * x * x / (sigma * sigma)));
            total += g.back();
        }
        for (std::size_t i = 0; i < g.size(); ++i) {
            const double x = static_cast<double>(i) - static_cast<double>(radius);
            smooth.push_back(static_cast<float>(g[i] / total));
            second.push_back(
                static_cast<float>(g[i] / total * (x * x / (sigma * sigma) - 1.0) / (sigma * sigma)));
        }
    }
    std::size_t radius;
    std::vector<float> smooth, second;
};

/// Calls body(tap, row) for the taps of the kernel around i that lie in [0, n).
template <typename Body>
void for_taps(const LogTaps& taps, std::size_t i, std::size_t n, Body&& body)
{
    const std::size_t first = i - std::min(i, taps.radius), end = std::min(i + taps.radius + 1, n);
    for (std::size_t j = first; j < end; ++j) body(j + taps.radius - i, j);
}

/// Squared norm over the mask of the Laplacian of Gaussian of value(i); the world beyond the grid is 0.
template <typename Value>
double log_squared_norm(const Grid& grid, const Mask& mask, const LogTaps& taps, Value&& value)
{
    const auto& d = grid.dims;
    const std::size_t nx = d.nx, ny = d.ny, r = taps.radius;
    // With g the Gaussian and h its second derivative along an axis: g_z (g_y h_x + h_y g_x) + h_z (g_y g_x).
    VolumeF in_plane(grid), smooth(grid);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::vector<float> row(nx + 2 * r, 0.0F), gx(nx * ny, 0.0F), hx(nx * ny, 0.0F);
        for (std::size_t y = 0; y < ny; ++y) {
            for (std::size_t x = 0; x < nx; ++x) row[x + r] = value(d.index(x, y, z));
            float* g = gx.data() + y * nx;
            float* h = hx.data() + y * nx;
            for (std::size_t k = 0; k < 2 * r + 1; ++k) {
                const float smooth_tap = taps.smooth[k], second_tap = taps.second[k];
#pragma omp simd
                for (std::size_t x = 0; x < nx; ++x) {
                    g[x] += smooth_tap * row[x + k];
                    h[x] += second_tap * row[x + k];
                }
            }
        }
        for (std::size_t y = 0; y < ny; ++y) {
            float* plane = &in_plane(0, y, z);
            float* both = &smooth(0, y, z);
            std::fill_n(plane, nx, 0.0F);
            std::fill_n(both, nx, 0.0F);
            for_taps(taps, y, ny, [&](std::size_t k, std::size_t j) {
                const float smooth_tap = taps.smooth[k], second_tap = taps.second[k];
                const float* g = gx.data() + j * nx;
                const float* h = hx.data() + j * nx;
#pragma omp simd
                for (std::size_t x = 0; x < nx; ++x) {
                    plane[x] += smooth_tap * h[x] + second_tap * g[x];
                    both[x] += smooth_tap * g[x];
                }
            });
        }
    });
    std::vector<double> of_slice(d.nz, 0.0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::vector<float> row(nx);
        for (std::size_t y = 0; y < ny; ++y) {
            std::fill(row.begin(), row.end(), 0.0F);
            for_taps(taps, z, d.nz, [&](std::size_t k, std::size_t j) {
                const float smooth_tap = taps.smooth[k], second_tap = taps.second[k];
                const float* plane = &in_plane(0, y, j);
                const float* both = &smooth(0, y, j);
#pragma omp simd
                for (std::size_t x = 0; x < nx; ++x) row[x] += smooth_tap * plane[x] + second_tap * both[x];
            });
            for (std::size_t x = 0; x < nx; ++x)
                if (mask(x, y, z) != 0)
                    of_slice[z] += static_cast<double>(row[x]) * static_cast<double>(row[x]);
        }
    });
    return std::accumulate(of_slice.begin(), of_slice.end(), 0.0);
}

}  // namespace

double xsim(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask)
{
    const auto& d = mask.dims();
    std::vector<double> of_slice(d.nz, 0.0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        // Sums over the 5 slices first, then along y, then along x: 15 additions instead of 125.
        std::vector<Moments> a(d.nx * d.ny), b(d.nx * d.ny);
        const Range in_z = window(z, d.nz);
        for (std::size_t k = in_z.begin; k < in_z.end; ++k) {
            const std::size_t first = d.index(0, 0, k);
            for (std::size_t i = 0; i < a.size(); ++i)
                a[i].add(static_cast<double>(truth_ppm[first + i]), static_cast<double>(map_ppm[first + i]));
        }
        for (std::size_t x = 0; x < d.nx; ++x) window_sums(&a[x], &b[x], d.ny, d.nx);
        for (std::size_t y = 0; y < d.ny; ++y) window_sums(&b[y * d.nx], &a[y * d.nx], d.nx, 1);
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                if (mask(x, y, z) == 0) continue;
                const std::size_t n = in_z.size() * window(y, d.ny).size() * window(x, d.nx).size();
                of_slice[z] += similarity(a[x + d.nx * y], static_cast<double>(n));
            }
    });
    return std::accumulate(of_slice.begin(), of_slice.end(), 0.0) /
           static_cast<double>(numerics::count(mask));
}

double hfen_percent(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask, double sigma_voxels)
{
    const LogTaps taps(sigma_voxels);
    const double error =
        log_squared_norm(mask.grid(), mask, taps, [&](std::size_t i) { return map_ppm[i] - truth_ppm[i]; });
    const double size =
        log_squared_norm(mask.grid(), mask, taps, [&](std::size_t i) { return truth_ppm[i]; });
    return size > 0.0 ? 100.0 * std::sqrt(error / size) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace qsmpi::evaluation::detail
