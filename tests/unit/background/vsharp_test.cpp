#include "qsmpi/background/vsharp.hpp"

#include "background_cases.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_small_balls(const VolumeF& field, const Mask& mask, const UnitVector&)
{
    return vsharp(field, mask, {.max_radius_mm = 5.0});
}

TEST(Vsharp, RemovesHarmonicFields)
{
    const Grid grid = grid_of(36, 34, 35);
    const Mask mask = ball_mask(grid, 15.0);
    auto harmonics = harmonic_polynomials();
    // Of order 4 the mean over a ball of cubes is not exact: (h / R)^2 of the field at most.
    harmonics.emplace_back([](const Vec3& p) { return std::pow(p[0], 4) - 6 * p[0] * p[0] * p[1] * p[1] + std::pow(p[1], 4); });
    for (std::size_t i = 0; i < harmonics.size(); ++i) {
        const VolumeF field = from_function(grid, harmonics[i]);
        const LocalField local = vsharp(field, mask, {.max_radius_mm = 6.0});
        EXPECT_LT(rms(local.local_field_ppm, local.mask), (i + 1 < harmonics.size() ? 0.001 : 0.01) * rms(field, local.mask))
            << "harmonic " << i;
    }
}

TEST(Vsharp, RemovesHarmonicFieldsOnAnisotropicVoxels)
{
    const Grid grid = grid_of(36, 30, 18, {1, 1.2, 2.0});
    const Mask mask = ball_mask(grid, 16.0);
    const VolumeF field = from_function(grid, [](const Vec3& p) { return 30 * p[1] + p[0] * p[2] + p[1] * p[1] - p[2] * p[2]; });
    const LocalField local = vsharp(field, mask, {.max_radius_mm = 7.0});
    EXPECT_LT(rms(local.local_field_ppm, local.mask), 0.01 * rms(field, local.mask));
}

TEST(Vsharp, KeepsTheFieldOfInnerSources)
{
    for (const UnitVector& b : {b0_along_z, oblique_b0}) {
        const Head head(grid_of(52, 50, 51), 23.0, b);
        const LocalField local = vsharp(head.total, head.mask, {.max_radius_mm = 8.0});
        const Mask deep = ball_mask(head.grid, 14.0);
        const Agreement a = agreement(local.local_field_ppm, head.local, deep);
        EXPECT_GT(a.correlation, 0.95);
        EXPECT_NEAR(a.slope, 1.0, 0.05);
        // The background is 10 times stronger than what is looked for.
        EXPECT_GT(rms(head.total, head.mask), 10.0 * rms(head.local, head.mask));
    }
}

TEST(Vsharp, IsValidExactlyWhereTheSmallestBallFits)
{
    // Brute force. A voxel may count to a ball when its centre is up to 3/8 of a voxel's diagonal too far.
    const Grid grid = grid_of(20, 19, 14, {1.0, 1.1, 1.5});
    Mask mask = ball_mask(grid, 9.0);
    mask(10, 9, 7) = 0;
    const double radius = 2.5, rim = 0.375 * std::hypot(1.0, 1.1, 1.5);
    const LocalField local = vsharp(noise(grid, 1.0, 2), mask, {.max_radius_mm = 6.0, .min_radius_mm = radius});
    const auto distance_to_outside = [&](const Vec3& p) {
        double nearest = 1e9;
        for (std::size_t z = 0; z < 14; ++z)
            for (std::size_t y = 0; y < 19; ++y)
                for (std::size_t x = 0; x < 20; ++x) {
                    if (mask(x, y, z)) continue;
                    const Vec3 q = position_mm(grid, x, y, z);
                    nearest = std::min(nearest, std::hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2]));
                }
        return nearest;
    };
    int n_valid = 0;
    for (std::size_t z = 0; z < 14; ++z)
        for (std::size_t y = 0; y < 19; ++y)
            for (std::size_t x = 0; x < 20; ++x) {
                const bool valid = local.mask(x, y, z) != 0;
                n_valid += valid ? 1 : 0;
                if (mask(x, y, z) == 0) {
                    ASSERT_FALSE(valid);
                    continue;
                }
                const double distance = distance_to_outside(position_mm(grid, x, y, z));
                if (valid) {
                    ASSERT_GT(distance, radius);
                } else {
                    ASSERT_LE(distance, radius + rim);
                    ASSERT_EQ(local.local_field_ppm(x, y, z), 0.0F);
                }
            }
    EXPECT_GT(n_valid, 100);
}

TEST(Vsharp, TakesTheVoxelsBeyondTheMaskForUnknown)
{
    Head head(grid_of(30, 28, 29), 11.0, b0_along_z);
    const VolumeF before = with_small_balls(head.total, head.mask, b0_along_z).local_field_ppm;
    for (std::size_t i = 0; i < head.mask.size(); ++i)
        if (head.mask[i] == 0) head.total[i] = 1e3F;
    expect_same_bits(with_small_balls(head.total, head.mask, b0_along_z).local_field_ppm, before);
}

TEST(Vsharp, IsLinear)
{
    const Head head(grid_of(30, 28, 29), 11.0, b0_along_z);
    const VolumeF other = noise(head.grid, 0.1, 8);
    const LocalField a = with_small_balls(head.total, head.mask, b0_along_z),
                     b = with_small_balls(other, head.mask, b0_along_z),
                     both = with_small_balls(sum_of(head.total, other), head.mask, b0_along_z);
    const VolumeF expected = sum_of(a.local_field_ppm, b.local_field_ppm);
    // Float round-off of fields of some ppm.
    EXPECT_THAT(both.local_field_ppm, VolumeNear(&expected, 2e-5));
}

TEST(Vsharp, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_small_balls);
    expect_a_single_voxel_is_finite(with_small_balls);
    expect_nan_stays_away(with_small_balls);
    expect_not_finite_is_outside(with_small_balls);
    expect_any_shape_is_defined(with_small_balls);
    expect_same_bits_for_any_number_of_threads(with_small_balls);
    expect_no_unit(with_small_balls);
    expect_translation_moves_the_field(with_small_balls);
}

TEST(Vsharp, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)vsharp(field, mask, {.max_radius_mm = 0.0}), InputError);
    EXPECT_THROW((void)vsharp(field, mask, {.min_radius_mm = -1.0}), InputError);
    EXPECT_THROW((void)vsharp(field, mask, {.step_mm = 0.0}), InputError);
    EXPECT_THROW((void)vsharp(field, mask, {.threshold = 0.0}), InputError);
    EXPECT_THROW((void)vsharp(field, full_mask(grid_of(8, 8, 9))), InputError);
}

}  // namespace
}  // namespace qsmpi::background
