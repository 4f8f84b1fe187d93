#pragma once
#include <cmath>

/// Sine, cosine and arc tangent that compilers turn into vector code; those of the library are called voxel by
/// voxel.
namespace qsmpi::phase
{

struct SinCos {
    float sine, cosine;
};

/// Error below 2e-7 for |x| < 1000; NaN stays NaN.
[[nodiscard]] inline SinCos sin_cos(float x)
{
    // pi / 2 in three parts, so that the reduction keeps its digits.
    constexpr float high = 1.5703125f, middle = 4.8375129699e-4f, low = 7.5495059767e-8f;
    const float k = std::rint(x * 0.63661977f);
    const float r = ((x - k * high) - k * middle) - k * low;
    const float r2 = r * r;
    const float s = r + r * r2 * (-1.6666655e-1f + r2 * (8.3321609e-3f + r2 * -1.9515296e-4f));
    const float c =
        1.0f - 0.5f * r2 + r2 * r2 * (4.1666646e-2f + r2 * (-1.3887316e-3f + r2 * 2.4433157e-5f));
    // k mod 4 in {-2, -1, 0, 1, 2}, without integers.
    const float q = k - 4.0f * std::rint(0.25f * k);
    const bool odd = q == 1.0f || q == -1.0f, half = q == 2.0f || q == -2.0f;
    const float sine = odd ? c : s, cosine = odd ? s : c;
    return {half || q == -1.0f ? -sine : sine, half || q == 1.0f ? -cosine : cosine};
}

/// Angle of (x, y) in [-pi, pi]; error below 3e-7; 0 for (0, 0). Abramowitz & Stegun 4.4.49.
[[nodiscard]] inline float arc_tangent(float y, float x)
{
    constexpr float pi = 3.14159265f, half_pi = 1.57079633f;
    const float ax = std::abs(x), ay = std::abs(y);
    const float larger = ax > ay ? ax : ay, smaller = ax > ay ? ay : ax;
    const float t = smaller / (larger > 0.0f ? larger : 1.0f), t2 = t * t;
    const float polynomial =
        1.0f +
        t2 * (-0.3333314528f +
              t2 * (0.1999355085f +
                    t2 * (-0.1420889944f +
                          t2 * (0.1065626393f +
                                t2 * (-0.0752896400f +
                                      t2 * (0.0429096138f + t2 * (-0.0161657367f + t2 * 0.0028662257f)))))));
    float angle = t * polynomial;
    angle = ay > ax ? half_pi - angle : angle;
    angle = x < 0.0f ? pi - angle : angle;
    return y < 0.0f ? -angle : angle;
}

}  // namespace qsmpi::phase
