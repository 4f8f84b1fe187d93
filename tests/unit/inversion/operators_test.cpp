// The operators that several inversions share: adjoint pairs, and the solver that uses them.
#include "conjugate_gradients.hpp"
#include "dipole_filter.hpp"
#include "inversion_cases.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "weighted_gradient.hpp"

namespace qsmpi::inversion::detail {
namespace {

using namespace qsmpi::test;

// Products of two volumes of unit noise are sums of N terms with round-off eps each: sqrt(N) eps, times 10 for the
// FFT.
double round_off(const Grid& grid)
{
    return 10.0 * 6e-8 * std::sqrt(static_cast<double>(grid.size())) * 10.0;
}

TEST(DipoleFilter, IsItsOwnAdjointOnTheBox)
{
    const Grid box = grid_of(11, 14, 9, {1.0, 1.2, 1.7});
    DipoleFilter dipole({{16, 18, 15}, box.voxel_mm}, oblique_b0);
    const VolumeF a = noise(box, 1.0, 1), b = noise(box, 1.0, 2);
    VolumeF da(box), db(box);
    dipole.apply(a, da);
    dipole.apply(b, db);
    EXPECT_GT(numerics::dot(da, da), 1.0);
    EXPECT_NEAR(numerics::dot(da, b), numerics::dot(a, db), round_off(box));
}

TEST(DipoleFilter, RowsAndChangedFactorsAgreeWithThePlainForm)
{
    const Grid box = grid_of(11, 14, 9, {1.0, 1.2, 1.7});
    DipoleFilter dipole({{16, 18, 15}, box.voxel_mm}, oblique_b0);
    const VolumeF a = noise(box, 1.0, 1);
    VolumeF plain(box), rows(box), twice(box);
    dipole.apply(a, plain);
    dipole.apply_rows(
        box.dims, [&](std::size_t y, std::size_t z, float* row) { std::copy_n(&a(0, y, z), 11, row); }, box.dims,
        [&](std::size_t y, std::size_t z, const float* row) { std::copy_n(row, 11, &rows(0, y, z)); });
    expect_same_bits(rows, plain);
    dipole.apply_changed(a, twice, [](const numerics::Tile& t, float* d) {
        for (std::size_t i = 0; i < t.nz * numerics::Tile::width; ++i) d[i] *= 2.0F;
    });
    for (float& v : plain) v *= 2.0F;
    EXPECT_THAT(twice, VolumeNear(&plain, 1e-6));
}

TEST(WeightedGradient, IsTheHalfDerivativeOfTheWeightedSquares)
{
    // <u, G^T W G u> = sum W (G u)^2, taken here from its definition, and the operator is symmetric.
    const Grid grid = grid_of(7, 6, 5, {1.0, 2.0, 0.5});
    const VolumeF u = noise(grid, 1.0, 3), v = noise(grid, 1.0, 4);
    WeightedGradient operator_(grid);
    const auto weight = [](int axis, std::size_t i) {
        return static_cast<float>(1 + (i * 7 + static_cast<std::size_t>(axis)) % 5);
    };
    double squares = 0.0;
    for (std::size_t z = 0; z < 5; ++z)
        for (std::size_t y = 0; y < 6; ++y)
            for (std::size_t x = 0; x < 7; ++x) {
                const double here = static_cast<double>(u(x, y, z));
                const double g[3] = {x + 1 < 7 ? static_cast<double>(u(x + 1, y, z)) - here : 0.0,
                                     y + 1 < 6 ? (static_cast<double>(u(x, y + 1, z)) - here) / 2.0 : 0.0,
                                     z + 1 < 5 ? (static_cast<double>(u(x, y, z + 1)) - here) / 0.5 : 0.0};
                for (int a = 0; a < 3; ++a)
                    squares += static_cast<double>(weight(a, grid.dims.index(x, y, z))) * g[a] * g[a];
            }
    operator_.set_weights(u, [&](int axis, std::size_t i, float) { return weight(axis, i); });
    VolumeF au(grid), av(grid);
    operator_.apply(u, au);
    operator_.apply(v, av);
    EXPECT_NEAR(numerics::dot(u, au), squares, 1e-5 * squares);
    EXPECT_NEAR(numerics::dot(v, au), numerics::dot(u, av), 1e-5 * squares);
    // Constants have no gradient.
    const VolumeF constant(grid, 3.0F), zero(grid, 0.0F);
    operator_.apply(constant, au);
    EXPECT_THAT(au, VolumeNear(&zero, 0.0));
}

TEST(ConjugateGradients, SolveADiagonalSystemInAsManyStepsAsItHasEigenvalues)
{
    const Grid grid = grid_of(8, 4, 4);
    const VolumeF b = noise(grid, 1.0, 5);
    const auto eigenvalue = [](std::size_t i) { return static_cast<float>(1 + i % 4); };
    VolumeF x(grid, 0.0F), residual = b.clone(), expected(grid);
    for (std::size_t i = 0; i < b.size(); ++i) expected[i] = b[i] / eigenvalue(i);
    const CgReport report = conjugate_gradients(
        [&](const VolumeF& p, VolumeF& q) {
            for (std::size_t i = 0; i < p.size(); ++i) q[i] = eigenvalue(i) * p[i];
            return numerics::dot(p, q);
        },
        x, residual, 20, 1e-5);
    EXPECT_EQ(report.iterations, 4);
    EXPECT_LT(report.relative_residual, 1e-5);
    EXPECT_THAT(x, VolumeNear(&expected, 1e-5));
}

TEST(ConjugateGradients, StopAtOnceWhenThereIsNothingToDo)
{
    const Grid grid = grid_of(4, 4, 4);
    VolumeF x(grid, 2.0F), residual(grid, 0.0F);
    const VolumeF before(grid, 2.0F);
    const CgReport report = conjugate_gradients([](const VolumeF&, VolumeF&) { return 1.0; }, x, residual, 20, 0.1);
    EXPECT_EQ(report.iterations, 0);
    expect_same_bits(x, before);
}

}  // namespace
}  // namespace qsmpi::inversion::detail
