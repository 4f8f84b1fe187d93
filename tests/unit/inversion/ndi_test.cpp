#include "qsmpi/inversion/ndi.hpp"

#include <vector>

#include "inversion_cases.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

Result with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b) { return ndi(field, mask, b); }

TEST(Ndi, FindsASphereAlsoWithObliqueB0)
{
    const Grid grid = grid_of(28, 28, 28);
    EXPECT_LT(sphere_error_percent(with_defaults, grid, 5.0, b0_along_z), 45.0);
    // Where it stops depends on the scan; after a fixed number of iterations the direction matters as far as the
    // lattice sees another cone of D = 0: by a quarter.
    const auto fixed = [](const VolumeF& f, const Mask& m, const UnitVector& b) {
        return ndi(f, m, b, {.radians_per_ppm = 2.0, .max_iterations = 20, .tolerance = 0.0});
    };
    const double straight = sphere_error_percent(fixed, grid, 5.0, b0_along_z);
    const double oblique = sphere_error_percent(fixed, grid, 5.0, oblique_b0);
    EXPECT_NEAR(oblique / straight, 1.0, 0.3);
    const VolumeF chi = ndi(sphere_field_volume(grid, 5.0, 1.0, oblique_b0), ball_mask(grid, 12.5), oblique_b0).chi_ppm;
    EXPECT_GT(contrast(chi, 3.5, 7.0, 11.0), 0.7);
    EXPECT_LT(contrast(chi, 3.5, 7.0, 11.0), 1.15);
}

TEST(Ndi, StopsWhenTheMisfitIsAsSmallAsTheNoise)
{
    const Grid grid = grid_of(28, 28, 28);
    const Mask mask = full_mask(grid);
    VolumeF field = sphere_field_volume(grid, 6.0, 0.5, b0_along_z);
    const VolumeF error = noise(grid, 0.03, 9);
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    const VolumeF truth = sphere_chi(grid, 6.0, 0.5);
    const Result early = ndi(field, mask, b0_along_z, {.noise_ppm = 0.03, .max_iterations = 100, .tolerance = 0.0});
    const Result late = ndi(field, mask, b0_along_z, {.max_iterations = 100, .tolerance = 0.0});
    EXPECT_TRUE(early.converged);
    EXPECT_LT(early.iterations, 30);
    EXPECT_EQ(late.iterations, 100);
    // Semi-convergence: going on fits the noise.
    const double late_error = relative_error_percent(late.chi_ppm, truth, mask);
    EXPECT_LT(relative_error_percent(early.chi_ppm, truth, mask), 0.7 * late_error);
}

TEST(Ndi, BearsWholeTurnsOfThePhase)
{
    const Grid grid = grid_of(28, 28, 28);
    const double r = 16.0;
    const Mask mask = ball_mask(grid, 12.5);
    VolumeF field = sphere_field_volume(grid, 5.0, 0.2, b0_along_z);
    const NdiOptions options{.radians_per_ppm = r, .max_iterations = 30};
    const VolumeF plain = ndi(field, mask, b0_along_z, options).chi_ppm;
    field(9, 14, 14) += static_cast<float>(units::two_pi / r);
    EXPECT_LT(relative_error_percent(ndi(field, mask, b0_along_z, options).chi_ppm, plain, mask), 2.0);
}

TEST(Ndi, ChangesLessAndLess)
{
    const Grid grid = grid_of(24, 24, 24);
    std::vector<double> changes;
    (void)ndi(sphere_field_volume(grid, 5.0, 1.0, b0_along_z), full_mask(grid), b0_along_z,
              {.max_iterations = 40, .tolerance = 0.0}, nullptr, [&](int, double c) { changes.push_back(c); });
    ASSERT_EQ(changes.size(), 40U);
    EXPECT_LT(changes[20], 0.2 * changes[2]);
    EXPECT_LT(changes[39], 0.5 * changes[10]);
}

TEST(Ndi, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_same_bits_for_any_number_of_threads(with_defaults);
    expect_translation_moves_the_map(with_defaults);
}

TEST(Ndi, RefusesNonsenseAndBearsWeightsOfZero)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.1F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)ndi(field, mask, b0_along_z, {.damping = -1.0}), InputError);
    EXPECT_THROW((void)ndi(field, mask, b0_along_z, {.radians_per_ppm = -1.0}), InputError);
    EXPECT_THROW((void)ndi(field, mask, b0_along_z, {.max_iterations = 0}), InputError);
    VolumeF weight(grid, 0.0F);
    const VolumeF zero(grid, 0.0F);
    EXPECT_THAT(ndi(field, mask, b0_along_z, {}, &weight).chi_ppm, VolumeNear(&zero, 0.0));
    weight[3] = -1.0F;
    EXPECT_THROW((void)ndi(field, mask, b0_along_z, {}, &weight), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
