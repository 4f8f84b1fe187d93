#include "qsmpi/inversion/ilsqr.hpp"

#include "inversion_cases.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

Result with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b)
{
    return ilsqr(field, mask, b);
}

TEST(Ilsqr, RecoversASphere)
{
    // Early stopping loses a part of the contrast; nothing may add to it.
    const Grid grid = grid_of(40, 40, 40);
    for (const UnitVector& b : {b0_along_z, oblique_b0}) {
        const VolumeF chi = ilsqr(sphere_field_volume(grid, 6.0, 1.0, b), ball_mask(grid, 16.0), b).chi_ppm;
        const double c = contrast(chi, 4.0, 8.0, 14.0);
        EXPECT_GT(c, 0.8);
        EXPECT_LT(c, 1.05);
    }
}

TEST(Ilsqr, TellsTwoObjectsApart)
{
    const Grid grid = grid_of(44, 30, 30);
    const Mask mask = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0] / 1.5, p[1], p[2]) < 13.0; });
    VolumeF field = sphere_field_volume(grid, 4.0, 0.5, b0_along_z, {-9, 0, 0});
    const VolumeF other = sphere_field_volume(grid, 4.0, -0.3, b0_along_z, {9, 0, 0});
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += other[i];
    const VolumeF chi = ilsqr(field, mask, b0_along_z).chi_ppm;
    const double plus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {-9, 0, 0}));
    const double minus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {9, 0, 0}));
    EXPECT_NEAR(plus - minus, 0.8, 0.15);
}

TEST(Ilsqr, TakesStreaksAway)
{
    // Noise makes streaks along the cone; without it (cone threshold almost 0) the artefact step has nothing to take.
    const Grid grid = grid_of(36, 36, 36);
    const Mask mask = ball_mask(grid, 15.0);
    VolumeF field = sphere_field_volume(grid, 5.0, 1.0, b0_along_z);
    const VolumeF error = noise(grid, 0.03, 9);
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    const auto spread_around = [&](const IlsqrOptions& o) {
        const VolumeF chi = ilsqr(field, mask, b0_along_z, o).chi_ppm;
        double sum = 0.0, squares = 0.0, n = 0.0;
        for (std::size_t z = 0, i = 0; z < 36; ++z)
            for (std::size_t y = 0; y < 36; ++y)
                for (std::size_t x = 0; x < 36; ++x, ++i) {
                    const Vec3 p = position_mm(grid, x, y, z);
                    const double r = std::hypot(p[0], p[1], p[2]);
                    if (r < 7.0 || r > 13.0) continue;
                    sum += static_cast<double>(chi[i]);
                    squares += static_cast<double>(chi[i]) * static_cast<double>(chi[i]);
                    n += 1.0;
                }
        return std::sqrt(squares / n - sum / n * (sum / n));
    };
    EXPECT_LT(spread_around({}), 0.9 * spread_around({.cone_threshold = 1e-4}));
}

TEST(Ilsqr, DoesNotSeeVoxelsWithoutWeight)
{
    const Grid grid = grid_of(24, 24, 24);
    const Mask mask = ball_mask(grid, 10.0);
    const VolumeF field = sphere_field_volume(grid, 4.0, 1.0, b0_along_z);
    VolumeF weight(grid, 1.0F), spoilt = field.clone();
    const Mask wrong = ball_mask(grid, 2.5, {0, 6, 0});
    for (std::size_t i = 0; i < wrong.size(); ++i)
        if (wrong[i] != 0) {
            weight[i] = 0.0F;
            spoilt[i] += 0.5F;
        }
    const VolumeF clean = ilsqr(field, mask, b0_along_z).chi_ppm;
    EXPECT_LT(relative_error_percent(ilsqr(spoilt, mask, b0_along_z, {}, &weight).chi_ppm, clean, mask),
              0.5 * relative_error_percent(ilsqr(spoilt, mask, b0_along_z).chi_ppm, clean, mask));
}

TEST(Ilsqr, ScalesWithTheField)
{
    // Quantiles and relative stops: a field of half the size gives half the map, to the bit.
    const Grid grid = grid_of(20, 18, 16, {1.0, 1.0, 1.5});
    const Mask mask = ball_mask(grid, 8.0);
    VolumeF field = sphere_field_volume(grid, 3.0, 1.0, oblique_b0);
    VolumeF whole = ilsqr(field, mask, oblique_b0).chi_ppm;
    for (float& v : field) v *= 0.5F;
    for (float& v : whole) v *= 0.5F;
    expect_same_bits(ilsqr(field, mask, oblique_b0).chi_ppm, whole);
}

TEST(Ilsqr, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_one_slice_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_same_bits_for_any_number_of_threads([](const VolumeF& field, const Mask& mask, const UnitVector& b) {
        return ilsqr(field, mask, b, {.max_iterations = 5});
    });
}

TEST(Ilsqr, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)ilsqr(field, mask, b0_along_z, {.flat_quantile = 0.9, .steep_quantile = 0.5}), InputError);
    EXPECT_THROW((void)ilsqr(field, mask, b0_along_z, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)ilsqr(field, mask, b0_along_z, {.cone_threshold = 0.7}), InputError);
    EXPECT_THROW((void)ilsqr(field, mask, b0_along_z, {.smooth_mm = 0.0}), InputError);
    EXPECT_THROW((void)ilsqr(field, mask, {0, 0, 0}), InputError);
    VolumeF weight(grid, 1.0F);
    weight[3] = -1.0F;
    EXPECT_THROW((void)ilsqr(field, mask, b0_along_z, {}, &weight), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
