#include "echoes.hpp"

namespace qsmpi::relaxometry {
namespace {

/// s0 = mean of S exp(rate t) with weights S, where the rate is known and voxels without signal have rate -1.
void finish(const Echoes& echoes, std::size_t begin, std::size_t n, float* rate_per_s, float* s0)
{
    Chunk weights{}, sum{};
    for (std::size_t k = 0; k < echoes.n(); ++k) {
        const float* m = echoes.magnitude[k] + begin;
        const float t = echoes.time_s[k];
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const float s = Echoes::usable(m[i]) ? m[i] : 0.0f;
            const float rate = rate_per_s[i] > 0.0f ? rate_per_s[i] : 0.0f;
            weights[i] += s;
            sum[i] += s * s * fast_exp(rate * t);
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        const bool known = rate_per_s[i] >= 0.0f && weights[i] > 0.0f;
        s0[i] = known ? sum[i] / weights[i] : 0.0f;
        rate_per_s[i] = known ? rate_per_s[i] : 0.0f;
    }
}

/// Rate from numerator / denominator, or -1 where the voxel has no signal or an echo that is not finite.
void set_rates(const Echoes& echoes, std::size_t begin, std::size_t n, const Chunk& numerator, const Chunk& denominator,
               float* rate_per_s)
{
    for (std::size_t i = 0; i < n; ++i) {
        // Sums of what is not finite are not finite themselves.
        const bool known = echoes.has_signal(begin + i) && std::abs(numerator[i]) < 1e38f && denominator[i] > 0.0f;
        rate_per_s[i] = known ? echoes.clamped(numerator[i] / denominator[i]) : -1.0f;
    }
}

}  // namespace

Relaxation arlo(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                const RelaxationOptions& options)
{
    const Echoes echoes = checked_echoes("arlo", magnitude, echo_times_s, options, 3);
    require(equally_spaced(echo_times_s), "arlo: the echoes are not equally spaced; use another method for R2*");
    const float per_spacing = static_cast<float>(echoes.n() - 1) / (echoes.time_s.back() - echoes.time_s.front());

    return fit_chunks(magnitude[0].grid(), [&](std::size_t begin, std::size_t n, float* rate, float* s0) {
        // With I = d/3 s the integral over two spacings and D the drop, T2* = sum I a / sum D a, a = I + d/3 D.
        Chunk numerator{}, denominator{};
        for (std::size_t k = 0; k + 2 < echoes.n(); ++k) {
            const float *a = echoes.magnitude[k] + begin, *b = echoes.magnitude[k + 1] + begin,
                        *c = echoes.magnitude[k + 2] + begin;
#pragma omp simd
            for (std::size_t i = 0; i < n; ++i) {
                const float weight = a[i] + 2.0f * b[i];
                numerator[i] += 3.0f * per_spacing * (a[i] - c[i]) * weight;
                denominator[i] += (a[i] + 4.0f * b[i] + c[i]) * weight;
            }
        }
        set_rates(echoes, begin, n, numerator, denominator, rate);
        finish(echoes, begin, n, rate, s0);
    });
}

Relaxation numart(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                  const RelaxationOptions& options)
{
    const Echoes echoes = checked_echoes("numart", magnitude, echo_times_s, options, 2);
    return fit_chunks(magnitude[0].grid(), [&](std::size_t begin, std::size_t n, float* rate, float* s0) {
        Chunk drop, area{};
        for (std::size_t k = 0; k + 1 < echoes.n(); ++k) {
            const float *a = echoes.magnitude[k] + begin, *b = echoes.magnitude[k + 1] + begin;
            const float half = 0.5f * (echoes.time_s[k + 1] - echoes.time_s[k]);
#pragma omp simd
            for (std::size_t i = 0; i < n; ++i) area[i] += half * (a[i] + b[i]);
        }
        const float *first = echoes.magnitude.front() + begin, *last = echoes.magnitude.back() + begin;
        for (std::size_t i = 0; i < n; ++i) drop[i] = first[i] - last[i];
        set_rates(echoes, begin, n, drop, area, rate);
        finish(echoes, begin, n, rate, s0);
    });
}

void fit_log_lines(const Echoes& echoes, std::size_t begin, std::size_t n, float* rate_per_s, float* s0)
{
    // Signal relative to the first echo and times from it: all sums are of order one, whatever the units.
    // Without the floor of the noise, see log_linear().
    Chunk w{}, wt{}, wtt{}, wl{}, wtl{}, variance{};
    const float* first = echoes.magnitude[0] + begin;
    for (std::size_t i = 0; i < n; ++i) {
        const float noise = echoes.has_signal(begin + i) ? echoes.noise_std / first[i] : 0.0f;
        variance[i] = noise * noise;
    }
    const float unit_s = echoes.time_s.back();
    for (std::size_t k = 0; k < echoes.n(); ++k) {
        const float* m = echoes.magnitude[k] + begin;
        const float t = echoes.time_s[k] / unit_s;
        const float floor = k < 2 ? 0.0f : echoes.floor;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            const float relative = m[i] / first[i];
            const bool used = m[i] > floor && relative > 1e-15f && relative < 1e15f;
            const float power = relative * relative - variance[i];
            const float a2 = used ? (power > variance[i] ? power : variance[i]) : 1.0f;
            const float weight = used ? a2 : 0.0f, l = 0.5f * fast_log(a2);
            w[i] += weight;
            wt[i] += weight * t;
            wtt[i] += weight * t * t;
            wl[i] += weight * l;
            wtl[i] += weight * t * l;
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        const float spread = w[i] * wtt[i] - wt[i] * wt[i];
        // A single usable echo leaves a spread of rounding errors.
        const bool known = echoes.has_signal(begin + i) && spread > 1e-6f * w[i] * wtt[i];
        const float slope = (w[i] * wtl[i] - wt[i] * wl[i]) / spread;
        rate_per_s[i] = known ? echoes.clamped(-slope / unit_s) : -1.0f;
    }
    finish(echoes, begin, n, rate_per_s, s0);
}

Relaxation log_linear(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                      const RelaxationOptions& options)
{
    const Echoes echoes = checked_echoes("log_linear", magnitude, echo_times_s, options, 2);
    return fit_chunks(magnitude[0].grid(), [&](std::size_t begin, std::size_t n, float* rate, float* s0) {
        fit_log_lines(echoes, begin, n, rate, s0);
    });
}

}  // namespace qsmpi::relaxometry
