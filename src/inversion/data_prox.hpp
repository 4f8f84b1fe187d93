#pragma once
#include <functional>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion::detail {

/// Proximal map of a data term, for n voxels from index `at` of the box: v = argmin phi(v) + mu/2 (v - t)^2. Voxels of
/// weight 0 have phi = 0 and so v = t.
using DataProx = std::function<void(std::size_t at, std::size_t n, const float* t, float* v)>;

// The data terms phi below take field f [ppm] and weight w of the box, which must outlive the map. Where the phase
// r (v - f) is small, r being the phase of 1 ppm in radians, those of the phase become the linear ones.

/// w^2/2 (v - f)^2
[[nodiscard]] DataProx linear_l2(const VolumeF& field_ppm, const VolumeF& weight, double mu);
/// w |v - f|; mu in 1/ppm
[[nodiscard]] DataProx linear_l1(const VolumeF& field_ppm, const VolumeF& weight, double mu_per_ppm);
/// w^2/(2 r^2) |exp(i r v) - exp(i r f)|^2 = w^2/r^2 (1 - cos r (v - f)): blind to multiples of 2 pi
[[nodiscard]] DataProx phase_l2(const VolumeF& field_ppm, const VolumeF& weight, double mu, double radians_per_ppm);
/// w/r |exp(i r v) - exp(i r f)| = 2 w/r |sin r (v - f)/2|; mu in 1/ppm
[[nodiscard]] DataProx phase_l1(const VolumeF& field_ppm, const VolumeF& weight, double mu_per_ppm,
                                double radians_per_ppm);

/// Phase of 1 ppm that stands in where the scan's is not known: at 3 T after 20 ms [rad/ppm].
inline constexpr double fallback_radians_per_ppm = 6.283185307179586 * 42.577478518 * 3.0 * 0.020;

/// sin and cos of half an angle in [-pi, pi]; absolute error below 2e-7. Inline, so that loops over voxels vectorise.
struct HalfAngle {
    explicit HalfAngle(float angle_rad)
    {
        const float h = 0.5F * angle_rad, s = h * h;
        // Polynomials in h^2 through Chebyshev points of [0, (pi/2)^2].
        const float odd = 8.33305009e-3F + s * (-1.98090111e-4F + s * 2.60509296e-6F);
        const float even = -1.38883601e-3F + s * (2.47601015e-5F - s * 2.60505107e-7F);
        sine = h * (0.999999996F + s * (-0.166666579F + s * odd));
        cosine = 1.0F + s * (-0.499999994F + s * (4.16666361e-2F + s * even));
    }
    float sine, cosine;
};

}  // namespace qsmpi::inversion::detail
