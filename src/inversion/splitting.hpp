#pragma once
#include "prox_tv.hpp"
#include "qsmpi/inversion/splitting.hpp"
#include "weighted_domain.hpp"

namespace qsmpi::inversion::detail {

/// @throws InputError naming the option that is out of its range
void check(const SplittingOptions& options, const char* who);

/// 0: the fallback. @throws InputError if it is negative or not finite
[[nodiscard]] double checked_radians_per_ppm(double radians_per_ppm, const char* who);

/// A field of sources outside the mask that is found with the map: ProxTv::Settings says what the numbers mean.
struct Harmonic {
    double strength = 0.0, penalty = 0.0;
};

/// Field, weight, kernel and FFT of one problem, for all stages of a method that are solved by ProxTv.
class Splitting {
public:
    /// @throws InputError if grids differ, a weight is negative or not finite, or b0_direction_ijk is no unit vector
    Splitting(const VolumeF& field_ppm, const Mask& mask, const VolumeF* weight, const UnitVector& b0_direction_ijk,
              const SplittingOptions& options, const char* who);

    /// Of the box. Stages may change field and weight between runs.
    [[nodiscard]] WeightedDomain& domain() { return domain_; }
    [[nodiscard]] bool is_empty() const { return detail::is_empty(domain_.mask); }
    /// Minimises the data term of `prox` plus total variation, from `start` or from 0, until the tolerance is
    /// reached. What the run took is added to `result`. @return the map of the box, not masked
    [[nodiscard]] VolumeF run(const DataProx& prox, const SplittingOptions& options, const Observer& observer,
                              Result& result, VolumeF start = {});
    /// The same for a data term that is not convex, after half of the iterations, at most, with a convex one of the
    /// same mu.
    [[nodiscard]] VolumeF run(const DataProx& convex, const DataProx& prox, const SplittingOptions& options,
                              const Observer& observer, Result& result);
    /// Minimises phase_l2() plus total variation and, if asked for, with a field of outside sources. If any phase is
    /// beyond half a turn, a linear data term of magnitudes finds where to begin, in half of the iterations at most:
    /// squares would follow a field that is off by a turn, and that is a minimum of its own.
    [[nodiscard]] VolumeF run_nonlinear(double radians_per_ppm, const SplittingOptions& options,
                                        const Observer& observer, Result& result, const Harmonic& harmonic = {});
    /// D x [ppm] of a map of the box.
    [[nodiscard]] VolumeF field_of(const VolumeF& chi_ppm) const;
    /// The map on the whole grid.
    [[nodiscard]] VolumeF whole(VolumeF& chi_ppm) const { return to_whole(chi_ppm, domain_, whole_); }

private:
    [[nodiscard]] ProxTv solver(const DataProx& prox, const SplittingOptions& options,
                                const Harmonic& harmonic = {}) const;

    Grid whole_;
    WeightedDomain domain_;
    numerics::DipoleKernel dipole_;
    numerics::Fft3 fft_;
};

}  // namespace qsmpi::inversion::detail
