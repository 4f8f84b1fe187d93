#include "qsmpi/mask/decay.hpp"

#include <cmath>
#include <limits>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;

constexpr double radius_mm = 26.0;

double length(const Vec3& p) { return std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]); }

/// A head of 20 / s with noise; a sinus, 4 mm wide, along a meridian of its surface; a nucleus deep inside; a small vessel that
/// comes to the surface at the other side; all three of 70 / s.
struct Head {
    Grid grid;
    Mask mask, sinus, nucleus, vessel;
    VolumeF r2star_per_s;

    explicit Head(const Grid& g)
        : grid(g), mask(ball_mask(g, radius_mm)),
          sinus(mask_from(g, [](const Vec3& p) { return length(p) <= radius_mm && length(p) > radius_mm - 4.0 && std::abs(p[0]) < 2.6 && p[1] > 0.0; })),
          nucleus(ball_mask(g, 6.0, {6.0, -4.0, 0.0})),
          vessel(mask_from(g, [](const Vec3& p) { return std::hypot(p[0], p[2]) < 1.6 && p[1] < -radius_mm + 8.0 && length(p) <= radius_mm; })),
          r2star_per_s(noise(g, 2.0, 5))
    {
        for (std::size_t i = 0; i < g.size(); ++i)
            r2star_per_s[i] = mask[i] == 0 ? 0.0F : r2star_per_s[i] + (sinus[i] || nucleus[i] || vessel[i] ? 70.0F : 20.0F);
    }
};

std::size_t n_both(const Mask& a, const Mask& b)
{
    std::size_t n = 0;
    for (std::size_t i = 0; i < a.size(); ++i) n += a[i] != 0 && b[i] != 0 ? 1 : 0;
    return n;
}

bool same(const Mask& a, const Mask& b) { return std::equal(a.begin(), a.end(), b.begin()); }

TEST(FastRim, TakesTheSinusAndLeavesNucleusVesselAndTissue)
{
    for (const Grid& grid : {grid_of(60, 60, 60), grid_of(60, 58, 36, {1.0, 1.0, 1.6})}) {
        const Head head(grid);
        const Mask rest = without_fast_rim(head.mask, head.r2star_per_s);
        EXPECT_LT(n_both(rest, head.sinus), numerics::count(head.sinus) / 5);
        EXPECT_EQ(n_both(rest, head.nucleus), numerics::count(head.nucleus));
        EXPECT_EQ(n_both(rest, head.vessel), n_both(head.mask, head.vessel));
        const std::size_t lost = numerics::count(head.mask) - numerics::count(rest);
        EXPECT_LT(lost, numerics::count(head.sinus) * 5 / 4) << "of " << numerics::count(head.mask);
        for (std::size_t i = 0; i < rest.size(); ++i) ASSERT_LE(rest[i], head.mask[i]);
    }
}

TEST(FastRim, LeavesAThinRimThatDephases)
{
    Head head(grid_of(60, 60, 60));
    for (std::size_t i = 0; i < head.grid.size(); ++i) {
        const Vec3 p = position_mm(head.grid, i % 60, i / 60 % 60, i / 3600);
        if (head.mask[i] != 0 && p[2] > 10.0 && length(p) > radius_mm - 1.2) head.r2star_per_s[i] = 90.0F;
        if (head.sinus[i] != 0) head.r2star_per_s[i] = 20.0F;
    }
    EXPECT_TRUE(same(without_fast_rim(head.mask, head.r2star_per_s), head.mask));
}

TEST(FastRim, StopsAtItsDepth)
{
    Head head(grid_of(60, 60, 60));
    for (std::size_t i = 0; i < head.grid.size(); ++i)  // a bleed from the surface to the middle
        if (head.mask[i] != 0 && position_mm(head.grid, i % 60, i / 60 % 60, i / 3600)[2] > 15.0) head.r2star_per_s[i] = 200.0F;
    const Mask rest = without_fast_rim(head.mask, head.r2star_per_s, {.most = 0.5});
    const Mask deep = numerics::erode(head.mask, 7.1, false);
    EXPECT_EQ(n_both(rest, deep), numerics::count(deep));
    EXPECT_EQ(rest(30, 30, 53), 0);
}

TEST(FastRim, LeavesMasksOfWhichNothingOrTooMuchIsFast)
{
    Head head(grid_of(60, 60, 60));
    EXPECT_TRUE(same(without_fast_rim(head.mask, head.r2star_per_s, {.most = 0.001}), head.mask));
    EXPECT_TRUE(same(without_fast_rim(head.mask, head.r2star_per_s, {.least_ml = 50.0}), head.mask));
    EXPECT_TRUE(same(without_fast_rim(head.mask, VolumeF(head.grid, 20.0F)), head.mask));
    EXPECT_TRUE(same(without_fast_rim(head.mask, VolumeF(head.grid, 0.0F)), head.mask));
    EXPECT_TRUE(same(without_fast_rim(head.mask, VolumeF(head.grid, std::numeric_limits<float>::quiet_NaN())), head.mask));
    EXPECT_EQ(numerics::count(without_fast_rim(Mask(head.grid, 0), head.r2star_per_s)), 0U);
    EXPECT_TRUE(same(without_fast_rim(full_mask(head.grid), VolumeF(head.grid, 20.0F)), full_mask(head.grid)));
}

TEST(FastRim, PassesByWhatIsUnknown)
{
    Head head(grid_of(60, 60, 60));
    for (std::size_t i = 0; i < head.grid.size(); i += 9) head.r2star_per_s[i] = i % 2 == 0 ? 0.0F : std::numeric_limits<float>::infinity();
    const Mask rest = without_fast_rim(head.mask, head.r2star_per_s);
    EXPECT_LT(n_both(rest, head.sinus), numerics::count(head.sinus) / 4);
    EXPECT_EQ(n_both(rest, head.nucleus), numerics::count(head.nucleus));
}

TEST(FastRim, IsTheSameForAnyNumberOfThreads)
{
    const Head head(grid_of(60, 60, 60));
    const int n_threads = parallel::threads();
    parallel::set_threads(1);
    const Mask one = without_fast_rim(head.mask, head.r2star_per_s);
    parallel::set_threads(3);
    const Mask three = without_fast_rim(head.mask, head.r2star_per_s);
    parallel::set_threads(n_threads);
    EXPECT_TRUE(same(one, three));
}

TEST(FastRim, RefusesNonsense)
{
    const Head head(grid_of(60, 60, 60));
    EXPECT_THROW((void)without_fast_rim(head.mask, VolumeF(grid_of(3, 3, 3), 1.0F)), InputError);
    EXPECT_THROW((void)without_fast_rim(head.mask, head.r2star_per_s, {.factor = 1.0}), InputError);
    EXPECT_THROW((void)without_fast_rim(head.mask, head.r2star_per_s, {.depth_mm = 0.0}), InputError);
    EXPECT_THROW((void)without_fast_rim(head.mask, head.r2star_per_s, {.least_ml = -1.0}), InputError);
    EXPECT_THROW((void)without_fast_rim(head.mask, head.r2star_per_s, {.opening_mm = -1.0}), InputError);
    EXPECT_THROW((void)without_fast_rim(head.mask, head.r2star_per_s, {.most = 0.0}), InputError);
}

}  // namespace
}  // namespace qsmpi::mask
