#include "romeo_weights.hpp"

#include <algorithm>
#include <cmath>

#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

/// A term t in [0, 1] scales the weight to no less than a tenth.
inline float factor(float term)
{
    return 0.1f + 0.9f * term;
}

/// max(0, x), and 0 for NaN.
inline float positive(float x)
{
    return x > 0.0f ? x : 0.0f;
}

inline float linearity_of(float a, float b, float c)
{
    const float t = 1.0f - 0.5f * std::abs(wrap(a - 2.0f * b + c));
    return t != t ? 0.5f : positive(t);
}

template <bool with_second, bool with_magnitude, bool with_linearity>
void weights_of(const WeightTerms& terms, std::size_t first, std::size_t n, std::size_t stride,
                bool has_outer, float* weights)
{
    constexpr float per_pi = 1.0f / pi_f;
    const float* p = terms.phase_rad + first;
    const float* p_next = p + stride;
    const float* s = with_second ? terms.second_phase_rad + first : nullptr;
    const float* s_next = with_second ? s + stride : nullptr;
    const float* m = with_magnitude ? terms.magnitude + first : nullptr;
    const float* m_next = with_magnitude ? m + stride : nullptr;
    const float ratio = terms.echo_time_ratio;
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const float step = wrap(p[i] - p_next[i]);
        float w = factor(1.0f - std::abs(step) * per_pi);
        if constexpr (with_second) {
            w *= factor(positive(1.0f - std::abs(step - ratio * wrap(s[i] - s_next[i]))));
        }
        if constexpr (with_magnitude) {
            const float smaller = m[i] < m_next[i] ? m[i] : m_next[i];
            const float larger = m[i] < m_next[i] ? m_next[i] : m[i];
            const float quotient = smaller / larger;  // 0/0 and NaN become 0 in the next line
            w *= factor(quotient > 0.0f ? quotient * quotient : 0.0f);
        }
        weights[i] = w;
    }
    if constexpr (with_linearity) {
        if (!has_outer) {
            for (std::size_t i = 0; i < n; ++i) weights[i] *= factor(0.9f);
            return;
        }
        const float* before = p - stride;
        const float* after = p_next + stride;
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) {
            weights[i] *=
                factor(linearity_of(before[i], p[i], p_next[i]) * linearity_of(p[i], p_next[i], after[i]));
        }
    }
}

}  // namespace

WeightTerms weight_terms(const VolumeF& wrapped_phase_rad, const RomeoInput& input, bool linearity)
{
    WeightTerms terms{.phase_rad = wrapped_phase_rad.data(), .linearity = linearity};
    if (input.mask != nullptr) require_same_grid(wrapped_phase_rad, *input.mask, "romeo: phase and mask");
    if (input.magnitude != nullptr) {
        require_same_grid(wrapped_phase_rad, *input.magnitude, "romeo: phase and magnitude");
        terms.magnitude = input.magnitude->data();
    }
    if (input.second_phase_rad != nullptr) {
        require_same_grid(wrapped_phase_rad, *input.second_phase_rad, "romeo: phases of two echoes");
        require(input.echo_time_s > 0.0 && input.second_echo_time_s > 0.0,
                str("romeo: echo times ", input.echo_time_s, " s and ", input.second_echo_time_s,
                    " s must be positive when a second echo is given"));
        terms.second_phase_rad = input.second_phase_rad->data();
        terms.echo_time_ratio = static_cast<float>(input.echo_time_s / input.second_echo_time_s);
    }
    return terms;
}

void edge_weights(const WeightTerms& terms, std::size_t first, std::size_t n, std::size_t stride,
                  bool has_outer, float* weights)
{
    const bool s = terms.second_phase_rad != nullptr;
    const bool m = terms.magnitude != nullptr;
    const auto run = [&]<bool with_second, bool with_magnitude>() {
        if (terms.linearity) {
            weights_of<with_second, with_magnitude, true>(terms, first, n, stride, has_outer, weights);
        } else {
            weights_of<with_second, with_magnitude, false>(terms, first, n, stride, has_outer, weights);
        }
    };
    if (s && m)
        run.template operator()<true, true>();
    else if (s)
        run.template operator()<true, false>();
    else if (m)
        run.template operator()<false, true>();
    else
        run.template operator()<false, false>();
}

void edge_weight_row(const WeightTerms& terms, const Dims& dims, int axis, std::size_t y, std::size_t z,
                     float* weights)
{
    const std::size_t nx = dims.nx;
    const std::size_t row = dims.index(0, y, z);
    if (axis == 0) {
        // Neighbours lie in the row itself, so the first and the last edge lack an outer voxel.
        weights[nx - 1] = -1.0f;
        if (nx == 1) return;
        edge_weights(terms, row, 1, 1, false, weights);
        if (nx > 2) edge_weights(terms, row + nx - 2, 1, 1, false, weights + nx - 2);
        if (nx > 3) edge_weights(terms, row + 1, nx - 3, 1, true, weights + 1);
        return;
    }
    const std::size_t position = axis == 1 ? y : z;
    const std::size_t length = axis == 1 ? dims.ny : dims.nz;
    if (position + 1 >= length) {
        std::fill_n(weights, nx, -1.0f);
        return;
    }
    const bool has_outer = position > 0 && position + 2 < length;
    edge_weights(terms, row, nx, axis == 1 ? nx : nx * dims.ny, has_outer, weights);
}

}  // namespace qsmpi::phase
