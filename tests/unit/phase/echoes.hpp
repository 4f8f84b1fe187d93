#pragma once
#include <cmath>
#include <complex>
#include <random>
#include <vector>

#include "qsmpi/core/units.hpp"
#include "volumes.hpp"

/// Simulated echoes with a known field, written apart from the code under test.
namespace qsmpi::test
{

struct Echoes {
    std::vector<VolumeF> phase_rad, magnitude;
    std::vector<double> echo_times_s;
};

/// Phase in [-pi, pi] by the complex plane.
inline float wrapped_by_atan2(double x)
{
    return static_cast<float>(std::atan2(std::sin(x), std::cos(x)));
}

inline VolumeF wrapped_copy(const VolumeF& v)
{
    VolumeF out(v.grid());
    for (std::size_t i = 0; i < v.size(); ++i) out[i] = wrapped_by_atan2(static_cast<double>(v[i]));
    return out;
}

/// Signal m exp(-TE R2*) exp(i (offset + 2 pi f TE [+ g on even echoes])) plus complex noise. Null: term
/// absent.
inline Echoes simulate_echoes(const VolumeF& field_hz, const VolumeF& magnitude,
                              std::vector<double> echo_times_s, double noise_std, double r2star_per_s = 0.0,
                              const VolumeF* offset_rad = nullptr, const VolumeF* alternating_rad = nullptr,
                              unsigned seed = 7)
{
    Echoes e;
    std::mt19937 random(seed);
    std::normal_distribution<double> normal(0.0, noise_std > 0.0 ? noise_std : 1.0);
    for (std::size_t k = 0; k < echo_times_s.size(); ++k) {
        VolumeF p(field_hz.grid()), m(field_hz.grid());
        for (std::size_t i = 0; i < field_hz.size(); ++i) {
            double angle = units::rad_from_hz(static_cast<double>(field_hz[i]), echo_times_s[k]);
            if (offset_rad != nullptr) angle += static_cast<double>((*offset_rad)[i]);
            if (alternating_rad != nullptr && k % 2 == 1) angle += static_cast<double>((*alternating_rad)[i]);
            std::complex<double> s = std::polar(
                static_cast<double>(magnitude[i]) * std::exp(-echo_times_s[k] * r2star_per_s), angle);
            if (noise_std > 0.0) s += std::complex<double>(normal(random), normal(random));
            p[i] = static_cast<float>(std::arg(s));
            m[i] = static_cast<float>(std::abs(s));
        }
        e.phase_rad.push_back(std::move(p));
        e.magnitude.push_back(std::move(m));
    }
    e.echo_times_s = std::move(echo_times_s);
    return e;
}

/// Voxels of the mask where two phases differ by anything but one common multiple of 2 pi (that of the first
/// voxel).
inline std::size_t wrong_voxels(const VolumeF& result, const VolumeF& truth, const Mask& mask,
                                double tolerance_rad)
{
    std::size_t wrong = 0;
    double shift = std::nan("");
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (!mask[i]) continue;
        const double difference = static_cast<double>(result[i]) - static_cast<double>(truth[i]);
        if (std::isnan(shift)) shift = units::two_pi * std::round(difference / units::two_pi);
        wrong += std::abs(difference - shift) <= tolerance_rad ? 0 : 1;
    }
    return wrong;
}

/// Largest distance of (result - wrapped) from a multiple of 2 pi, in turns.
inline double worst_incongruence(const VolumeF& result, const VolumeF& wrapped, const Mask& mask)
{
    double worst = 0.0;
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (!mask[i]) continue;
        const double turns =
            (static_cast<double>(result[i]) - static_cast<double>(wrapped[i])) / units::two_pi;
        worst = std::max(worst, std::abs(turns - std::round(turns)));
    }
    return worst;
}

}  // namespace qsmpi::test
