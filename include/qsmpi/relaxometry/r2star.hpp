#pragma once
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::relaxometry {

/// Decay of the signal S(TE) = s0 exp(-r2star TE), voxel by voxel.
struct Relaxation {
    VolumeF r2star_per_s;  ///< in [0, max_r2star_per_s]; 0 where there is no signal
    VolumeF s0;            ///< signal at echo time 0, in units of the magnitude; 0 where there is no signal
};

struct RelaxationOptions {
    double noise_std = 0.0;            ///< standard deviation of the real part, in units of the magnitude; 0: not known
    double max_r2star_per_s = 1000.0;  ///< larger and negative rates are clamped
};

// All methods take the magnitude of each echo, in any order of the echoes, and throw InputError for counts or grids that
// differ, for too few echoes and for times that are equal or not positive. Without signal are voxels whose first echo is
// below three times the noise, zero or not finite. One pass over the echoes, O(1) memory besides the maps, the same bits
// for any number of threads.

/// Weighted least squares that knows the Rician noise floor; two echoes or more. The default of three and more; of two it
/// goes wild where the second is lost in the noise, and log_linear() is better.
///
/// The squared magnitude has the mean A^2 + 2 sigma^2 and the variance 4 sigma^2 (A^2 + sigma^2) exactly, so scoring
/// steps on sum (S^2 - 2 sigma^2 - A^2)^2 / variance have no bias of the floor and, at high signal, the variance of the
/// Cramer-Rao bound. Echoes that are not finite are left out. Starts from log_linear(), at most 10 steps.
/// Moments: Gudbjartsson & Patz, Magn. Reson. Med. 34:910-914, 1995. algorithms.md 9.
[[nodiscard]] Relaxation nonlinear(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                                   const RelaxationOptions& options = {});

/// Auto-regression on linear operations: the decay between echoes against its integral by Simpson's rule. Three or more
/// echoes, equally spaced. Noise-free bias below 0.1 % while the spacing is shorter than T2*; later echoes in the noise
/// floor pull the rate down. A voxel with an echo that is not finite gets 0.
/// Pei et al., Magn. Reson. Med. 73:843-850, 2015.
[[nodiscard]] Relaxation arlo(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                              const RelaxationOptions& options = {});

/// Line through log A with weights A^2; two echoes or more. A^2 = S^2 - sigma^2 is the amplitude that most likely gave S, but
/// for terms of higher order in sigma / S, and at least sigma^2: what is lost in the noise tells no faster decay. Echoes
/// from the third on that are below three times the noise are left out, and so is all that is not positive and finite.
[[nodiscard]] Relaxation log_linear(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                                    const RelaxationOptions& options = {});

/// Area under the decay by the trapezoid rule over its drop; two echoes or more. Fast and rough: its bias is a twelfth of
/// (spacing / T2*)^2. A voxel with an echo that is not finite gets 0.
/// Hagberg et al., Magn. Reson. Med. 48:877-882, 2002.
[[nodiscard]] Relaxation numart(std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                                const RelaxationOptions& options = {});

/// 1 / r2star [s], at most longest_s; 0 where there is no signal.
[[nodiscard]] VolumeF t2star_s(const VolumeF& r2star_per_s, const VolumeF& s0, double longest_s = 1.0);

/// True if the echo times are equally spaced to 1 part in 1000, as arlo() needs them. At least three.
[[nodiscard]] bool equally_spaced(std::span<const double> echo_times_s);

}  // namespace qsmpi::relaxometry
