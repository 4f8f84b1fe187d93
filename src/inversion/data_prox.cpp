#include "data_prox.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qsmpi::inversion::detail {
namespace {

/// Nearest integer, ties to even; vectorises on every machine. For |x| < 2^22.
inline float nearest(float x)
{
    constexpr float shift = 12582912.0F;  // 1.5 * 2^23
    return (x + shift) - shift;
}

/// An angle as whole turns and a rest in [-pi, pi].
struct Turned {
    explicit Turned(float angle_rad)
    {
        constexpr auto two_pi = 2.0F * std::numbers::pi_v<float>;
        turns_rad = two_pi * nearest(angle_rad / two_pi);
        rest_rad = std::min(std::max(angle_rad - turns_rad, -std::numbers::pi_v<float>), std::numbers::pi_v<float>);
    }
    float turns_rad, rest_rad;
};

// Both equations below are concave on [0, pi] and Newton starts left of their first root, so it climbs to it and never
// overshoots. Far from pi three steps reach round-off; near pi, where the slope may vanish, the rest is left to the
// next iteration of the splitting.
constexpr int newton_steps = 4;
constexpr float least_slope = 0.05F;

/// d in [0, t] with k sin d + d = t, for t in [0, pi].
inline float solve_l2(float k, float t)
{
    float d = t / (1.0F + k);
    for (int i = 0; i < newton_steps; ++i) {
        const HalfAngle half(d);
        const float value = 2.0F * k * half.sine * half.cosine + d - t;
        const float slope = 1.0F + k * (1.0F - 2.0F * half.sine * half.sine);
        d = std::min(std::max(d - value / std::max(slope, least_slope), 0.0F), t);
    }
    return d;
}

/// d in [0, t] with k cos(d/2) + d = t, for t in [0, pi]; 0 if t <= k.
inline float solve_l1(float k, float t)
{
    float d = std::max(t - k, 0.0F);
    for (int i = 0; i < newton_steps; ++i) {
        const HalfAngle half(d);
        const float value = k * half.cosine + d - t, slope = 1.0F - 0.5F * k * half.sine;
        d = std::min(std::max(d - value / std::max(slope, least_slope), 0.0F), t);
    }
    return t > k ? d : 0.0F;
}

}  // namespace

DataProx linear_l2(const VolumeF& field_ppm, const VolumeF& weight, double mu)
{
    return [&field_ppm, &weight, mu = static_cast<float>(mu)](std::size_t at, std::size_t n, const float* t, float* v) {
        const float *f = field_ppm.data() + at, *w = weight.data() + at;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) v[i] = t[i] + w[i] * w[i] / (w[i] * w[i] + mu) * (f[i] - t[i]);
    };
}

DataProx linear_l1(const VolumeF& field_ppm, const VolumeF& weight, double mu_per_ppm)
{
    const auto inverse_mu = static_cast<float>(1.0 / mu_per_ppm);
    return [&field_ppm, &weight, inverse_mu](std::size_t at, std::size_t n, const float* t, float* v) {
        const float *f = field_ppm.data() + at, *w = weight.data() + at;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const float pull = w[i] * inverse_mu;
            v[i] = t[i] - std::min(std::max(t[i] - f[i], -pull), pull);
        }
    };
}

DataProx phase_l2(const VolumeF& field_ppm, const VolumeF& weight, double mu, double radians_per_ppm)
{
    const auto r = static_cast<float>(radians_per_ppm), ppm = static_cast<float>(1.0 / radians_per_ppm);
    const auto inverse_mu = static_cast<float>(1.0 / mu);
    return [=, &field_ppm, &weight](std::size_t at, std::size_t n, const float* t, float* v) {
        const float *f = field_ppm.data() + at, *w = weight.data() + at;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const Turned angle(r * (t[i] - f[i]));
            const float d = solve_l2(w[i] * w[i] * inverse_mu, std::abs(angle.rest_rad));
            // As a change of t, so that nothing is lost where w = 0.
            v[i] = t[i] + ppm * (std::copysign(d, angle.rest_rad) - angle.rest_rad);
        }
    };
}

DataProx phase_l1(const VolumeF& field_ppm, const VolumeF& weight, double mu_per_ppm, double radians_per_ppm)
{
    const auto r = static_cast<float>(radians_per_ppm), ppm = static_cast<float>(1.0 / radians_per_ppm);
    const auto r_by_mu = static_cast<float>(radians_per_ppm / mu_per_ppm);
    return [=, &field_ppm, &weight](std::size_t at, std::size_t n, const float* t, float* v) {
        const float *f = field_ppm.data() + at, *w = weight.data() + at;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const Turned angle(r * (t[i] - f[i]));
            const float d = solve_l1(w[i] * r_by_mu, std::abs(angle.rest_rad));
            v[i] = t[i] + ppm * (std::copysign(d, angle.rest_rad) - angle.rest_rad);
        }
    };
}

}  // namespace qsmpi::inversion::detail
