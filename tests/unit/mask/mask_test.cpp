#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;

// A head: brain ellipsoid, a dark gap (skull), a bright shell (scalp), and muscle below that touches the brain by a
// bridge of 8 mm: the shapes, not the code, say what the brain is.
struct Head {
    VolumeF quality, magnitude;
    Mask brain;
};

bool in_brain(const Vec3& p, const Vec3& c)
{
    return std::hypot((p[0] - c[0]) / 40, (p[1] - c[1]) / 50, (p[2] - c[2]) / 35) <= 1.0;
}

Head make_head(const Grid& grid, Vec3 centre_mm = {0, 0, 6}, double vessel_mm = 0.0)
{
    const auto tissue = [&](const Vec3& p) {
        const double shell = std::hypot((p[0] - centre_mm[0]) / 40, (p[1] - centre_mm[1]) / 50, (p[2] - centre_mm[2]) / 35);
        const bool scalp = shell > 1.15 && shell < 1.28;
        const bool bridge = std::hypot(p[0] - centre_mm[0], p[1] - centre_mm[1]) < 4.0 && p[2] < centre_mm[2];
        const bool vessel = std::hypot(p[0] - centre_mm[0] - 10, p[1] - centre_mm[1]) < vessel_mm;
        return (in_brain(p, centre_mm) && !vessel) || scalp || (bridge && shell < 1.28);
    };
    const VolumeF speckle = noise(grid, 1.0, 3);
    Head head{VolumeF(grid), VolumeF(grid), mask_from(grid, [&](const Vec3& p) { return in_brain(p, centre_mm); })};
    for (std::size_t z = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                const bool signal = tissue(position_mm(grid, x, y, z));
                const float wiggle = std::abs(speckle(x, y, z));
                head.magnitude(x, y, z) = (signal ? 100.0f : 0.0f) + 2.0f * wiggle;
                head.quality(x, y, z) = std::clamp((signal ? 0.85f : 0.2f) + 0.03f * speckle(x, y, z), 0.0f, 1.0f);
            }
    return head;
}

double dice(const Mask& a, const Mask& b)
{
    double both = 0, sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        both += a[i] && b[i];
        sum += (a[i] != 0) + (b[i] != 0);
    }
    return 2 * both / sum;
}

}  // namespace

TEST(BrainMask, SeparatesTheBrainFromSkullAndScalp)
{
    for (const Grid& grid : {grid_of(66, 81, 60, {1.6, 1.6, 1.6}), grid_of(104, 128, 40, {1.0, 1.0, 2.5})}) {
        const Head head = make_head(grid);
        // The rim of voxels that the bridge and partial volume touch is about 2 % of this brain.
        EXPECT_GT(dice(brain_mask(head.quality, head.magnitude), head.brain), 0.97);
    }
}

TEST(BrainMask, KeepsAVesselWithoutSignalInside)
{
    const Head head = make_head(grid_of(80, 96, 72, {1.3, 1.3, 1.3}), {0, 0, 0}, 2.0);
    const Mask mask = brain_mask(head.quality, head.magnitude);
    std::size_t lost = 0;
    for (std::size_t z = 20; z < 52; ++z) lost += mask(48, 48, z) == 0;  // along the vessel's axis
    EXPECT_EQ(lost, 0u);
}

TEST(BrainMask, KeepsWhatACrackOfUnreliablePhaseCutsOff)
{
    const Grid grid = grid_of(80, 96, 72, {1.3, 1.3, 1.3});
    Head head = make_head(grid, {0, 0, 0});
    for (std::size_t z = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x)
                if (std::abs(position_mm(grid, x, y, z)[0] - 22.0) < 1.3) head.quality(x, y, z) = 0.1F;
    EXPECT_GT(dice(brain_mask(head.quality, head.magnitude), head.brain), 0.97);
}

TEST(BrainMask, TakesAllOfACropThatIsFilledWithBrain)
{
    const Grid grid = grid_of(30, 31, 24);
    const VolumeF wiggle = noise(grid, 1.0, 5);
    VolumeF quality(grid), magnitude(grid);
    for (std::size_t i = 0; i < quality.size(); ++i) {
        quality[i] = std::clamp(0.8f + 0.04f * wiggle[i], 0.0f, 1.0f);
        magnitude[i] = 100.0f + 8.0f * wiggle[i];
    }
    // A fissure: a sheet of unreliable phase almost through the crop, which an opening would widen to a gap.
    for (std::size_t z = 0; z < 24; ++z)
        for (std::size_t y = 0; y < 25; ++y) quality(12, y, z) = 0.1f;
    const Mask mask = brain_mask(quality, magnitude);
    EXPECT_GT(static_cast<double>(numerics::count(mask)), 0.99 * static_cast<double>(mask.size()));
}

TEST(BrainMask, WorksOnASlabOfTwoSlicesAndWithoutMagnitude)
{
    const Grid grid = grid_of(80, 96, 2, {1.3, 1.3, 3.0});
    const Head head = make_head(grid, {0, 0, 0});
    const Mask mask = brain_mask(head.quality, VolumeF());
    EXPECT_GT(dice(mask, head.brain), 0.9);
}

TEST(BrainMask, IsEmptyWhenNothingIsReliableAndSurvivesNaN)
{
    const Grid grid = grid_of(16, 16, 16);
    EXPECT_EQ(numerics::count(brain_mask(VolumeF(grid, 0.0f), VolumeF(grid, 0.0f))), 0u);
    Head head = make_head(grid_of(66, 81, 60, {1.6, 1.6, 1.6}));
    const double before = dice(brain_mask(head.quality, head.magnitude), head.brain);
    head.quality[0] = head.magnitude[0] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_NEAR(dice(brain_mask(head.quality, head.magnitude), head.brain), before, 1e-3);
}

TEST(BrainMask, ErosionPeelsAndThresholdIsMonotone)
{
    const Head head = make_head(grid_of(66, 81, 60, {1.6, 1.6, 1.6}));
    const auto voxels = [&](const BrainMaskOptions& o) { return numerics::count(brain_mask(head.quality, head.magnitude, o)); };
    EXPECT_LT(voxels({.erosion_mm = 3.0}), voxels({}));
    // At 0.78 one voxel in a hundred of the tissue falls below: small holes are filled, the rim is nibbled at.
    EXPECT_GE(voxels({.quality_threshold = 0.5}), voxels({.quality_threshold = 0.78}));
    EXPECT_GT(voxels({.quality_threshold = 0.78}), voxels({.quality_threshold = 0.5}) * 95 / 100);
    EXPECT_THROW((void)voxels({.quality_threshold = 1.5}), InputError);
}

TEST(BrainMask, IsTheSameForAnyNumberOfThreads)
{
    const Head head = make_head(grid_of(66, 81, 60, {1.6, 1.6, 1.6}));
    parallel::set_threads(1);
    const Mask one = brain_mask(head.quality, head.magnitude);
    parallel::set_threads(3);
    const Mask three = brain_mask(head.quality, head.magnitude);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), three.begin()));
}

TEST(RobustThreshold, FindsTheForegroundWhateverTheScale)
{
    const Head head = make_head(grid_of(66, 81, 60, {1.6, 1.6, 1.6}));
    const Mask a = robust_threshold(head.magnitude);
    VolumeF scaled = head.magnitude.clone();
    for (float& v : scaled) v *= 1e-4f;
    const Mask b = robust_threshold(scaled);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < a.size(); ++i) wrong += (a[i] != 0) != (head.magnitude[i] > 50.0f);
    EXPECT_EQ(wrong, 0u);
}

}  // namespace qsmpi::mask
