#include "qsmpi/numerics/harmonic_polynomials.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/vector.hpp"

namespace qsmpi::numerics {

using namespace vector;
HarmonicPolynomials::HarmonicPolynomials(const Grid& whole, const Box& box, int order, const UnitVector& axis_ijk, double curvature)
    : order_(order), sign_(curvature < 0.0 ? -1.0 : 1.0)
{
    require(order >= 0 && order <= highest_order, str("polynomials of order ", order, "; expected 0 to ", highest_order));
    QSMPI_ASSERT(curvature != 0.0);
    double longest_mm = 0.0;
    for (std::size_t a = 0; a < 3; ++a) {
        const auto axis = static_cast<int>(a);
        const auto n = static_cast<double>(box.dims[axis]);
        centre_[a] = static_cast<double>(box.first[axis]) + 0.5 * (n - 1.0);
        longest_mm = std::max(longest_mm, 0.5 * n * whole.voxel_mm[a]);
    }
    // u is the voxel axis farthest from w, made perpendicular to it.
    const auto farthest =
        std::min_element(axis_ijk.begin(), axis_ijk.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    const auto across = static_cast<std::size_t>(farthest - axis_ijk.begin());
    Vec3 u{};
    for (std::size_t a = 0; a < 3; ++a) u[a] = (a == across ? 1.0 : 0.0) - axis_ijk[across] * axis_ijk[a];
    const double length = std::sqrt(dot(u, u));
    for (double& x : u) x /= length;
    const Vec3 v = cross(axis_ijk, u);
    for (std::size_t a = 0; a < 3; ++a) {
        const double step = whole.voxel_mm[a] / longest_mm;
        axes_[0][a] = step * u[a];
        axes_[1][a] = step * v[a];
        axes_[2][a] = step * axis_ijk[a] / std::sqrt(std::abs(curvature));
    }
}

// A_l^m(s, q) times real and imaginary part of (u + iv)^m, where q = u^2 + v^2 +- s^2 and
// (l + 1 - m) A_{l+1} = (2l + 1) s A_l -+ (l + m) q A_{l-1}: the solid harmonics, of a third coordinate i s where c is negative.
void HarmonicPolynomials::at(std::size_t i, std::size_t j, std::size_t k, Values& values) const
{
    const Vec3 r{static_cast<double>(i) - centre_[0], static_cast<double>(j) - centre_[1], static_cast<double>(k) - centre_[2]};
    const double u = dot(axes_[0], r), v = dot(axes_[1], r), s = dot(axes_[2], r);
    const double q = sign_ * (u * u + v * v) + s * s;
    std::size_t n = 0;
    double cosine = 1.0, sine = 0.0;  // of m phi, times (u^2 + v^2)^(m/2)
    for (int m = 0; m <= order_; ++m) {
        double before = 0.0, now = 1.0;
        for (int l = m; l <= order_; ++l) {
            values[n++] = now * cosine;
            if (m > 0) values[n++] = now * sine;
            const double next = ((2 * l + 1) * s * now - (l + m) * q * before) / (l + 1 - m);
            before = now;
            now = next;
        }
        const double turned = cosine * u - sine * v;
        sine = cosine * v + sine * u;
        cosine = turned;
    }
}

void HarmonicPolynomials::subtract_from(VolumeF& volume, const Mask& mask, const std::vector<double>& coefficients) const
{
    QSMPI_ASSERT(coefficients.size() == size());
    const Dims& d = mask.dims();
    parallel::for_each(d.nz, [&](std::size_t z) {
        Values p;
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                if (mask(x, y, z) == 0) continue;
                at(x, y, z, p);
                volume(x, y, z) -= static_cast<float>(std::inner_product(coefficients.begin(), coefficients.end(), p.data(), 0.0));
            }
    });
}

}  // namespace qsmpi::numerics
