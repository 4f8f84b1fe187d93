#include "qsmpi/numerics/gradient.hpp"

#include <cmath>

#include <gtest/gtest.h>

#include "qsmpi/numerics/statistics.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;
using test::noise;

TEST(Gradient, AdjointSatisfiesTheInnerProductIdentity)
{
    for (const auto& grid : {grid_of(16, 12, 10), grid_of(15, 9, 7, {0.6, 1.1, 2.5}), grid_of(5, 1, 3)}) {
        const VolumeF u = noise(grid, 1.0, 1);
        const VolumeF v[3] = {noise(grid, 1.0, 2), noise(grid, 1.0, 3), noise(grid, 1.0, 4)};
        VolumeF gx(grid), gy(grid), gz(grid), adjoint(grid);
        gradient(u, gx, gy, gz);
        gradient_adjoint(v[0], v[1], v[2], adjoint);
        const double left = dot(gx, v[0]) + dot(gy, v[1]) + dot(gz, v[2]);
        const double scale = std::sqrt((dot(gx, gx) + dot(gy, gy) + dot(gz, gz)) *
                                       (dot(v[0], v[0]) + dot(v[1], v[1]) + dot(v[2], v[2])));
        EXPECT_NEAR(left, dot(u, adjoint), 1e-6 * scale);
    }
}

TEST(Gradient, OfARampIsItsSlopeInPerMillimetreAndWrapsAtTheEnd)
{
    const Grid grid = grid_of(6, 5, 4, {0.5, 1.0, 2.0});
    const VolumeF u =
        test::from_function(grid, [](const Vec3& r) { return 3 * r[0] - 2 * r[1] + 0.5 * r[2]; });
    VolumeF gx(grid), gy(grid), gz(grid);
    gradient(u, gx, gy, gz);
    EXPECT_NEAR(gx(2, 2, 2), 3.0, 1e-5);
    EXPECT_NEAR(gy(2, 2, 2), -2.0, 1e-5);
    EXPECT_NEAR(gz(2, 2, 2), 0.5, 1e-5);
    EXPECT_NEAR(gx(5, 2, 2), -3.0 * 5, 1e-5);  // periodic: back over five steps
    EXPECT_NEAR(gy(2, 4, 2), 2.0 * 4, 1e-5);
    EXPECT_NEAR(gz(2, 2, 3), -0.5 * 3, 1e-5);
}

TEST(Gradient, OfAConstantIsExactlyZero)
{
    const Grid grid = grid_of(7, 6, 5);
    const VolumeF u(grid, 1.7F), zero(grid, 0.0F);
    VolumeF gx(grid), gy(grid), gz(grid);
    gradient(u, gx, gy, gz);
    EXPECT_THAT(gx, test::VolumeNear(&zero, 0.0));
    EXPECT_THAT(gy, test::VolumeNear(&zero, 0.0));
    EXPECT_THAT(gz, test::VolumeNear(&zero, 0.0));
}

TEST(Gradient, RefusesComponentsOfAnotherShape)
{
    const VolumeF u(grid_of(4, 4, 4), 0.0F);
    VolumeF a(u.grid()), b(u.grid()), c(grid_of(4, 4, 5));
    EXPECT_THROW(gradient(u, a, b, c), InputError);
}

}  // namespace
}  // namespace qsmpi::numerics
