#pragma once
#include <array>
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::numerics {

/// The homogeneous polynomials p, up to an order, of position in a box of voxels that solve p_uu + p_vv + c p_ww = 0, where w
/// runs along an axis and u and v across it: 2 l + 1 of them of each order l. With c = 1 they are the solid harmonics, the fields
/// of sources outside. Positions are taken from the box's centre in units of its longest half axis.
class HarmonicPolynomials {
public:
    static constexpr int highest_order = 8;
    static constexpr std::size_t most = (highest_order + 1) * (highest_order + 1);
    using Values = std::array<double, most>;

    /// @param axis_ijk   unit vector w in voxel axes
    /// @param curvature  c, not 0
    /// @throws InputError if the order is outside [0, highest_order]
    HarmonicPolynomials(const Grid& whole, const Box& box, int order, const UnitVector& axis_ijk = {0.0, 0.0, 1.0},
                        double curvature = 1.0);

    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>((order_ + 1) * (order_ + 1)); }
    /// The first size() of `values` become those at a voxel of the whole grid. The very first is 1.
    void at(std::size_t i, std::size_t j, std::size_t k, Values& values) const;
    /// Subtracts the sum of coefficient times polynomial, of which there are size(), in the mask.
    void subtract_from(VolumeF& volume, const Mask& mask, const std::vector<double>& coefficients) const;

private:
    int order_;
    double sign_;                ///< of c
    Vec3 centre_{};              ///< [voxels]
    std::array<Vec3, 3> axes_{}; ///< u, v, w / sqrt|c| of a step of one voxel along each axis
};

}  // namespace qsmpi::numerics
