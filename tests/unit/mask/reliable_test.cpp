#include "qsmpi/mask/reliable.hpp"

#include <limits>

#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace test;

/// A head with good phase, a void of 5 mm in it and noise in the air; the filled mask is the whole head.
struct Scene {
    Grid grid;
    Mask head, hole;
    VolumeF quality, magnitude, sigma_hz;
    explicit Scene(const Grid& g)
        : grid(g), head(ball_mask(g, 18.0)), hole(ball_mask(g, 5.0, {4.0, 0.0, 0.0})), quality(g), magnitude(g), sigma_hz(g, 1.0f)
    {
        const VolumeF n = noise(g, 0.05, 1);
        for (std::size_t i = 0; i < g.size(); ++i) {
            const bool tissue = head[i] && !hole[i];
            quality[i] = std::min(1.0f, (tissue ? 0.9f : 0.2f) + n[i]);
            magnitude[i] = (tissue ? 100.0f : 0.0f) + 10.0f * std::abs(n[i]);
        }
    }
};

TEST(ReliablePart, KeepsTheHole)
{
    for (const Grid& grid : {grid_of(44, 44, 44), grid_of(45, 43, 23, {1, 1, 2})}) {
        const Scene s(grid);
        const Mask reliable = reliable_part(s.head, s.quality, s.magnitude, s.sigma_hz);
        // Phase, or magnitude, or the fit's deviation alone tell as well.
        for (std::size_t i = 0; i < grid.size(); ++i) ASSERT_LE(reliable[i], s.head[i] && !s.hole[i] ? 1 : 0);
        EXPECT_GT(static_cast<double>(numerics::count(reliable)),
                  0.97 * static_cast<double>(numerics::count(s.head) - numerics::count(s.hole)));
    }
}

TEST(ReliablePart, IsTheWholeMaskWhereEverythingIsReliable)
{
    const Grid grid = grid_of(40, 40, 40);
    const Mask head = ball_mask(grid, 15.0);
    VolumeF sigma_hz(grid, 1.0f);
    const Mask reliable = reliable_part(head, VolumeF(grid, 0.9f), VolumeF(), sigma_hz, {.quality_threshold = 0.5});
    for (std::size_t i = 0; i < grid.size(); ++i) ASSERT_EQ(reliable[i], head[i]);

    // Unknown field: single voxels are filled, larger gaps stay.
    sigma_hz(20, 20, 20) = std::numeric_limits<float>::infinity();
    for (std::size_t z = 10; z < 14; ++z)
        for (std::size_t y = 18; y < 22; ++y)
            for (std::size_t x = 18; x < 22; ++x) sigma_hz(x, y, z) = std::numeric_limits<float>::infinity();
    const Mask with_gaps = reliable_part(head, VolumeF(grid, 0.9f), VolumeF(), sigma_hz, {.quality_threshold = 0.5});
    EXPECT_EQ(with_gaps(20, 20, 20), 1);
    EXPECT_EQ(with_gaps(19, 19, 12), 0);
}

TEST(ReliablePart, BearsEmptyMasksAndRefusesBadOptions)
{
    const Scene s(grid_of(20, 20, 20));
    EXPECT_EQ(numerics::count(reliable_part(Mask(s.grid, 0), s.quality, s.magnitude, s.sigma_hz)), 0U);
    EXPECT_THROW((void)reliable_part(s.head, s.quality, s.magnitude, s.sigma_hz, {.quality_threshold = 1.5}), InputError);
    EXPECT_THROW((void)reliable_part(s.head, VolumeF(grid_of(2, 2, 2)), s.magnitude, s.sigma_hz), InputError);
}

}  // namespace
}  // namespace qsmpi::mask
