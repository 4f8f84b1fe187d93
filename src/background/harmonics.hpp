#pragma once
#include <array>
#include <cstddef>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::background {

/// The nine solid harmonics up to order two, in coordinates of 100 mm around the grid's centre: what sources far beyond
/// the field of view, the shim and the centre frequency leave in the field.
class Harmonics {
public:
    static constexpr std::size_t n = 9;
    using Coefficients = std::array<double, n>;

    /// Prepares weighted least squares with weights w^2; voxels of weight 0 do not count.
    Harmonics(const Grid& grid, const VolumeF& squared_weight);
    /// Coefficients of the weighted least-squares fit to `field`.
    [[nodiscard]] Coefficients fit(const VolumeF& field) const;
    /// field(row y, z) -= the polynomial.
    void subtract_row(const Coefficients& c, std::size_t y, std::size_t z, float* row) const;

private:
    [[nodiscard]] std::array<double, n> moments(const VolumeF& field) const;
    Grid grid_;
    const VolumeF& squared_weight_;
    std::array<std::array<double, n>, n> cholesky_{};  ///< lower triangle of A^T W^2 A (plus a trace-scaled ridge)
};

}  // namespace qsmpi::background
