#include "qsmpi/io/geometry.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{

namespace
{

using Matrix3 = std::array<std::array<double, 3>, 3>;

double determinant3(const Matrix3& m)
{
    return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
           m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
           m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

Matrix3 inverse_transpose(const Matrix3& m)
{
    const double d = determinant3(m);
    Matrix3 out{};
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < 3; ++c) {
            const std::size_t r1 = (r + 1) % 3, r2 = (r + 2) % 3, c1 = (c + 1) % 3, c2 = (c + 2) % 3;
            out[r][c] = (m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]) / d;  // cofactor / determinant
        }
    }
    return out;
}

/// Orthogonal factor of the polar decomposition: the orthogonal matrix nearest to m. Newton's iteration
/// converges quadratically from any non-singular matrix (Higham, SIAM J. Sci. Stat. Comput. 7(4):1160-1174,
/// 1986).
Matrix3 nearest_orthogonal(Matrix3 m)
{
    for (int iteration = 0; iteration < 50; ++iteration) {
        const Matrix3 other = inverse_transpose(m);
        double change = 0.0;
        for (std::size_t r = 0; r < 3; ++r) {
            for (std::size_t c = 0; c < 3; ++c) {
                const double next = 0.5 * (m[r][c] + other[r][c]);
                change = std::max(change, std::abs(next - m[r][c]));
                m[r][c] = next;
            }
        }
        if (change < 1e-15) break;
    }
    return m;
}

}  // namespace

double Geometry::unit_mm() const
{
    switch (xyzt_units & 7) {
        case 1: return 1000.0;
        case 3: return 0.001;
        default: return 1.0;
    }
}

Affine Geometry::sform_affine() const
{
    Affine a{};
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < 4; ++c) a[r][c] = static_cast<double>(sform[r][c]) * unit_mm();
    }
    return a;
}

Affine Geometry::qform_affine() const
{
    // The quaternion is (a, b, c, d) with a >= 0 left out; float rounding may push b^2 + c^2 + d^2 above 1.
    double b = qform[0], c = qform[1], d = qform[2];
    double a = 1.0 - (b * b + c * c + d * d);
    if (a < 1e-7) {
        const double scale = 1.0 / std::sqrt(b * b + c * c + d * d);
        b *= scale;
        c *= scale;
        d *= scale;
        a = 0.0;
    } else {
        a = std::sqrt(a);
    }
    const Matrix3 rotation{{{a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
                            {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
                            {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c}}};
    Affine out{};
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const double flip = axis == 2 && qfac < 0.0f ? -1.0 : 1.0;
            out[r][axis] = rotation[r][axis] * flip * static_cast<double>(pixdim_mm[axis]) * unit_mm();
        }
        out[r][3] = static_cast<double>(qform[3 + r]) * unit_mm();
    }
    return out;
}

Affine Geometry::affine() const
{
    if (sform_code > 0) return sform_affine();
    if (qform_code > 0) return qform_affine();
    Affine a{};
    for (std::size_t i = 0; i < 3; ++i) a[i][i] = static_cast<double>(pixdim_mm[i]) * unit_mm();
    return a;
}

UnitVector Geometry::b0_direction_ijk() const
{
    if (given_b0_direction_ijk) return *given_b0_direction_ijk;
    const Affine a = affine();
    Matrix3 m{};
    for (std::size_t c = 0; c < 3; ++c) {
        const double length = std::hypot(a[0][c], a[1][c], a[2][c]);
        require(length > 0.0 && std::isfinite(length),
                "geometry: a column of the affine is zero or not finite");
        for (std::size_t r = 0; r < 3; ++r) m[r][c] = a[r][c] / length;
    }
    require(std::abs(determinant3(m)) > 1e-6,
            "geometry: the affine is singular: two voxel axes are parallel");
    // B0 is world +z; in voxel axes it is R^T e_z, the third row of R.
    const auto row = nearest_orthogonal(m)[2];
    const double length = std::hypot(row[0], row[1], row[2]);
    return {row[0] / length, row[1] / length, row[2] / length};
}

double determinant(const Affine& a)
{
    return determinant3(
        {{{a[0][0], a[0][1], a[0][2]}, {a[1][0], a[1][1], a[1][2]}, {a[2][0], a[2][1], a[2][2]}}});
}

double largest_corner_distance_mm(const Affine& a, const Affine& b, const Dims& dims, bool without_offset)
{
    double largest = 0.0;
    for (unsigned corner = 0; corner < 8; ++corner) {
        double squares = 0.0;
        for (std::size_t r = 0; r < 3; ++r) {
            double difference = without_offset ? 0.0 : a[r][3] - b[r][3];
            for (std::size_t axis = 0; axis < 3; ++axis) {
                const std::size_t n = dims[static_cast<int>(axis)];
                const double index = (corner >> axis & 1u) != 0 && n > 0 ? static_cast<double>(n - 1) : 0.0;
                difference += (a[r][axis] - b[r][axis]) * index;
            }
            squares += difference * difference;
        }
        // Not std::max: a NaN must come out.
        if (!(squares <= largest * largest)) largest = std::sqrt(squares);
    }
    return largest;
}

std::optional<double> misplacement_mm(const Geometry& have, const Geometry& want)
{
    const Vec3& voxel_mm = want.grid.voxel_mm;
    const double distance_mm = largest_corner_distance_mm(have.affine(), want.affine(), want.grid.dims);
    if (distance_mm <= 0.05 * std::min({voxel_mm[0], voxel_mm[1], voxel_mm[2]})) return std::nullopt;
    return distance_mm;
}

}  // namespace qsmpi::io
