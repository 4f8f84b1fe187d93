#pragma once
#include <cstddef>
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// Checks counts, grids and that echo times are positive and rise. `who` names the caller in messages.
/// @throws InputError
void check_rising_echoes(const char* who, std::span<const VolumeF> phase_rad,
                         std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                         std::size_t least_echoes);

/// Whether x is a whole number for our purposes (echo time ratios, 1 %).
[[nodiscard]] bool nearly_whole(double x);

/// Product of the magnitudes of two echoes at a voxel, 1 without magnitude, 0 where it is not finite.
[[nodiscard]] float pair_weight(std::span<const VolumeF> magnitude, std::size_t i_echo, std::size_t j_echo,
                                std::size_t v);

/// Product of the magnitudes of two echoes above which there is signal: that of a tenth of the 95th percentile.
[[nodiscard]] float signal_threshold(std::span<const VolumeF> magnitude, std::size_t i_echo, std::size_t j_echo);

/// Largest connected part where sqrt(m_i m_j) exceeds a tenth of its 95th percentile and both phases are
/// finite.
[[nodiscard]] Mask signal_mask(std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                               std::size_t i_echo, std::size_t j_echo);

/// Smooths a weighted phasor in place and returns its argument [rad], any multiple of 2 pi apart. The mean
/// phase slope is taken out before and put back after: plain smoothing is biased by a slope wherever the
/// weights are lopsided, as at the rim of the head, and would extrapolate flatly. Where the smoothed phasor
/// vanishes (far from any signal) the argument comes from a pass 4 times as wide.
[[nodiscard]] VolumeF smoothed_argument(VolumeF& real, VolumeF& imaginary, double sigma_mm);

}  // namespace qsmpi::phase
