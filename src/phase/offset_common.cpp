#include "offset_common.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <limits>
#include <string>
#include <vector>

#include "fast_math.hpp"
#include "qsmpi/core/echoes.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::phase
{

void check_rising_echoes(const char* who, std::span<const VolumeF> phase_rad,
                         std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                         std::size_t least_echoes)
{
    check_echo_volumes(who, phase_rad, magnitude, echo_times_s, least_echoes);
    for (std::size_t k = 0; k < echo_times_s.size(); ++k)
        require(echo_times_s[k] > (k == 0 ? 0.0 : echo_times_s[k - 1]),
                str(who, ": echo time ", echo_times_s[k], " s of echo ", k + 1,
                    " is not above the one before; sort the echoes by time"));
}

bool nearly_whole(double x)
{
    return std::abs(x - std::round(x)) < 0.01;
}

float pair_weight(std::span<const VolumeF> magnitude, std::size_t i_echo, std::size_t j_echo, std::size_t v)
{
    if (magnitude.empty()) return 1.0f;
    const float w = magnitude[i_echo][v] * magnitude[j_echo][v];
    return std::isfinite(w) && w > 0.0f ? w : 0.0f;
}

float signal_threshold(std::span<const VolumeF> magnitude, std::size_t i_echo, std::size_t j_echo)
{
    if (magnitude.empty()) return 0.0f;
    std::vector<float> sample;
    for (std::size_t v = 0; v < magnitude[i_echo].size(); v += 17)
        sample.push_back(pair_weight(magnitude, i_echo, j_echo, v));
    // The weight is a product of two magnitudes: a tenth of the magnitude is a hundredth of it.
    return 0.01f * static_cast<float>(numerics::quantile(sample, 0.95));
}

Mask signal_mask(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude, std::size_t i_echo,
                 std::size_t j_echo)
{
    const Grid& grid = phase_rad[0].grid();
    const float threshold = signal_threshold(magnitude, i_echo, j_echo);
    Mask mask(grid);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const bool finite = std::isfinite(phase_rad[i_echo][v]) && std::isfinite(phase_rad[j_echo][v]);
            mask[v] = finite && pair_weight(magnitude, i_echo, j_echo, v) > threshold ? 1 : 0;
        }
    });
    return numerics::largest_component(mask);
}

namespace
{

float largest_length(const VolumeF& real, const VolumeF& imaginary)
{
    struct Largest {
        float value = 0.0f;
        Largest& operator+=(const Largest& other)
        {
            value = std::max(value, other.value);
            return *this;
        }
    };
    return parallel::sum_blocks<Largest>(real.size(),
                                         [&](std::size_t begin, std::size_t end) {
                                             Largest l;
                                             float most = 0.0f;
#pragma omp simd reduction(max : most)
                                             for (std::size_t v = begin; v < end; ++v)
                                                 most = std::max(most, real[v] * real[v] +
                                                                           imaginary[v] * imaginary[v]);
                                             l.value = std::sqrt(most);
                                             return l;
                                         })
        .value;
}

/// Mean phase step from voxel to voxel along each axis, from the neighbour products of the phasors.
std::array<double, 3> mean_slope(const VolumeF& real, const VolumeF& imaginary)
{
    struct Products {
        std::array<std::complex<double>, 3> sum;
        Products& operator+=(const Products& other)
        {
            for (std::size_t a = 0; a < 3; ++a) sum[a] += other.sum[a];
            return *this;
        }
    };
    const Dims& d = real.dims();
    std::vector<Products> slices(d.nz);
    parallel::for_each(d.nz, [&](std::size_t z) {
        const auto add_row = [&](std::size_t from, std::size_t to, std::size_t n, std::complex<double>& sum) {
            double re = 0.0, im = 0.0;
            for (std::size_t x = 0; x < n; ++x) {
                const float a = real[from + x], b = imaginary[from + x], c = real[to + x],
                            e = imaginary[to + x];
                re += static_cast<double>(a * c + b * e);
                im += static_cast<double>(a * e - b * c);
            }
            sum += std::complex<double>(re, im);
        };
        for (std::size_t y = 0; y < d.ny; ++y) {
            const std::size_t row = d.index(0, y, z);
            add_row(row, row + 1, d.nx - 1, slices[z].sum[0]);
            if (y + 1 < d.ny) add_row(row, row + d.nx, d.nx, slices[z].sum[1]);
            if (z + 1 < d.nz) add_row(row, row + d.nx * d.ny, d.nx, slices[z].sum[2]);
        }
    });
    Products total;
    for (const Products& p : slices) total += p;
    return {std::arg(total.sum[0]), std::arg(total.sum[1]), std::arg(total.sum[2])};
}

/// Calls body(voxel, angle) with the angle of a plane of the given slopes [rad per voxel], up to turns, in parallel.
template <typename Body>
void for_each_on_plane(const Dims& d, const std::array<double, 3>& slope, Body&& body)
{
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) {
            const double start = slope[1] * static_cast<double>(y) + slope[2] * static_cast<double>(z);
            const std::size_t row = d.index(0, y, z);
            const auto first = static_cast<float>(std::remainder(start, units::two_pi));
            const auto step = static_cast<float>(slope[0]);
#pragma omp simd
            for (std::size_t x = 0; x < d.nx; ++x) body(row + x, first + step * static_cast<float>(x));
        }
    });
}

}  // namespace

VolumeF smoothed_argument(VolumeF& real, VolumeF& imaginary, double sigma_mm)
{
    // Below this part of the largest phasor there is only noise of air or round-off of the running sums.
    constexpr float least = 1e-4f;
    constexpr double wider = 4.0;
    const Dims& d = real.dims();
    const std::array<double, 3> slope = mean_slope(real, imaginary);
    for_each_on_plane(d, slope, [&](std::size_t v, float angle) {
        const auto [s, c] = sin_cos(angle);
        const float re = real[v], im = imaginary[v];
        real[v] = c * re + s * im;
        imaginary[v] = c * im - s * re;
    });
    numerics::gaussian_smooth_complex(real, imaginary, sigma_mm);
    const float floor = least * largest_length(real, imaginary);
    const float floor_square = floor * floor;

    VolumeF argument(real.grid());
    for_each_on_plane(d, slope, [&](std::size_t v, float angle) {
        const bool gap = !(real[v] * real[v] + imaginary[v] * imaginary[v] > floor_square);
        const float turned = arc_tangent(imaginary[v], real[v]) + angle;
        argument[v] = gap ? std::numeric_limits<float>::quiet_NaN() : turned;
    });
    const auto n_gaps = parallel::sum_blocks<std::size_t>(argument.size(), [&](std::size_t begin, std::size_t end) {
        std::size_t n = 0;
        for (std::size_t v = begin; v < end; ++v) {
            if (!std::isnan(argument[v])) continue;
            ++n;
            real[v] = 0.0f;
            imaginary[v] = 0.0f;
        }
        return n;
    });
    if (n_gaps == 0) return argument;

    numerics::gaussian_smooth_complex(real, imaginary, wider * sigma_mm);
    for_each_on_plane(d, slope, [&](std::size_t v, float angle) {
        const float turned = arc_tangent(imaginary[v], real[v]) + angle;
        argument[v] = std::isnan(argument[v]) ? turned : argument[v];
    });
    return argument;
}

}  // namespace qsmpi::phase
