#include "qsmpi/background/lbv.hpp"

#include "background_cases.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_defaults(const VolumeF& field, const Mask& mask, const UnitVector&) { return lbv(field, mask); }

TEST(Lbv, RemovesHarmonicFieldsExactly)
{
    // What is left is float round-off of the field, amplified by the inverse Laplacian of the noise it is.
    expect_harmonics_vanish(with_defaults, grid_of(36, 34, 35), 15.0, 1e-5);
    expect_harmonics_vanish(with_defaults, grid_of(36, 30, 14, {1, 1.2, 3}), 17.0, 1e-5);
}

TEST(Lbv, ReturnsALocalFieldThatIsZeroInTheRim)
{
    expect_what_is_zero_in_the_rim_comes_back(with_defaults, grid_of(36, 34, 35), 15.0);
    expect_what_is_zero_in_the_rim_comes_back(with_defaults, grid_of(36, 30, 14, {1, 1.2, 3}), 17.0);
}

TEST(Lbv, NeedsNoMoreIterationsOnLargerGridsAndLongerVoxels)
{
    const auto iterations = [](const Grid& grid, double radius_mm) {
        const LocalField local = lbv(noise(grid, 0.1, 3), ball_mask(grid, radius_mm));
        EXPECT_TRUE(local.converged);
        return local.iterations;
    };
    EXPECT_LE(iterations(grid_of(20, 20, 20), 9.0), 12);
    EXPECT_LE(iterations(grid_of(64, 64, 64), 31.0), 12);
    EXPECT_LE(iterations(grid_of(64, 64, 16, {1, 1, 4}), 31.0), 12);
    EXPECT_LE(iterations(grid_of(16, 64, 64, {4, 1, 1}), 31.0), 12);
}

TEST(Lbv, LosesThePeelAndALayerOfVoxels)
{
    const Grid grid = grid_of(24, 23, 25, {1, 1, 1.2});
    const Mask mask = ball_mask(grid, 11.0);
    const VolumeF field = noise(grid, 0.1, 3);
    const auto lost_mm = [&](const LbvOptions& options) {
        const LocalField local = lbv(field, mask, options);
        const VolumeF depth_mm = numerics::distance_inside_mm(mask);
        float deepest = 0.0F;
        for (std::size_t i = 0; i < mask.size(); ++i)
            if (local.mask[i] == 0) deepest = std::max(deepest, depth_mm[i]);
        return deepest;
    };
    EXPECT_NEAR(lost_mm({.peel_mm = 0.0}), 1.2, 1e-5);
    EXPECT_NEAR(lost_mm({}), 2.4, 1e-5);
    EXPECT_NEAR(lost_mm({.peel_mm = 4.0}), 4.0, 1.2);
}

TEST(Lbv, KeepsTheFieldOfInnerSources)
{
    const Head head(grid_of(52, 50, 51), 23.0, oblique_b0);
    const LocalField local = with_defaults(head.total, head.mask, oblique_b0);
    const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 14.0));
    EXPECT_GT(a.correlation, 0.95);
    EXPECT_NEAR(a.slope, 1.0, 0.05);
}

TEST(Lbv, TreatsTwoObjectsAsTwo)
{
    const Grid grid = grid_of(31, 14, 15);
    const Mask left = ball_mask(grid, 6.0, {-8, 0, 0}), right = ball_mask(grid, 5.0, {8, 0, 1});
    Mask both(grid);
    for (std::size_t i = 0; i < both.size(); ++i) both[i] = left[i] | right[i];
    const VolumeF field = noise(grid, 0.1, 6);
    const VolumeF expected = sum_of(lbv(field, left).local_field_ppm, lbv(field, right).local_field_ppm);
    EXPECT_LT(relative_error_percent(lbv(field, both).local_field_ppm, expected, both), 0.01);
}

TEST(Lbv, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_not_finite_is_outside(with_defaults);
    expect_any_shape_is_defined(with_defaults);
    expect_same_bits_for_any_number_of_threads(with_defaults);
    expect_no_unit(with_defaults);
    expect_translation_moves_the_field(with_defaults);
}

TEST(Lbv, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)lbv(field, mask, {.peel_mm = -1.0}), InputError);
    EXPECT_THROW((void)lbv(field, mask, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)lbv(field, mask, {.tolerance = 0.0}), InputError);
    EXPECT_THROW((void)lbv(field, full_mask(grid_of(8, 8, 9))), InputError);
}

}  // namespace
}  // namespace qsmpi::background
