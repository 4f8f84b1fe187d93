#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/relaxometry/r2star.hpp"

namespace qsmpi::relaxometry {

/// Voxels are fitted in chunks of this size, so that all intermediate values stay in the first-level cache.
inline constexpr std::size_t chunk_voxels = 512;
using Chunk = std::array<float, chunk_voxels>;

/// Signal below this many noise standard deviations is not used.
inline constexpr double floor_in_noise_std = 3.0;

/// The echoes in order of time.
struct Echoes {
    std::vector<const float*> magnitude;
    std::vector<float> time_s;
    float noise_std = 0.0f;
    float floor = 0.0f;              ///< signal at or below this is none
    float max_r2star_per_s = 0.0f;

    [[nodiscard]] std::size_t n() const { return magnitude.size(); }
    /// Finite, by a comparison that vectorises and refuses NaN.
    [[nodiscard]] static bool usable(float m) { return m < 1e30f && m >= 0.0f; }
    [[nodiscard]] bool has_signal(std::size_t i) const { return usable(magnitude[0][i]) && magnitude[0][i] > floor; }
    [[nodiscard]] float clamped(float rate_per_s) const
    {
        return rate_per_s > 0.0f ? (rate_per_s < max_r2star_per_s ? rate_per_s : max_r2star_per_s) : 0.0f;
    }
};

/// Checks what all methods need and sorts the echoes.
/// @throws InputError with the name of the method
[[nodiscard]] Echoes checked_echoes(const char* who, std::span<const VolumeF> magnitude,
                                    std::span<const double> echo_times_s, const RelaxationOptions& options,
                                    std::size_t least_echoes);

/// Calls fit(begin, n, rate_per_s, s0) for chunks that cover all voxels.
template <typename Fit>
[[nodiscard]] Relaxation fit_chunks(const Grid& grid, Fit&& fit)
{
    Relaxation r{VolumeF(grid), VolumeF(grid)};
    parallel::for_blocks(grid.size(), [&](std::size_t block_begin, std::size_t block_end) {
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk_voxels) {
            const std::size_t n = begin + chunk_voxels < block_end ? chunk_voxels : block_end - begin;
            fit(begin, n, r.r2star_per_s.data() + begin, r.s0.data() + begin);
        }
    });
    return r;
}

/// Rate and s0 of one chunk by a line through log S; see log_linear().
void fit_log_lines(const Echoes& echoes, std::size_t begin, std::size_t n, float* rate_per_s, float* s0);

/// exp by a polynomial after reduction to |r| <= ln(2)/2; relative error below 3e-7, 0 is never reached. Vectorises.
inline float fast_exp(float x)
{
    constexpr float per_ln2 = 1.44269504f;
    // ln 2 in two parts, so that the reduction keeps its digits.
    constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    x = x > -87.0f ? (x < 87.0f ? x : 87.0f) : -87.0f;
    const float k = std::rint(x * per_ln2);
    const float r = (x - k * ln2_high) - k * ln2_low;
    const float p = 1.0f + r * (1.0f + r * (0.5f + r * (1.6666667e-1f + r * (4.1666667e-2f + r * (8.3333333e-3f
                                                                                           + r * 1.3888889e-3f)))));
    const auto exponent = static_cast<std::int32_t>(k) + 127;
    return p * std::bit_cast<float>(exponent << 23);
}

/// log of a normal positive number by the series of atanh; error below 2e-7 of max(1, |log x|). Vectorises.
inline float fast_log(float x)
{
    // Split as 2^k m with m in [sqrt(1/2), sqrt(2)).
    constexpr std::int32_t sqrt_half_bits = 0x3f3504f3;
    const auto bits = std::bit_cast<std::int32_t>(x);
    const std::int32_t k = (bits - sqrt_half_bits) >> 23;
    const float m = std::bit_cast<float>(bits - (k << 23));
    const float s = (m - 1.0f) / (m + 1.0f), s2 = s * s;
    const float series = s + s * s2 * (3.3333333e-1f + s2 * (2.0e-1f + s2 * (1.4285714e-1f + s2 * 1.1111111e-1f)));
    return 2.0f * series + static_cast<float>(k) * 0.69314718f;
}

}  // namespace qsmpi::relaxometry
