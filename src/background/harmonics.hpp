#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::background {

/// The nine solid harmonics up to order two, in coordinates of 100 mm around the grid's centre: what sources far beyond
/// the field of view, the shim and the centre frequency leave in the field. Fitted with weights; along a row each is
/// a polynomial in x, so a fit needs three sums a row.
class Harmonics {
public:
    static constexpr std::size_t n = 9;
    using Coefficients = std::array<double, n>;

    /// Prepares least squares with these weights (1 / variance); voxels of weight 0 do not count.
    Harmonics(const Grid& grid, const VolumeF& squared_weight);

    /// Sums over a row of weight * field * harmonic.
    [[nodiscard]] Coefficients row_moments(std::size_t y, std::size_t z, const float* squared_weight,
                                           const float* field) const;
    /// Coefficients of the least-squares fit to a field with these moments, summed over all rows.
    [[nodiscard]] Coefficients fit(const Coefficients& moments) const;
    [[nodiscard]] Coefficients fit(const VolumeF& field, const VolumeF& squared_weight) const;
    /// The fit along one row: value p[0] + x (p[1] + x p[2]) at positions()[i] = x.
    [[nodiscard]] std::array<float, 3> row_polynomial(const Coefficients& c, std::size_t y, std::size_t z) const;
    [[nodiscard]] const float* positions() const { return position_.data(); }

private:
    [[nodiscard]] std::array<double, 2> yz(std::size_t y, std::size_t z) const;

    Grid grid_;
    std::vector<float> position_;
    std::array<std::array<double, n>, n> cholesky_{};  ///< lower triangle of A^T W A (plus a trace-scaled ridge)
};

}  // namespace qsmpi::background
