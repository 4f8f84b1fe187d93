#include "qsmpi/mask/holes.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;
using numerics::count;

bool same(const Mask& a, const Mask& b) { return std::equal(a.begin(), a.end(), b.begin()); }

// A ball of 12 mm with three holes: a voxel, a vessel of one voxel's width and 9 mm, and a cavity of 4 mm radius.
struct Ball {
    Grid grid;
    Mask solid, holed;
    std::size_t cavity = 0, vessel = 0;

    explicit Ball(Vec3 voxel_mm = {1, 1, 1})
        : grid(grid_of(static_cast<std::size_t>(31 / voxel_mm[0]), 31, static_cast<std::size_t>(31 / voxel_mm[2]), voxel_mm)),
          solid(ball_mask(grid, 12.0)),
          holed(solid.clone())
    {
        for (std::size_t z = 0; z < grid.dims.nz; ++z)
            for (std::size_t y = 0; y < grid.dims.ny; ++y)
                for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                    const Vec3 p = position_mm(grid, x, y, z);
                    const bool in_cavity = std::hypot(p[0], p[1] + 5.0, p[2]) <= 4.0;
                    const bool in_vessel = y == 20 && x == grid.dims.nx / 2 && std::abs(p[2]) < 4.6;
                    cavity += in_cavity;
                    vessel += in_vessel;
                    if (in_cavity || in_vessel || (y == 24 && x == grid.dims.nx / 2 && z == grid.dims.nz / 2)) holed(x, y, z) = 0;
                }
    }
};

// Vertices - edges + faces - cubes of the union of closed voxels: parts - tunnels + cavities.
long euler_number(const Mask& m)
{
    const Dims& d = m.dims();
    const auto in = [&](long x, long y, long z) {
        return x >= 0 && y >= 0 && z >= 0 && x < static_cast<long>(d.nx) && y < static_cast<long>(d.ny) && z < static_cast<long>(d.nz) &&
               m(static_cast<std::size_t>(x), static_cast<std::size_t>(y), static_cast<std::size_t>(z)) != 0;
    };
    long number = 0;
    for (long z = 0; z <= static_cast<long>(d.nz); ++z)
        for (long y = 0; y <= static_cast<long>(d.ny); ++y)
            for (long x = 0; x <= static_cast<long>(d.nx); ++x) {
                // The cells whose lowest corner this is, each there if a voxel touches it.
                for (int cell = 0; cell < 8; ++cell) {
                    bool there = false;
                    for (int k = 0; k < 8 && !there; ++k) {
                        if ((k & cell) != 0) continue;
                        there = in(x - (k & 1), y - (k >> 1 & 1), z - (k >> 2 & 1));
                    }
                    const int dimension = (cell & 1) + (cell >> 1 & 1) + (cell >> 2 & 1);
                    if (there) number += dimension % 2 == 0 ? 1 : -1;
                }
            }
    return number;
}

}  // namespace

TEST(Fill, FillsUpToAVolumeInMillilitres)
{
    const Ball b({1.0, 1.0, 1.0});
    const double cavity_ml = static_cast<double>(b.cavity) / 1000.0, vessel_ml = static_cast<double>(b.vessel) / 1000.0;
    EXPECT_TRUE(same(fill(b.holed), b.solid));
    EXPECT_TRUE(same(fill(b.holed, cavity_ml), b.solid));
    EXPECT_EQ(count(fill(b.holed, cavity_ml - 0.001)), count(b.solid) - b.cavity);
    EXPECT_EQ(count(fill(b.holed, vessel_ml - 0.001)), count(b.solid) - b.cavity - b.vessel);
    EXPECT_THROW((void)fill(b.holed, -1.0), InputError);
}

TEST(Fill, CountsMillilitresOnAnisotropicVoxels)
{
    const Ball b({0.5, 1.0, 2.0});
    EXPECT_EQ(count(fill(b.holed, static_cast<double>(b.cavity) / 1000.0)), count(b.solid)) << "0.5 x 1 x 2 mm is a cubic millimetre";
    EXPECT_EQ(count(fill(b.holed, static_cast<double>(b.cavity - 1) / 1000.0)), count(b.solid) - b.cavity);
}

TEST(Fill, IsIdempotentAndLeavesABallOfOnePartWithoutHoles)
{
    const Ball b;
    EXPECT_EQ(euler_number(b.solid), 1);
    EXPECT_EQ(euler_number(b.holed), 4) << "one part and three cavities";
    const Mask filled = fill(b.holed);
    EXPECT_EQ(euler_number(filled), 1);
    EXPECT_TRUE(same(fill(filled), filled));
}

TEST(Fill, ClosesHolesOfSlabsOfOneAndTwoSlices)
{
    for (const std::size_t nz : {1u, 2u, 3u}) {
        const Grid grid = grid_of(20, 20, nz);
        const Mask solid = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0], p[1]) < 8; });
        const Mask ring = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0], p[1]) < 8 && std::hypot(p[0], p[1]) > 2; });
        EXPECT_EQ(same(fill(ring), solid), nz <= 2) << nz << " slices: a tunnel through three reaches the border";
        const Mask open = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0] - 9, p[1]) < 6 && p[0] < 7.0; });
        EXPECT_TRUE(same(fill(open), open)) << "what is open to the sides is no hole";
    }
}

TEST(Patch, FillsPinHolesAndKeepsVesselsAndCavities)
{
    const Ball b;
    const Mask patched = patch(b.holed);
    // The single voxel goes, and of the vessel the two ends, which also have 25 neighbours inside.
    EXPECT_EQ(count(patched), count(b.holed) + 3);
    EXPECT_EQ(count(fill(patched)) - count(patched), b.cavity + b.vessel - 2);
    const Mask corner = [] {
        Mask m(grid_of(5, 5, 5), 1);
        m[0] = 0;
        return m;
    }();
    EXPECT_EQ(count(patch(corner)), 125u) << "at the border the neighbours that exist decide";
    EXPECT_EQ(count(patch(Mask(grid_of(1, 1, 1), 0))), 0u);
    EXPECT_EQ(count(patch(Mask(grid_of(4, 4, 4), 0))), 0u);
}

TEST(Peel, TakesOffTheOutsideAndLeavesHolesAsTheyAre)
{
    const Ball b;
    const Mask peeled = peel(b.holed, 2.0);
    EXPECT_TRUE(same(fill(peeled), numerics::erode(b.solid, 2.0)));
    // The single voxel lies 3 mm from the cavity and 9 from the surface: all holes are still there, no larger.
    EXPECT_EQ(count(fill(peeled)) - count(peeled), b.cavity + b.vessel + 1);
    EXPECT_LT(count(numerics::erode(b.holed, 2.0)), count(peeled));
    EXPECT_TRUE(same(peel(b.holed, 0.0), b.holed));
}

TEST(Smooth, KeepsFlatFacesAndVolumeAndRoundsCorners)
{
    const Grid grid = grid_of(30, 30, 30);
    const Mask half = mask_from(grid, [](const Vec3& p) { return p[0] < 0.0; });
    EXPECT_TRUE(same(smooth(half, 3.0), half)) << "a face that the border cuts off goes on beyond it";
    const Mask box = mask_from(grid, [](const Vec3& p) { return std::max({std::abs(p[0]), std::abs(p[1]), std::abs(p[2])}) < 10; });
    const Mask round = smooth(box, 2.0);
    EXPECT_EQ(round(5, 5, 5), 0);
    EXPECT_EQ(round(5, 15, 15), 1);
    EXPECT_NEAR(static_cast<double>(count(round)), static_cast<double>(count(box)), 0.1 * static_cast<double>(count(box)))
        << "each of 12 edges loses 0.7 sigma^2 of its cross-section";
    EXPECT_TRUE(same(smooth(box, 0.0), box));
}

}  // namespace qsmpi::mask
