#include <array>
#include <cmath>
#include <complex>

#include "offset_common.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/phase/offsets.hpp"
#include "qsmpi/phase/romeo.hpp"
#include "wrap.hpp"

namespace qsmpi::phase {

namespace {

struct ComplexSum {
    std::complex<double> value;
    ComplexSum& operator+=(const ComplexSum& other)
    {
        value += other.value;
        return *this;
    }
};

/// Writes weight * exp(i sum_j factor_j phase_j) of the first three echoes; 0 where `mask` is 0 or phase is not finite.
void combine(std::array<const VolumeF*, 3> phases, std::array<float, 3> factors, std::span<const VolumeF> magnitude,
             const Mask* mask, VolumeF& real, VolumeF& imaginary)
{
    parallel::for_blocks(real.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            const float angle =
                factors[0] * (*phases[0])[v] + factors[1] * (*phases[1])[v] + factors[2] * (*phases[2])[v];
            const bool used = std::isfinite(angle) && (mask == nullptr || (*mask)[v] != 0);
            const float weight = used ? pair_weight(magnitude, 1, 2, v) : 0.0f;
            real[v] = used ? weight * std::cos(angle) : 0.0f;
            imaginary[v] = used ? weight * std::sin(angle) : 0.0f;
        }
    });
}

}  // namespace

VolumeF remove_bipolar(std::span<VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                       std::span<const double> echo_times_s, const OffsetOptions& options)
{
    check_offset_input("remove_bipolar", phase_rad, magnitude, echo_times_s, 3);
    require(options.smoothing_sigma_mm > 0.0,
            str("remove_bipolar: smoothing ", options.smoothing_sigma_mm, " mm must be positive"));
    const Grid& grid = phase_rad[0].grid();
    const double m = echo_times_s[0] / (echo_times_s[1] - echo_times_s[0]);
    const double k = (echo_times_s[0] + echo_times_s[2]) / echo_times_s[1];
    const double q = (2.0 - k) * m - k;
    require(std::abs(q) > 1e-3, str("remove_bipolar: echo times ", echo_times_s[0], ", ", echo_times_s[1], ", ",
                                    echo_times_s[2], " s do not determine the alternating phase"));

    // F = phi_1 + phi_3 - k phi_2 = q g: the field cancels. Turns of phi_2 cancel too if k is whole; else phi_2 is
    // unwrapped first, which leaves one global number of turns: the one with the smallest F.
    VolumeF real(grid), imaginary(grid);
    if (nearly_whole(k)) {
        combine({&phase_rad[0], &phase_rad[1], &phase_rad[2]}, {1.0f, -static_cast<float>(std::round(k)), 1.0f},
                magnitude, nullptr, real, imaginary);
    } else {
        const Mask mask = signal_mask(phase_rad, magnitude, 1, 2);
        const VolumeF second =
            unwrap_romeo(phase_rad[1], {.magnitude = magnitude.empty() ? nullptr : &magnitude[1], .mask = &mask});
        combine({&phase_rad[0], &second, &phase_rad[2]}, {1.0f, -static_cast<float>(k), 1.0f}, magnitude, &mask, real,
                imaginary);
        const auto sum = parallel::sum_blocks<ComplexSum>(grid.size(), [&](std::size_t begin, std::size_t end) {
            ComplexSum s;
            for (std::size_t v = begin; v < end; ++v) s.value += std::complex<double>(real[v], imaginary[v]);
            return s;
        });
        std::complex<double> turn = 1.0;
        for (int n = -3; n <= 3; ++n) {
            const auto candidate = std::polar(1.0, -units::two_pi * k * n);
            if (std::abs(std::arg(sum.value * candidate)) < std::abs(std::arg(sum.value * turn)) - 1e-6) turn = candidate;
        }
        const std::complex<float> factor(turn);
        parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) {
                const std::complex<float> turned = std::complex<float>(real[v], imaginary[v]) * factor;
                real[v] = turned.real();
                imaginary[v] = turned.imag();
            }
        });
    }
    VolumeF g = smoothed_argument(real, imaginary, options.smoothing_sigma_mm);
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
            real[v] = std::hypot(real[v], imaginary[v]);
            g[v] = wrap_half_open(g[v]);
        }
    });
    g = unwrap_romeo(g, {.magnitude = &real});
    parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) g[v] /= static_cast<float>(q);
    });
    for (std::size_t j = 0; j < phase_rad.size(); ++j) {
        // After removal of the apparent offset the first, third, ... echo carries m g and the others (m + 1) g.
        const auto share = static_cast<float>(j % 2 == 0 ? m : m + 1.0);
        VolumeF& phase = phase_rad[j];
        parallel::for_blocks(grid.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t v = begin; v < end; ++v) phase[v] = wrap_half_open(phase[v] - share * g[v]);
        });
    }
    return g;
}

double bipolar_evidence(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                        std::span<const double> echo_times_s)
{
    if (phase_rad.size() < 3) return 0.0;
    check_offset_input("bipolar_evidence", phase_rad, magnitude, echo_times_s, 3);

    // a phi_1 - (a + b) phi_2 + b phi_3 with a : b = (TE3 - TE2) : (TE2 - TE1) holds neither field nor offset, and turns
    // cancel if a and b are whole. What is left is -(a + b) g.
    const double spacing_ratio = (echo_times_s[2] - echo_times_s[1]) / (echo_times_s[1] - echo_times_s[0]);
    const double larger = std::max(spacing_ratio, 1.0 / spacing_ratio);
    constexpr double tolerance = 0.05;  // 0.1 ms in 2 ms; the field's rest is then below 2 pi * 100 Hz * 0.1 ms = 0.06 rad
    if (std::abs(larger - std::round(larger)) > tolerance) return 0.0;
    const auto whole = static_cast<float>(std::round(larger));
    const float a = spacing_ratio >= 1.0 ? whole : 1.0f;
    const float b = spacing_ratio >= 1.0 ? 1.0f : whole;

    const Grid& grid = phase_rad[0].grid();
    VolumeF real(grid), imaginary(grid);
    combine({&phase_rad[0], &phase_rad[1], &phase_rad[2]}, {a, -(a + b), b}, magnitude, nullptr, real, imaginary);
    struct Sums {
        double weight = 0.0, coherent = 0.0, square = 0.0;
        Sums& operator+=(const Sums& other)
        {
            weight += other.weight;
            coherent += other.coherent;
            square += other.square;
            return *this;
        }
    };
    const auto sum_of = [&](auto&& body) {
        return parallel::sum_blocks<Sums>(grid.size(), [&](std::size_t begin, std::size_t end) {
            Sums s;
            for (std::size_t v = begin; v < end; ++v) body(std::hypot(real[v], imaginary[v]), v, s);
            return s;
        });
    };
    // Smoothing keeps the sum of the weights and shortens phasors that disagree with their neighbourhood.
    const double before = sum_of([](float length, std::size_t, Sums& s) { s.weight += static_cast<double>(length); }).weight;
    if (!(before > 0.0)) return 0.0;
    numerics::gaussian_smooth_complex(real, imaginary, OffsetOptions{}.smoothing_sigma_mm);
    const Sums after = sum_of([&](float length, std::size_t v, Sums& s) {
        const auto angle = static_cast<double>(std::atan2(imaginary[v], real[v]));
        s.coherent += static_cast<double>(length);
        s.square += static_cast<double>(length) * angle * angle;
    });
    if (!(after.coherent > 0.0)) return 0.0;
    const double coherence = std::min(1.0, after.coherent / before);
    const double mean_square = after.square / after.coherent;
    constexpr double ordinary_rad = 0.3;  // flow, several compartments in a voxel and timing reach some 0.1 rad
    return coherence * mean_square / (mean_square + ordinary_rad * ordinary_rad);
}

}  // namespace qsmpi::phase
