#include <array>
#include <cmath>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/field/field_map.hpp"
#include "volumes.hpp"

namespace qsmpi::field
{
namespace
{

using namespace test;

FieldMap map_of(VolumeF field_hz)
{
    VolumeF sigma_hz(field_hz.grid(), 0.5f);
    return {std::move(field_hz), std::move(sigma_hz), {}};
}

TEST(AliasPeriod, IsThatOfTheFirstEchoInWholeRatiosOnly)
{
    EXPECT_DOUBLE_EQ(alias_period_hz(std::array{0.004, 0.012, 0.020, 0.028}), 250.0);
    EXPECT_DOUBLE_EQ(alias_period_hz(std::array{0.005}), 200.0);
    EXPECT_EQ(alias_period_hz(std::array{0.004, 0.010, 0.016}), 0.0);
    EXPECT_THROW((void)alias_period_hz({}), InputError);
}

TEST(SettleAliases, MovesStrayVoxelsBackAndDoubtsThemAndTheirNeighbours)
{
    // 20 Hz a voxel; single voxels and a pair are one or two periods off.
    const Grid grid = grid_of(20, 18, 16);
    const VolumeF truth = from_function(grid, [](const Vec3& r) { return 20.0 * r[0] - 5.0 * r[2]; });
    FieldMap map = map_of(truth.clone());
    map.field_hz(5, 5, 5) += 250.0f;
    map.field_hz(0, 0, 0) -= 250.0f;
    map.field_hz(12, 9, 8) += 500.0f;
    map.field_hz(13, 9, 8) += 250.0f;
    EXPECT_EQ(settle_aliases(map, 250.0), 4u);
    EXPECT_THAT(map.field_hz, VolumeNear(&truth, 1e-3)) << "rounding of 250 Hz";
    EXPECT_GT(map.sigma_hz(5, 5, 5), 125.0f);
    EXPECT_GT(map.sigma_hz(6, 5, 5), 125.0f);
    EXPECT_EQ(map.sigma_hz(8, 5, 5), 0.5f);
}

TEST(SettleAliases, LeavesASmoothFieldAndAnEdgeBetweenTwoPartsAlone)
{
    const Grid grid = grid_of(20, 18, 16);
    FieldMap smooth = map_of(from_function(grid, [](const Vec3& r) { return 100.0 * r[0]; }));
    const VolumeF before = smooth.field_hz.clone();
    EXPECT_EQ(settle_aliases(smooth, 250.0), 0u);
    EXPECT_THAT(smooth.field_hz, VolumeNear(&before, 0.0));

    // A face has 17 of 26 neighbours on its own side: nothing moves, but the face is doubtful.
    FieldMap edge = map_of(from_function(grid, [](const Vec3& r) { return r[0] > 0.0 ? 200.0 : 0.0; }));
    EXPECT_EQ(settle_aliases(edge, 250.0), 0u);
    EXPECT_GT(edge.sigma_hz(10, 9, 8), 125.0f);
}

TEST(SettleAliases, PassesOverUnknownVoxelsAndGivesTheSameBitsForAnyNumberOfThreads)
{
    const Grid grid = grid_of(24, 22, 20);
    const auto settled = [&](int threads) {
        parallel::set_threads(threads);
        FieldMap map = map_of(noise(grid, 150.0, 4));
        for (std::size_t i = 0; i < grid.size(); i += 3) {
            map.sigma_hz[i] = std::numeric_limits<float>::infinity();
            map.field_hz[i] = 1e6f;
        }
        EXPECT_GT(settle_aliases(map, 250.0), 100u);
        parallel::set_threads(2);
        return map;
    };
    const FieldMap one = settled(1), two = settled(2);
    EXPECT_THAT(two.field_hz, VolumeNear(&one.field_hz, 0.0));
    EXPECT_EQ(one.field_hz[3], 1e6f);
    FieldMap none = map_of(VolumeF(grid, 0.0f));
    EXPECT_THROW((void)settle_aliases(none, 0.0), InputError);
}

}  // namespace
}  // namespace qsmpi::field
