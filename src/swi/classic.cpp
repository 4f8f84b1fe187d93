#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/swi/swi.hpp"

namespace qsmpi::swi {

VolumeF classic_swi(const VolumeF& magnitude, const VolumeF& phase_rad, const Mask& mask, const ClassicSwiOptions& options)
{
    require_same_grid(magnitude, phase_rad, "classic_swi: magnitude and phase");
    require_same_grid(magnitude, mask, "classic_swi: magnitude and mask");
    require(options.low_pass_sigma_mm > 0.0 && options.power >= 1, "classic_swi: sigma and power must be positive");

    VolumeF real(magnitude.grid()), imaginary(magnitude.grid()), image(magnitude.grid());
    const auto signal = [&](std::size_t i) {
        const bool known = mask[i] != 0 && std::isfinite(magnitude[i]) && std::isfinite(phase_rad[i]);
        return known ? magnitude[i] : 0.0f;
    };
    parallel::for_blocks(image.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float m = signal(i);
            real[i] = m == 0.0f ? 0.0f : m * std::cos(phase_rad[i]);
            imaginary[i] = m == 0.0f ? 0.0f : m * std::sin(phase_rad[i]);
        }
    });
    numerics::gaussian_smooth_complex(real, imaginary, options.low_pass_sigma_mm);

    constexpr auto per_pi = static_cast<float>(1.0 / units::pi);
    parallel::for_blocks(image.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float m = std::isfinite(magnitude[i]) ? magnitude[i] : 0.0f;
            image[i] = m;
            if (signal(i) == 0.0f) continue;
            const float c = std::cos(phase_rad[i]), s = std::sin(phase_rad[i]);
            // The angle of signal times conjugate low pass.
            const float angle = std::atan2(s * real[i] - c * imaginary[i], c * real[i] + s * imaginary[i]);
            const float ramp = 1.0f - per_pi * std::max(angle, 0.0f);
            for (int p = 0; p < options.power; ++p) image[i] *= ramp;
        }
    });
    return image;
}

}  // namespace qsmpi::swi
