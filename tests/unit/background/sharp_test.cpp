#include "qsmpi/background/sharp.hpp"

#include "background_cases.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_a_small_ball(const VolumeF& field, const Mask& mask, const UnitVector&)
{
    return sharp(field, mask, {.radius_mm = 3.0});
}

TEST(Sharp, RemovesHarmonicFields)
{
    expect_harmonics_vanish(with_a_small_ball, grid_of(30, 28, 29), 12.0, 0.001);
}

TEST(Sharp, KeepsTheFieldOfInnerSources)
{
    const Head head(grid_of(52, 50, 51), 23.0, oblique_b0);
    const LocalField local = sharp(head.total, head.mask, {.radius_mm = 6.0});
    const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 14.0));
    EXPECT_GT(a.correlation, 0.95);
    EXPECT_NEAR(a.slope, 1.0, 0.05);
}

TEST(Sharp, IsValidWhereItsBallFits)
{
    // Centres of voxels on the rim of the ball may be up to 3/8 of a voxel's diagonal farther than the radius.
    const Grid grid = grid_of(30, 28, 29);
    const Mask mask = ball_mask(grid, 12.0);
    const LocalField local = sharp(noise(grid, 0.1, 2), mask, {.radius_mm = 4.0});
    const VolumeF depth_mm = numerics::distance_inside_mm(mask);
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (local.mask[i] != 0) {
            ASSERT_GT(depth_mm[i], 4.0F);
        } else {
            ASSERT_LE(depth_mm[i], 4.0F + 0.375F * std::sqrt(3.0F));
        }
    }
}

TEST(Sharp, TakesNoBallBelowOneAndAHalfVoxels)
{
    const Head head(grid_of(24, 24, 12, {1, 1, 2}), 10.0, b0_along_z);
    const LocalField small = sharp(head.total, head.mask, {.radius_mm = 0.1}),
                     least = sharp(head.total, head.mask, {.radius_mm = 3.0});
    expect_same_bits(small.local_field_ppm, least.local_field_ppm);
    EXPECT_TRUE(std::equal(small.mask.begin(), small.mask.end(), least.mask.begin()));
}

TEST(Sharp, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_a_small_ball);
    expect_a_single_voxel_is_finite(with_a_small_ball);
    expect_not_finite_is_outside(with_a_small_ball);
    expect_any_shape_is_defined(with_a_small_ball);
    expect_same_bits_for_any_number_of_threads(with_a_small_ball);
    expect_no_unit(with_a_small_ball);
    expect_translation_moves_the_field(with_a_small_ball);
}

TEST(Sharp, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    EXPECT_THROW((void)sharp(field, full_mask(grid), {.radius_mm = 0.0}), InputError);
    EXPECT_THROW((void)sharp(field, full_mask(grid), {.threshold = 1.0}), InputError);
    EXPECT_THROW((void)sharp(field, full_mask(grid_of(8, 8, 9))), InputError);
}

}  // namespace
}  // namespace qsmpi::background
