#pragma once
#include <array>
#include <cstddef>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::background {

/// What may be in a field beside the fields of sources near by.
enum class LowOrder {
    constant,   ///< the centre frequency alone: no source shows a constant, since the dipole kernel is 0 at k = 0
    harmonic,   ///< solid harmonics up to order two: sources far beyond the field of view, shim, centre frequency
    quadratic,  ///< all polynomials up to order two: the phase of a coil too, which is smooth but not harmonic
};

/// Polynomials up to order two, in coordinates of 100 mm around the grid's centre: nine harmonics, and x^2 + y^2 + z^2;
/// 0 in place of those that are not looked for.
/// Fitted with weights; along a row each is a polynomial in x, so a fit needs three sums a row.
class LowOrderField {
public:
    static constexpr std::size_t n = 10;
    using Coefficients = std::array<double, n>;

    /// Prepares least squares with these weights (1 / variance); voxels of weight 0 do not count.
    LowOrderField(const Grid& grid, const VolumeF& squared_weight, LowOrder kind);

    /// Sums over a row of weight * field * polynomial.
    [[nodiscard]] Coefficients row_moments(std::size_t y, std::size_t z, const float* squared_weight,
                                           const float* field) const;
    /// Coefficients of the least-squares fit to a field with these moments, summed over all rows.
    [[nodiscard]] Coefficients fit(const Coefficients& moments) const;
    [[nodiscard]] Coefficients fit(const VolumeF& field, const VolumeF& squared_weight) const;
    /// The fit along one row: value p[0] + x (p[1] + x p[2]) at positions()[i] = x.
    [[nodiscard]] std::array<float, 3> row_polynomial(const Coefficients& c, std::size_t y, std::size_t z) const;
    [[nodiscard]] const float* positions() const { return position_.data(); }

private:
    /// Each polynomial along the row (y, z): its factors of x^0, x^1, x^2.
    [[nodiscard]] std::array<std::array<double, 3>, n> along_row(std::size_t y, std::size_t z) const;

    Grid grid_;
    LowOrder kind_;
    std::vector<float> position_;
    std::array<std::array<double, n>, n> cholesky_{};  ///< lower triangle of A^T W A (plus a trace-scaled ridge)
};

}  // namespace qsmpi::background
