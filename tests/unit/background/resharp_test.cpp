#include "qsmpi/background/resharp.hpp"

#include "background_cases.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_a_small_ball(const VolumeF& field, const Mask& mask, const UnitVector&)
{
    return resharp(field, mask, {.radius_mm = 4.0});
}

TEST(Resharp, RemovesHarmonicFields)
{
    expect_harmonics_vanish(with_a_small_ball, grid_of(30, 28, 29), 12.0, 0.001);
}

TEST(Resharp, KeepsTheFieldOfInnerSources)
{
    const Head head(grid_of(52, 50, 51), 23.0, oblique_b0);
    const LocalField local = resharp(head.total, head.mask, {.radius_mm = 8.0});
    EXPECT_TRUE(local.converged);
    const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 14.0));
    EXPECT_GT(a.correlation, 0.95);
    EXPECT_NEAR(a.slope, 1.0, 0.08);  // the smallest field is preferred
}

TEST(Resharp, WithAStrongPenaltyIsTheGradientOfTheMisfit)
{
    // lambda l -> C S C f for large lambda, up to ||C S C|| / lambda of it; C by brute force.
    const Grid grid = grid_of(14, 13, 15);
    const Mask mask = ball_mask(grid, 6.0);
    const VolumeF field = noise(grid, 0.1, 4);
    constexpr double lambda = 1e4;
    const LocalField local = resharp(field, mask, {.radius_mm = 2.0, .lambda = lambda, .tolerance = 1e-6});

    const auto high_pass = [&](const VolumeF& v) {
        VolumeF result = v.clone();
        for (int z = 0; z < 15; ++z)
            for (int y = 0; y < 13; ++y)
                for (int x = 0; x < 14; ++x) {
                    double sum = 0.0, total = 0.0;
                    for (int c = -3; c <= 3; ++c)
                        for (int b = -3; b <= 3; ++b)
                            for (int a = -3; a <= 3; ++a) {
                                int n = 0;
                                for (int k = 0; k < 64; ++k)
                                    n += std::hypot(a + (k % 4 - 1.5) / 4, b + (k / 4 % 4 - 1.5) / 4, c + (k / 16 - 1.5) / 4) <= 2.0
                                             ? 1
                                             : 0;
                                total += n;
                                const int i = x + a, j = y + b, l = z + c;
                                if (n == 0 || i < 0 || j < 0 || l < 0 || i >= 14 || j >= 13 || l >= 15) continue;
                                sum += n * static_cast<double>(v(static_cast<std::size_t>(i), static_cast<std::size_t>(j),
                                                                 static_cast<std::size_t>(l)));
                            }
                    result(static_cast<std::size_t>(x), static_cast<std::size_t>(y), static_cast<std::size_t>(z)) -=
                        static_cast<float>(sum / total);
                }
        return result;
    };
    const auto in_valid = [&](VolumeF v) {
        for (std::size_t i = 0; i < v.size(); ++i)
            if (local.mask[i] == 0) v[i] = 0.0F;
        return v;
    };
    const VolumeF expected = in_valid(high_pass(in_valid(high_pass(field))));
    VolumeF found = local.local_field_ppm.clone();
    for (float& v : found) v *= static_cast<float>(lambda);
    EXPECT_GT(rms(expected, local.mask), 0.05);
    EXPECT_LT(relative_error_percent(found, expected, local.mask), 0.05);
}

TEST(Resharp, ConvergesToAStationaryPoint)
{
    // Ten times the accuracy changes little: the default tolerance is far below the error of the method.
    const Head head(grid_of(40, 38, 39), 18.0, b0_along_z);
    const LocalField usual = resharp(head.total, head.mask, {.radius_mm = 6.0}),
                     best = resharp(head.total, head.mask, {.radius_mm = 6.0, .tolerance = 3e-5});
    EXPECT_GT(best.iterations, usual.iterations);
    EXPECT_LT(relative_error_percent(usual.local_field_ppm, best.local_field_ppm, best.mask), 5.0);
}

TEST(Resharp, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_a_small_ball);
    expect_a_single_voxel_is_finite(with_a_small_ball);
    expect_nan_stays_away(with_a_small_ball);
    expect_not_finite_is_outside(with_a_small_ball);
    expect_any_shape_is_defined(with_a_small_ball);
    expect_same_bits_for_any_number_of_threads(with_a_small_ball);
    expect_no_unit(with_a_small_ball);
    expect_translation_moves_the_field(with_a_small_ball);
}

TEST(Resharp, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)resharp(field, mask, {.radius_mm = 0.0}), InputError);
    EXPECT_THROW((void)resharp(field, mask, {.lambda = 0.0}), InputError);
    EXPECT_THROW((void)resharp(field, mask, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)resharp(field, mask, {.tolerance = 0.0}), InputError);
    EXPECT_THROW((void)resharp(field, full_mask(grid_of(8, 8, 9))), InputError);
}

}  // namespace
}  // namespace qsmpi::background
