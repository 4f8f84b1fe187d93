#include "echo_sums.hpp"

#include "qsmpi/core/echoes.hpp"

namespace qsmpi::field
{

void check_echoes(const char* who, std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                  std::span<const double> echo_times_s, double noise_std, std::size_t least_echoes)
{
    check_echo_volumes(who, phase_rad, magnitude, echo_times_s, least_echoes);
    require(noise_std > 0.0 && std::isfinite(noise_std),
            str(who, ": noise standard deviation ", noise_std, " must be positive"));
    for (std::size_t k = 0; k < echo_times_s.size(); ++k)
        require(echo_times_s[k] > 0.0 && std::isfinite(echo_times_s[k]),
                str(who, ": echo time ", echo_times_s[k], " s of echo ", k + 1, " must be positive"));
}

void squared_magnitude(const float* phase_rad, const float* magnitude, std::size_t n, float* squared)
{
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const float mm = magnitude == nullptr ? 1.0f : magnitude[i] * magnitude[i];
        // Comparisons with NaN are false; the bound also refuses infinity.
        squared[i] = std::abs(phase_rad[i]) < 1e30f && mm < 1e30f ? mm : 0.0f;
    }
}

FieldMap new_field_map(const Grid& grid, bool with_residual)
{
    FieldMap map{VolumeF(grid), VolumeF(grid), {}};
    if (with_residual) map.relative_residual = VolumeF(grid);
    return map;
}

}  // namespace qsmpi::field
