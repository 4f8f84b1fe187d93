#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <optional>

#include "fast_math.hpp"
#include "offset_common.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/phase/offsets.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "wrap.hpp"

// With d1 = TE2 - TE1 and d2 = TE3 - TE2 the combination d2 phi_1 - (d1 + d2) phi_2 + d1 phi_3 holds neither
// the field nor the coil offset: what is left is -(d1 + d2) g. If d2 : d1 is a ratio a : b of whole numbers
// of which one is 1, a phi_1 - (a + b) phi_2 + b phi_3 = -(a + b) g does not mind wraps either.

namespace qsmpi::phase
{

namespace
{

struct Combination {
    float a = 1.0f, b = 1.0f;
};

/// a and b, if the spacings are in a whole ratio within `tolerance`.
std::optional<Combination> wrap_safe_combination(std::span<const double> echo_times_s, double tolerance)
{
    const double d1 = echo_times_s[1] - echo_times_s[0], d2 = echo_times_s[2] - echo_times_s[1];
    const double larger = std::max(d1, d2) / std::min(d1, d2);
    if (std::abs(larger - std::round(larger)) > tolerance) return std::nullopt;
    const auto whole = static_cast<float>(std::round(larger));
    return d2 >= d1 ? Combination{whole, 1.0f} : Combination{1.0f, whole};
}

/// m_2 m_3, 0 where any of the three is missing.
float triple_weight(std::span<const VolumeF> magnitude, std::size_t v)
{
    return pair_weight(magnitude, 0, 1, v) > 0.0f ? pair_weight(magnitude, 1, 2, v) : 0.0f;
}

/// Writes m_2 m_3 exp(i (a phi_1 - (a + b) phi_2 + b phi_3)); 0 where a phase is not finite.
void combine(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude, const Combination& c,
             VolumeF& real, VolumeF& imaginary)
{
    parallel::for_blocks(real.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float angle = c.a * (phase[0][v] - phase[1][v]) + c.b * (phase[2][v] - phase[1][v]);
            const bool used = std::isfinite(angle);
            const float weight = used ? triple_weight(magnitude, v) : 0.0f;
            const auto [sine, cosine] = sin_cos(angle);
            real[v] = used ? weight * cosine : 0.0f;
            imaginary[v] = used ? weight * sine : 0.0f;
        }
    });
}

/// g from a combination that does not mind wraps; known modulo 2 pi / (a + b), the branch around 0 is taken.
VolumeF g_of_whole_ratio(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                         const Combination& c, double sigma_mm)
{
    VolumeF real(phase[0].grid()), imaginary(phase[0].grid());
    combine(phase, magnitude, c, real, imaginary);
    VolumeF g = smoothed_argument(real, imaginary, sigma_mm);
    parallel::for_blocks(g.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            real[v] = std::sqrt(real[v] * real[v] + imaginary[v] * imaginary[v]);
            g[v] = wrap_half_open(g[v]);
        }
    });
    g = unwrap_romeo(g, {.magnitude = &real});
    parallel::for_blocks(g.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) g[v] /= -(c.a + c.b);
    });
    return g;
}

VolumeF unwrapped_step(const VolumeF& from, const VolumeF& to, const VolumeF* magnitude, const Mask& mask)
{
    VolumeF step(from.grid());
    parallel::for_blocks(step.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) step[v] = wrap(to[v] - from[v]);
    });
    return unwrap_romeo(step, {.magnitude = magnitude, .mask = &mask});
}

/// Writes m_2 m_3 exp(i times g) for any spacing, from the unwrapped steps between echoes: g = (d2 step_12 - d1 step_23) /
/// (d1 + d2). Of the numbers of turns that the two steps may miss, those that bring g nearest to 0, at a price for each turn.
void combine_unwrapped_steps(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                             std::span<const double> echo_times_s, float times, VolumeF& real, VolumeF& imaginary)
{
    const double d1 = echo_times_s[1] - echo_times_s[0], d2 = echo_times_s[2] - echo_times_s[1];
    const double share1 = d2 / (d1 + d2), share2 = d1 / (d1 + d2);
    const Mask mask = signal_mask(phase, magnitude, 1, 2);
    const VolumeF* weight_of_step = magnitude.empty() ? nullptr : &magnitude[1];
    VolumeF g = unwrapped_step(phase[0], phase[1], weight_of_step, mask);
    const VolumeF second = unwrapped_step(phase[1], phase[2], weight_of_step, mask);

    struct Mean {
        double weight = 0.0, sum = 0.0;
        Mean& operator+=(const Mean& other)
        {
            weight += other.weight;
            sum += other.sum;
            return *this;
        }
    };
    const auto mean = parallel::sum_blocks<Mean>(g.size(), [&](std::size_t begin, std::size_t end) {
        Mean m;
        for (std::size_t v = begin; v < end; ++v) {
            g[v] = static_cast<float>(share1) * g[v] - static_cast<float>(share2) * second[v];
            if (!mask[v]) continue;
            const auto w = static_cast<double>(triple_weight(magnitude, v));
            m.weight += w;
            m.sum += w * static_cast<double>(g[v]);
        }
        return m;
    });
    const double mean_g = mean.weight > 0.0 ? mean.sum / mean.weight : 0.0;
    constexpr double price_rad = 0.3;
    double shift = 0.0, least = std::abs(mean_g);
    for (int n1 = -2; n1 <= 2; ++n1) {
        for (int n2 = -2; n2 <= 2; ++n2) {
            const double candidate = units::two_pi * (share1 * n1 - share2 * n2);
            const double cost = std::abs(mean_g + candidate) + price_rad * (std::abs(n1) + std::abs(n2));
            if (cost < least) {
                least = cost;
                shift = candidate;
            }
        }
    }
    parallel::for_blocks(g.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float angle = times * (g[v] + static_cast<float>(shift));
            const float weight = mask[v] ? triple_weight(magnitude, v) : 0.0f;
            real[v] = weight * std::cos(angle);
            imaginary[v] = weight * std::sin(angle);
        }
    });
}

VolumeF g_of_unwrapped_steps(std::span<const VolumeF> phase, std::span<const VolumeF> magnitude,
                             std::span<const double> echo_times_s, double sigma_mm)
{
    VolumeF real(phase[0].grid()), imaginary(phase[0].grid());
    combine_unwrapped_steps(phase, magnitude, echo_times_s, 1.0f, real, imaginary);
    return smoothed_argument(real, imaginary, sigma_mm);
}

struct Sums {
    double length = 0.0, square = 0.0;
    Sums& operator+=(const Sums& other)
    {
        length += other.length;
        square += other.square;
        return *this;
    }
};

/// Of the lengths of phasors, and of their squared angles weighted by them.
Sums sums_of(const VolumeF& real, const VolumeF& imaginary)
{
    return parallel::sum_blocks<Sums>(real.size(), [&](std::size_t begin, std::size_t end) {
        double length = 0.0, square = 0.0;
#pragma omp simd reduction(+ : length, square)
        for (std::size_t v = begin; v < end; ++v) {
            const float l = std::sqrt(real[v] * real[v] + imaginary[v] * imaginary[v]);
            const float angle = arc_tangent(imaginary[v], real[v]);
            length += static_cast<double>(l);
            square += static_cast<double>(l * angle * angle);
        }
        return Sums{length, square};
    });
}

/// Sums phasors over cells of about 2 mm, as fine as smoothing by 7 mm needs them; an eighth of the voxels at 1 mm.
void coarsen(VolumeF& real, VolumeF& imaginary)
{
    constexpr double cell_mm = 2.5;
    const Dims d = real.dims();  // a copy: the volumes are replaced
    const auto [n, coarse] = numerics::coarsened(real.grid(), cell_mm);
    if (n[0] * n[1] * n[2] == 1) return;
    for (VolumeF* part : {&real, &imaginary}) {
        VolumeF sum(coarse, 0.0f);
        parallel::for_each(coarse.dims.nz, [&](std::size_t cz) {
            for (std::size_t z = cz * n[2]; z < std::min(d.nz, (cz + 1) * n[2]); ++z) {
                for (std::size_t y = 0; y < d.ny; ++y) {
                    float* const row = &sum(0, y / n[1], cz);
                    const float* const from = &(*part)(0, y, z);
                    for (std::size_t cx = 0; cx < coarse.dims.nx; ++cx) {
                        const std::size_t end = std::min(d.nx, (cx + 1) * n[0]);
                        for (std::size_t x = cx * n[0]; x < end; ++x) row[cx] += from[x];
                    }
                }
            }
        });
        *part = std::move(sum);
    }
}

}  // namespace

VolumeF remove_bipolar(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                       std::span<const double> echo_times_s, const OffsetOptions& options)
{
    check_rising_echoes("remove_bipolar", phase_rad, magnitude, echo_times_s, 3);
    require(options.smoothing_sigma_mm > 0.0,
            str("remove_bipolar: smoothing ", options.smoothing_sigma_mm, " mm must be positive"));
    const auto combination = wrap_safe_combination(echo_times_s, 0.01);
    VolumeF g = combination
                    ? g_of_whole_ratio(phase_rad, magnitude, *combination, options.smoothing_sigma_mm)
                    : g_of_unwrapped_steps(phase_rad, magnitude, echo_times_s, options.smoothing_sigma_mm);
    for (std::size_t j = 1; j < phase_rad.size(); j += 2) {
        VolumeF& phase = phase_rad[j];
        parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) phase[v] = wrap_half_open(phase[v] - g[v]);
        });
    }
    return g;
}

double bipolar_evidence(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                        std::span<const double> echo_times_s)
{
    if (phase_rad.size() < 3) return 0.0;
    check_rising_echoes("bipolar_evidence", phase_rad, magnitude, echo_times_s, 3);
    // 5 %: 0.1 ms of 2 ms. What is left of the field is then below 2 pi * 100 Hz * 0.1 ms = 0.06 rad.
    const auto combination = wrap_safe_combination(echo_times_s, 0.05);
    VolumeF real(phase_rad[0].grid()), imaginary(phase_rad[0].grid());
    if (combination)
        combine(phase_rad, magnitude, *combination, real, imaginary);
    else  // 2 g, as for equal spacing
        combine_unwrapped_steps(phase_rad, magnitude, echo_times_s, 2.0f, real, imaginary);
    // Smoothing keeps the sum of the weights and shortens phasors that disagree with their neighbourhood.
    const double before = sums_of(real, imaginary).length;
    if (!(before > 0.0)) return 0.0;
    coarsen(real, imaginary);
    numerics::gaussian_smooth_complex(real, imaginary, OffsetOptions{}.smoothing_sigma_mm);
    const Sums after = sums_of(real, imaginary);
    if (!(after.length > 0.0)) return 0.0;
    const double coherence = std::min(1.0, after.length / before);
    const double mean_square = after.square / after.length;
    constexpr double ordinary_rad =
        0.3;  // flow, several compartments in a voxel and timing reach some 0.1 rad
    return coherence * mean_square / (mean_square + ordinary_rad * ordinary_rad);
}

}  // namespace qsmpi::phase
