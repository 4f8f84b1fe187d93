#include <algorithm>

#include "echoes.hpp"

namespace qsmpi::relaxometry {
namespace {

constexpr int most_iterations = 10;
// Steps are limited, since far from the minimum scoring may jump: in log s0, and in the rate times the last echo time.
constexpr float largest_step = 1.0f;
// Change of the rate times the last echo time at which a chunk is done; the error then is the square of this.
constexpr float converged_step = 1e-4f;

/// Scoring for one chunk. Signal is relative to the first echo, times are in units of the last.
class ChunkFit {
public:
    ChunkFit(const Echoes& echoes, float noise_std) : echoes_(echoes), noise_std_(noise_std), power_(echoes.n()), used_(echoes.n())
    {
        for (const float t : echoes.time_s) time_.push_back(t / echoes.time_s.back());
    }

    void fit(std::size_t begin, std::size_t n, float* rate_per_s, float* s0)
    {
        if (!load(begin, n, rate_per_s, s0)) return;
        for (int i = 0; i < most_iterations && step(n) > converged_step; ++i) {}
        const float unit_s = echoes_.time_s.back();
        for (std::size_t i = 0; i < n; ++i) {
            if (s0[i] == 0.0f) continue;
            const float fitted_per_s = rate_[i] / unit_s;
            rate_per_s[i] = echoes_.clamped(fitted_per_s);
            // At a bound s0 is the best for that rate.
            const float relative = rate_per_s[i] == fitted_per_s && rate_[i] > 0.0f ? fast_exp(log_s0_[i])
                                                                                     : amplitude_at(i, rate_per_s[i] * unit_s);
            s0[i] = relative * echoes_.magnitude[0][begin + i];
        }
    }

private:
    /// False if no voxel of the chunk has signal.
    bool load(std::size_t begin, std::size_t n, float* rate_per_s, float* s0)
    {
        fit_log_lines(echoes_, begin, n, rate_per_s, s0);
        const float* first = echoes_.magnitude[0] + begin;
        bool any = false;
        for (std::size_t i = 0; i < n; ++i) {
            const bool known = s0[i] > 0.0f;
            any = any || known;
            scale_[i] = known ? 1.0f / first[i] : 0.0f;
            variance_[i] = noise_std_ * scale_[i] * (noise_std_ * scale_[i]);
            rate_[i] = rate_per_s[i] * echoes_.time_s.back();
            log_s0_[i] = known ? fast_log(s0[i] * scale_[i]) : 0.0f;
        }
        if (!any) return false;
        for (std::size_t k = 0; k < echoes_.n(); ++k) {
            const float* m = echoes_.magnitude[k] + begin;
#pragma omp simd
            for (std::size_t i = 0; i < n; ++i) {
                const bool used = Echoes::usable(m[i]) && scale_[i] > 0.0f;
                const float s = used ? m[i] * scale_[i] : 0.0f;
                power_[k][i] = s * s - 2.0f * variance_[i];
                used_[k][i] = used ? 1.0f : 0.0f;
            }
        }
        return true;
    }

    /// One step of every voxel; the largest change of a rate.
    float step(std::size_t n)
    {
        // Information sum h (1, -t)(1, -t)' and score sum g (1, -t), up to a factor that cancels.
        Chunk h{}, ht{}, htt{}, g{}, gt{};
        for (std::size_t k = 0; k < echoes_.n(); ++k) {
            const float t = time_[k];
            const float *power = power_[k].data(), *used = used_[k].data();
#pragma omp simd
            for (std::size_t i = 0; i < n; ++i) {
                const float a2 = fast_exp(2.0f * (log_s0_[i] - rate_[i] * t));
                const float a = used[i] * a2 / (a2 + variance_[i]);
                const float weight = 2.0f * a * a2, score = a * (power[i] - a2);
                h[i] += weight;
                ht[i] += weight * t;
                htt[i] += weight * t * t;
                g[i] += score;
                gt[i] += score * t;
            }
        }
        float largest = 0.0f;
#pragma omp simd reduction(max : largest)
        for (std::size_t i = 0; i < n; ++i) {
            const float determinant = h[i] * htt[i] - ht[i] * ht[i];
            const float inverse = determinant > 1e-6f * h[i] * htt[i] ? 1.0f / determinant : 0.0f;
            const float by_rate = limited(inverse * (ht[i] * g[i] - h[i] * gt[i]));
            log_s0_[i] += limited(inverse * (htt[i] * g[i] - ht[i] * gt[i]));
            rate_[i] += by_rate;
            largest = std::max(largest, std::abs(by_rate));
        }
        return largest;
    }

    static float limited(float x) { return x < -largest_step ? -largest_step : (x > largest_step ? largest_step : x); }

    /// s0 that fits the powers best in the least squares, the rate given.
    [[nodiscard]] float amplitude_at(std::size_t i, float rate) const
    {
        float sum = 0.0f, n = 0.0f;
        for (std::size_t k = 0; k < echoes_.n(); ++k) {
            const float a = used_[k][i] * fast_exp(-2.0f * rate * time_[k]);
            sum += a * power_[k][i];
            n += a * a;
        }
        return std::sqrt(std::max(sum / n, 0.0f));
    }

    const Echoes& echoes_;
    float noise_std_;
    std::vector<float> time_;
    std::vector<Chunk> power_, used_;
    Chunk scale_{}, variance_{}, rate_{}, log_s0_{};
};

}  // namespace

Relaxation nonlinear(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                     const RelaxationOptions& options)
{
    const Echoes echoes = checked_echoes("nonlinear", magnitude, echo_times_s, options, 2);
    const auto noise_std = static_cast<float>(options.noise_std);
    Relaxation r{VolumeF(magnitude[0].grid()), VolumeF(magnitude[0].grid())};
    parallel::for_blocks(r.s0.size(), [&](std::size_t block_begin, std::size_t block_end) {
        ChunkFit chunk(echoes, noise_std);
        for (std::size_t begin = block_begin; begin < block_end; begin += chunk_voxels)
            chunk.fit(begin, std::min(chunk_voxels, block_end - begin), r.r2star_per_s.data() + begin,
                      r.s0.data() + begin);
    });
    return r;
}

}  // namespace qsmpi::relaxometry
