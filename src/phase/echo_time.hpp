#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::phase
{

/// Echoes of one scan, offsets removed: what is known of a voxel from its phases over time. Refers to its
/// arguments, keeps none of them. An echo is missing at a voxel where its magnitude is 0 or one of the two is
/// not finite.
class EchoesInTime
{
public:
    EchoesInTime(std::span<const VolumeF> wrapped_phase_rad, std::span<const VolumeF> magnitude,
                 std::span<const double> echo_times_s, const Mask* mask)
        : phase_(wrapped_phase_rad), magnitude_(magnitude), times_s_(echo_times_s), mask_(mask)
    {
    }

    /// Voxels of the mask where each echo is present.
    [[nodiscard]] std::vector<std::size_t> count_present() const;

    /// The mask without the voxels where the template is missing but another echo is not; empty if there are
    /// none.
    [[nodiscard]] Mask without_gaps(std::size_t i_template) const;

    /// Unwraps the other echoes, later ones first, against the field that all echoes unwrapped so far agree
    /// on, the m^2 TE^2 weighted mean, which is less noisy than the echo before alone. Simulated voxels with
    /// at least one echo on a wrong turn, T2* 30 ms: TE 4, 12, 20, 28 ms at a signal-to-noise ratio of 4 (at
    /// TE 0) 1.1 % against 2.2 %; 5 echoes from 5 to 25 ms 0.45 % against 1.4 %.
    /// @param domain  voxels to unwrap; null: all; the others become 0
    void unwrap_from(std::size_t i_template, const Mask* domain, std::vector<VolumeF>& unwrapped) const;

    /// Carries the field from `known` voxels into gaps of the mask, layer by layer: neighbours predict the
    /// field, and the echoes that are present are unwrapped against it.
    void grow_into_gaps(const Mask& known, std::vector<VolumeF>& unwrapped) const;

    /// Phase of echo k at a voxel as the unwrapped echoes before it predict it (m^2 TE^2 weighted field).
    [[nodiscard]] float expected_phase(std::span<const VolumeF> unwrapped, std::size_t k, std::size_t v) const;

private:
    [[nodiscard]] bool present(std::size_t k, std::size_t v) const;
    [[nodiscard]] bool in_mask(std::size_t v) const { return mask_ == nullptr || (*mask_)[v] != 0; }

    std::span<const VolumeF> phase_, magnitude_;
    std::span<const double> times_s_;
    const Mask* mask_;
};

}  // namespace qsmpi::phase
