#include <algorithm>
#include <limits>
#include <vector>

#include "echo_sums.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::field
{

namespace
{

enum class Intercept { none, fitted };

/// Sums of one chunk: weights m^2, times in units of the last echo time, so that float sums stay in range.
struct LineSums {
    Chunk w{}, wt{}, wtt{}, wu{}, wtu{};
    void add(const float* squared, const float* u, float t, std::size_t n)
    {
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const float v = squared[i] > 0.0f ? u[i] : 0.0f;  // a NaN must not enter with weight 0
            w[i] += squared[i];
            wt[i] += squared[i] * t;
            wtt[i] += squared[i] * t * t;
            wu[i] += squared[i] * v;
            wtu[i] += squared[i] * t * v;
        }
    }
};

FieldMap fit_line(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                  std::span<const double> echo_times_s, double noise_std, Intercept intercept)
{
    const std::size_t n_echoes = phase.size();
    const std::size_t n_unknowns = intercept == Intercept::fitted ? 2 : 1;
    const bool has_residual = n_echoes > n_unknowns;
    FieldMap map = new_field_map(phase[0].grid(), n_echoes > 1);

    const double unit_s = echo_times_s[n_echoes - 1];
    std::vector<float> times;
    for (const double t : echo_times_s) times.push_back(static_cast<float>(t / unit_s));
    const auto hz_per_slope = static_cast<float>(1.0 / (units::two_pi * unit_s));
    const auto noise = static_cast<float>(noise_std);
    const auto freedom = static_cast<float>(n_echoes - n_unknowns);

    parallel::for_blocks(phase[0].size(), [&](std::size_t block_begin, std::size_t block_end) {
        Chunk squared, slope, offset, information, rest, chi_square;
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk_voxels) {
            const std::size_t n = std::min(chunk_voxels, block_end - begin);
            const auto magnitude_of = [&](std::size_t k) {
                return magnitude.empty() ? nullptr : magnitude[k].data() + begin;
            };
            LineSums s;
            for (std::size_t k = 0; k < n_echoes; ++k) {
                squared_magnitude(phase[k].data() + begin, magnitude_of(k), n, squared.data());
                s.add(squared.data(), phase[k].data() + begin, times[k], n);
            }
            for (std::size_t i = 0; i < n; ++i) {
                if (intercept == Intercept::none) {
                    information[i] = s.wtt[i];
                    slope[i] = s.wtt[i] > 0.0f ? s.wtu[i] / s.wtt[i] : 0.0f;
                    offset[i] = 0.0f;
                } else {
                    // Spread of the times about their mean; relative test, for any scale of the magnitude.
                    const float mean_t = s.w[i] > 0.0f ? s.wt[i] / s.w[i] : 0.0f;
                    const float spread = s.wtt[i] - mean_t * s.wt[i];
                    information[i] = spread > 1e-5f * s.wtt[i] ? spread : 0.0f;
                    slope[i] = information[i] > 0.0f ? (s.wtu[i] - mean_t * s.wu[i]) / information[i] : 0.0f;
                    offset[i] = s.w[i] > 0.0f ? s.wu[i] / s.w[i] - mean_t * slope[i] : 0.0f;
                }
                rest[i] = 0.0f;
                chi_square[i] = 0.0f;
            }
            for (std::size_t k = 0; k < n_echoes && n_echoes > 1; ++k) {
                squared_magnitude(phase[k].data() + begin, magnitude_of(k), n, squared.data());
                const float* u = phase[k].data() + begin;
                const float t = times[k];
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) {
                    const float r = squared[i] > 0.0f ? u[i] - offset[i] - slope[i] * t : 0.0f;
                    rest[i] += unexplained(squared[i], r, fast_sin(r));
                    chi_square[i] += squared[i] * r * r;
                }
            }
            float* field = map.field_hz.data() + begin;
            float* sigma = map.sigma_hz.data() + begin;
            for (std::size_t i = 0; i < n; ++i) {
                field[i] = slope[i] * hz_per_slope;
                const float wide = has_residual ? widening(chi_square[i] / (noise * noise), freedom) : 1.0f;
                sigma[i] = information[i] > 0.0f ? noise * wide * hz_per_slope / std::sqrt(information[i])
                                                 : std::numeric_limits<float>::infinity();
                if (n_echoes > 1) {
                    map.relative_residual[begin + i] =
                        s.w[i] > 0.0f ? std::min(1.0f, rest[i] / s.w[i]) : 1.0f;
                }
            }
        }
    });
    return map;
}

}  // namespace

FieldMap weighted_average(std::span<const VolumeF> unwrapped_phase_rad, std::span<const VolumeF> magnitude,
                          std::span<const double> echo_times_s, double noise_std)
{
    check_echoes("weighted_average", unwrapped_phase_rad, magnitude, echo_times_s, noise_std, 1);
    return fit_line(unwrapped_phase_rad, magnitude, echo_times_s, noise_std, Intercept::none);
}

FieldMap linear_fit(std::span<const VolumeF> unwrapped_phase_rad, std::span<const VolumeF> magnitude,
                    std::span<const double> echo_times_s, double noise_std)
{
    check_echoes("linear_fit", unwrapped_phase_rad, magnitude, echo_times_s, noise_std, 2);
    const auto [first, last] = std::minmax_element(echo_times_s.begin(), echo_times_s.end());
    require(*last - *first > 1e-3 * *last,
            str("linear_fit: echo times from ", *first, " s to ", *last, " s do not define a slope"));
    return fit_line(unwrapped_phase_rad, magnitude, echo_times_s, noise_std, Intercept::fitted);
}

}  // namespace qsmpi::field
