#include <cmath>

#include "qsmpi/core/error.hpp"
#include "qsmpi/numerics/harmonic_polynomials.hpp"
#include "qsmpi/numerics/normal_equations.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using namespace qsmpi::test;

TEST(NormalEquations, FindTheLeastSquares)
{
    NormalEquations equations(2);
    const double x[] = {0.0, 1.0, 2.0}, y[] = {0.0, 1.0, 5.0}, w[] = {1.0, 3.0, 1.0};
    for (int i = 0; i < 3; ++i) {
        const double row[] = {1.0, x[i]};
        NormalEquations one(2);
        one.add(row, w[i], y[i]);
        equations += one;
    }
    // Values 0, 1, 5 at 0, 1, 2: sum w = 5, sum w x = 5, sum w x^2 = 7, sum w y = 8, sum w x y = 13: slope (5 * 13 - 5 * 8) / (5 * 7 - 25) = 2.5
    const std::vector<double> c = equations.solved();
    EXPECT_NEAR(c[1], 2.5, 1e-12);
    EXPECT_NEAR(c[0], -0.9, 1e-12);
}

TEST(NormalEquations, LeaveWhatTheRowsDoNotTellAtZero)
{
    NormalEquations equations(3);
    for (int i = 0; i < 5; ++i) {
        const double row[] = {1.0, 2.0, static_cast<double>(i)};
        equations.add(row, 1.0, 3.0 + i);
    }
    const std::vector<double> c = equations.solved();
    EXPECT_NEAR(c[0], 3.0, 1e-9);
    EXPECT_EQ(c[1], 0.0) << "twice the first";
    EXPECT_NEAR(c[2], 1.0, 1e-9);
}

// Second differences of polynomials up to order three are exact, along an axis and mixed.
TEST(HarmonicPolynomials, SolveTheirEquation)
{
    const Grid grid = grid_of(12, 10, 9, {1.0, 1.5, 2.0});
    const Box box{{1, 0, 0}, {11, 10, 9}};
    for (const double curvature : {1.0, -2.0, 0.5})
        for (const UnitVector& axis : {b0_along_z, UnitVector{0.0, 0.6, 0.8}, UnitVector{0.48, 0.64, -0.6}}) {
            const HarmonicPolynomials polynomials(grid, box, 3, axis, curvature);
            ASSERT_EQ(polynomials.size(), 16U);
            const auto value = [&](std::size_t n, const std::array<std::size_t, 3>& at) {
                HarmonicPolynomials::Values values;
                polynomials.at(at[0], at[1], at[2], values);
                return values[n];
            };
            for (std::size_t n = 0; n < polynomials.size(); ++n) {
                const std::array<std::size_t, 3> here{8, 3, 6};
                double laplace = 0.0, along = 0.0, largest = 1e-6;
                for (std::size_t a = 0; a < 3; ++a)
                    for (std::size_t b = 0; b < 3; ++b) {
                        const auto moved = [&](int da, int db) {
                            auto at = here;
                            at[a] = static_cast<std::size_t>(static_cast<int>(at[a]) + da);
                            at[b] = static_cast<std::size_t>(static_cast<int>(at[b]) + db);
                            return value(n, at);
                        };
                        const double mixed = (moved(1, 1) - moved(1, -1) - moved(-1, 1) + moved(-1, -1)) /
                                             (4.0 * grid.voxel_mm[a] * grid.voxel_mm[b]);
                        if (a == b) laplace += mixed;
                        along += axis[a] * axis[b] * mixed;
                        largest = std::max(largest, std::abs(mixed));
                    }
                EXPECT_NEAR(laplace - along + curvature * along, 0.0, 1e-9 * largest + 1e-12) << n << " " << curvature;
            }
        }
}

TEST(HarmonicPolynomials, AreIndependent)
{
    const Grid grid = grid_of(12, 12, 12);
    const HarmonicPolynomials polynomials(grid, {{0, 0, 0}, grid.dims}, HarmonicPolynomials::highest_order, {0.0, 0.6, 0.8}, -2.0);
    NormalEquations equations(polynomials.size());
    HarmonicPolynomials::Values values;
    for (std::size_t i = 0; i < grid.size(); ++i) {
        polynomials.at(i % 12, i / 12 % 12, i / 144, values);
        double sum = 0.0;
        for (std::size_t n = 0; n < polynomials.size(); ++n) sum += values[n];
        equations.add(values.data(), 1.0, sum);
    }
    for (const double c : equations.solved()) EXPECT_NEAR(c, 1.0, 1e-3);
    EXPECT_THROW(HarmonicPolynomials(grid, {{0, 0, 0}, grid.dims}, 9), InputError);
}

}  // namespace
}  // namespace qsmpi::numerics
