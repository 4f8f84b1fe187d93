#include "harmonics.hpp"

#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::background {
namespace {

constexpr std::size_t n = Harmonics::n;

double coordinate(std::size_t i, std::size_t size, double voxel_mm)
{
    return (static_cast<double>(i) - 0.5 * static_cast<double>(size - 1)) * voxel_mm / 100.0;
}

std::array<double, n> basis(double x, double y, double z)
{
    return {1.0, x, y, z, x * y, y * z, x * z, x * x - y * y, 2.0 * z * z - x * x - y * y};
}

template <std::size_t size>
struct Sums {
    std::array<double, size> value{};
    Sums& operator+=(const Sums& other)
    {
        for (std::size_t i = 0; i < size; ++i) value[i] += other.value[i];
        return *this;
    }
};

// Along a row the basis is a polynomial in x, so sums of w x^0..x^4 of the row suffice.
template <std::size_t size, typename Row>
Sums<size> sum_rows(const Grid& grid, Row&& row)
{
    const auto& d = grid.dims;
    std::vector<Sums<size>> slices(d.nz);
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) row(y, z, slices[z]);
    });
    Sums<size> total;
    for (const auto& s : slices) total += s;
    return total;
}

}  // namespace

Harmonics::Harmonics(const Grid& grid, const VolumeF& squared_weight) : grid_(grid), squared_weight_(squared_weight)
{
    const auto& d = grid.dims;
    const auto gram = sum_rows<n * n>(grid, [&](std::size_t y, std::size_t z, Sums<n * n>& s) {
        const float* w = squared_weight.data() + d.index(0, y, z);
        const double yy = coordinate(y, d.ny, grid.voxel_mm[1]), zz = coordinate(z, d.nz, grid.voxel_mm[2]);
        for (std::size_t x = 0; x < d.nx; ++x) {
            if (w[x] == 0.0f) continue;
            const auto a = basis(coordinate(x, d.nx, grid.voxel_mm[0]), yy, zz);
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j <= i; ++j) s.value[i * n + j] += static_cast<double>(w[x]) * a[i] * a[j];
        }
    });
    // The ridge keeps a slab of one slice solvable: directions without data get coefficient 0.
    const double ridge = 1e-9 * gram.value[0] + 1e-300;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = gram.value[i * n + j] + (i == j ? ridge : 0.0);
            for (std::size_t k = 0; k < j; ++k) sum -= cholesky_[i][k] * cholesky_[j][k];
            cholesky_[i][j] = i == j ? std::sqrt(std::max(sum, ridge)) : sum / cholesky_[j][j];
        }
    }
}

std::array<double, n> Harmonics::moments(const VolumeF& field) const
{
    const auto& d = grid_.dims;
    return sum_rows<n>(grid_,
                       [&](std::size_t y, std::size_t z, Sums<n>& s) {
                           const std::size_t first = d.index(0, y, z);
                           const float* w = squared_weight_.data() + first;
                           const float* f = field.data() + first;
                           double m0 = 0.0, m1 = 0.0, m2 = 0.0;
                           for (std::size_t x = 0; x < d.nx; ++x) {
                               const double value = static_cast<double>(w[x]) * static_cast<double>(f[x]);
                               const double position = coordinate(x, d.nx, grid_.voxel_mm[0]);
                               m0 += value;
                               m1 += value * position;
                               m2 += value * position * position;
                           }
                           const double yy = coordinate(y, d.ny, grid_.voxel_mm[1]);
                           const double zz = coordinate(z, d.nz, grid_.voxel_mm[2]);
                           const std::array<double, n> row{m0,      m1,      yy * m0, zz * m0, yy * m1, yy * zz * m0,
                                                           zz * m1, m2 - yy * yy * m0, (2 * zz * zz - yy * yy) * m0 - m2};
                           for (std::size_t i = 0; i < n; ++i) s.value[i] += row[i];
                       })
        .value;
}

Harmonics::Coefficients Harmonics::fit(const VolumeF& field) const
{
    Coefficients c = moments(field);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) c[i] -= cholesky_[i][k] * c[k];
        c[i] /= cholesky_[i][i];
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) c[i] -= cholesky_[k][i] * c[k];
        c[i] /= cholesky_[i][i];
    }
    return c;
}

void Harmonics::subtract_row(const Coefficients& c, std::size_t y, std::size_t z, float* row) const
{
    const auto& d = grid_.dims;
    const double yy = coordinate(y, d.ny, grid_.voxel_mm[1]), zz = coordinate(z, d.nz, grid_.voxel_mm[2]);
    const auto at_zero = basis(0.0, yy, zz);
    double p0 = 0.0;
    for (std::size_t i = 0; i < n; ++i) p0 += c[i] * at_zero[i];
    const double p1 = c[1] + c[4] * yy + c[6] * zz;
    const double p2 = c[7] - c[8];
    for (std::size_t x = 0; x < d.nx; ++x) {
        const double position = coordinate(x, d.nx, grid_.voxel_mm[0]);
        row[x] -= static_cast<float>(p0 + position * (p1 + position * p2));
    }
}

}  // namespace qsmpi::background
