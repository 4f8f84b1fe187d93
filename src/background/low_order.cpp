#include "low_order.hpp"

#include <cmath>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::background {
namespace {

constexpr std::size_t n = LowOrderField::n;

double coordinate(std::size_t i, std::size_t size, double voxel_mm)
{
    return (static_cast<double>(i) - 0.5 * static_cast<double>(size - 1)) * voxel_mm / 100.0;
}

/// Sum over all rows, by slices, of row(y, z) -> array: the same bits for any number of threads.
template <typename Row>
auto sum_rows(const Dims& d, Row&& row)
{
    using Sums = decltype(row(std::size_t{}, std::size_t{}));
    std::vector<Sums> slices(d.nz, Sums{});
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) {
            const Sums part = row(y, z);
            for (std::size_t i = 0; i < part.size(); ++i) slices[z][i] += part[i];
        }
    });
    Sums total{};
    for (const Sums& s : slices)
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += s[i];
    return total;
}

}  // namespace

LowOrderField::LowOrderField(const Grid& grid, const VolumeF& squared_weight, LowOrder kind)
    : grid_(grid), kind_(kind), position_(grid.dims.nx)
{
    const Dims& d = grid.dims;
    for (std::size_t x = 0; x < d.nx; ++x) position_[x] = static_cast<float>(coordinate(x, d.nx, grid.voxel_mm[0]));
    const auto gram = sum_rows(d, [&](std::size_t y, std::size_t z) {
        const float* w = &squared_weight(0, y, z);
        std::array<double, 5> power{};  // sums of w x^0 .. w x^4
        for (std::size_t x = 0; x < d.nx; ++x) {
            const auto position = static_cast<double>(position_[x]);
            double term = static_cast<double>(w[x]);
            for (double& p : power) {
                p += term;
                term *= position;
            }
        }
        const auto polynomial = along_row(y, z);
        std::array<double, n * n> sums{};
        for (std::size_t i = 0; i < n; ++i)
            for (std::size_t j = 0; j <= i; ++j)
                for (std::size_t a = 0; a < 3; ++a)
                    for (std::size_t b = 0; b < 3; ++b) sums[i * n + j] += polynomial[i][a] * polynomial[j][b] * power[a + b];
        return sums;
    });
    // The ridge keeps a slab of one slice solvable: directions without data get coefficient 0.
    const double ridge = 1e-9 * gram[0] + 1e-300;
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = gram[i * n + j] + (i == j ? ridge : 0.0);
            for (std::size_t k = 0; k < j; ++k) sum -= cholesky_[i][k] * cholesky_[j][k];
            cholesky_[i][j] = i == j ? std::sqrt(std::max(sum, ridge)) : sum / cholesky_[j][j];
        }
    }
}

std::array<std::array<double, 3>, n> LowOrderField::along_row(std::size_t row, std::size_t slice) const
{
    if (kind_ == LowOrder::constant) return {{{1, 0, 0}}};
    const double y = coordinate(row, grid_.dims.ny, grid_.voxel_mm[1]), z = coordinate(slice, grid_.dims.nz, grid_.voxel_mm[2]);
    const double trace = kind_ == LowOrder::quadratic ? 1.0 : 0.0;
    return {{{1, 0, 0},
             {0, 1, 0},
             {y, 0, 0},
             {z, 0, 0},
             {0, y, 0},
             {y * z, 0, 0},
             {0, z, 0},
             {-y * y, 0, 1},
             {2 * z * z - y * y, 0, -1},
             {trace * (y * y + z * z), 0, trace}}};
}

LowOrderField::Coefficients LowOrderField::row_moments(std::size_t y, std::size_t z, const float* squared_weight,
                                               const float* field) const
{
    const float* position = positions();
    double m0 = 0.0, m1 = 0.0, m2 = 0.0;
#pragma omp simd reduction(+ : m0, m1, m2)
    for (std::size_t x = 0; x < grid_.dims.nx; ++x) {
        const double value = static_cast<double>(squared_weight[x]) * static_cast<double>(field[x]);
        const auto p = static_cast<double>(position[x]);
        m0 += value;
        m1 += value * p;
        m2 += value * p * p;
    }
    const auto polynomial = along_row(y, z);
    Coefficients sums;
    for (std::size_t i = 0; i < n; ++i) sums[i] = polynomial[i][0] * m0 + polynomial[i][1] * m1 + polynomial[i][2] * m2;
    return sums;
}

LowOrderField::Coefficients LowOrderField::fit(const Coefficients& moments) const
{
    Coefficients c = moments;
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

LowOrderField::Coefficients LowOrderField::fit(const VolumeF& field, const VolumeF& squared_weight) const
{
    return fit(sum_rows(grid_.dims, [&](std::size_t y, std::size_t z) {
        return row_moments(y, z, &squared_weight(0, y, z), &field(0, y, z));
    }));
}

std::array<float, 3> LowOrderField::row_polynomial(const Coefficients& c, std::size_t y, std::size_t z) const
{
    const auto polynomial = along_row(y, z);
    std::array<double, 3> p{};
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t a = 0; a < 3; ++a) p[a] += c[i] * polynomial[i][a];
    return {static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2])};
}

}  // namespace qsmpi::background
