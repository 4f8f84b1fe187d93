#include "qsmpi/background/ismv.hpp"

#include "background_cases.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_defaults(const VolumeF& field, const Mask& mask, const UnitVector&) { return ismv(field, mask); }

TEST(Ismv, RemovesHarmonicFields)
{
    expect_harmonics_vanish(with_defaults, grid_of(30, 28, 29), 12.0, 0.001);
    // Balls of long voxels are no balls: the mean of x^2 - z^2 over them is not exact.
    expect_harmonics_vanish(with_defaults, grid_of(26, 24, 17, {1, 1.2, 1.6}), 12.0, 0.05);
}

TEST(Ismv, ReturnsALocalFieldThatIsZeroInTheRim)
{
    const auto accurately = [](const VolumeF& field, const Mask& mask, const UnitVector&) {
        return ismv(field, mask, {.tolerance = 1e-5});
    };
    expect_what_is_zero_in_the_rim_comes_back(accurately, grid_of(30, 28, 29), 12.0);
}

TEST(Ismv, IsTheFixedPointOfWensIteration)
{
    // u <- mean of u over the ball where it fits, the field in the rim: 400 rounds, brute force.
    const Grid grid = grid_of(14, 13, 15);
    const Mask mask = ball_mask(grid, 6.0);
    const VolumeF field = sum_of(noise(grid, 0.1, 4), from_function(grid, [](const Vec3& p) { return 0.05 * p[0] * p[1]; }));
    const LocalField local = ismv(field, mask, {.radius_mm = 2.0, .tolerance = 1e-6});

    double ball[7][7][7], total = 0.0;
    for (int z = -3; z <= 3; ++z)
        for (int y = -3; y <= 3; ++y)
            for (int x = -3; x <= 3; ++x) {
                int n = 0;
                for (int k = 0; k < 64; ++k)
                    n += std::hypot(x + (k % 4 - 1.5) / 4, y + (k / 4 % 4 - 1.5) / 4, z + (k / 16 - 1.5) / 4) <= 2.0 ? 1 : 0;
                ball[z + 3][y + 3][x + 3] = n;
                total += n;
            }
    std::vector<double> u(field.begin(), field.end());
    for (int round = 0; round < 400; ++round) {
        std::vector<double> next = u;
        for (int z = 3; z < 12; ++z)
            for (int y = 3; y < 10; ++y)
                for (int x = 3; x < 11; ++x) {
                    const auto at = [&](int i, int j, int k) {
                        return grid.dims.index(static_cast<std::size_t>(i), static_cast<std::size_t>(j), static_cast<std::size_t>(k));
                    };
                    if (local.mask[at(x, y, z)] == 0) continue;
                    double sum = 0.0;
                    for (int c = -3; c <= 3; ++c)
                        for (int b = -3; b <= 3; ++b)
                            for (int a = -3; a <= 3; ++a) sum += ball[c + 3][b + 3][a + 3] * u[at(x + a, y + b, z + c)];
                    next[at(x, y, z)] = sum / total;
                }
        u = std::move(next);
    }
    VolumeF expected(grid, 0.0F);
    int n_valid = 0;
    for (std::size_t i = 0; i < u.size(); ++i)
        if (local.mask[i] != 0) {
            expected[i] = static_cast<float>(static_cast<double>(field[i]) - u[i]);
            ++n_valid;
        }
    EXPECT_GT(n_valid, 100);
    EXPECT_THAT(local.local_field_ppm, VolumeNear(&expected, 1e-5));
}

TEST(Ismv, KeepsTheFieldOfInnerSources)
{
    const Head head(grid_of(52, 50, 51), 23.0, oblique_b0);
    const LocalField local = with_defaults(head.total, head.mask, oblique_b0);
    EXPECT_TRUE(local.converged);
    EXPECT_GT(local.iterations, 5);
    const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 14.0));
    EXPECT_GT(a.correlation, 0.95);
    EXPECT_NEAR(a.slope, 1.0, 0.05);
}

TEST(Ismv, BearsEveryMask)
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

TEST(Ismv, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)ismv(field, mask, {.radius_mm = -1.0}), InputError);
    EXPECT_THROW((void)ismv(field, mask, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)ismv(field, mask, {.tolerance = 0.0}), InputError);
    EXPECT_THROW((void)ismv(field, full_mask(grid_of(8, 8, 9))), InputError);
}

}  // namespace
}  // namespace qsmpi::background
