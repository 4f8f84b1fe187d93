#include "qsmpi/background/weak_harmonics.hpp"

#include "background_cases.hpp"
#include "qsmpi/background/lbv.hpp"
#include "qsmpi/background/registry.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

VolumeF cleaned(const VolumeF& field, const Mask& mask, const WeakHarmonicsOptions& options = {})
{
    LocalField local{field.clone(), mask.clone()};
    remove_weak_harmonics(local, options);
    return std::move(local.local_field_ppm);
}

LocalField after_lbv(const VolumeF& field, const Mask& mask, const UnitVector&)
{
    LocalField local = lbv(field, mask);
    remove_weak_harmonics(local);
    return local;
}

TEST(WeakHarmonics, AreRemovedUpToTheirOrder)
{
    // All of order 4, written out from the literature, not by the recursion under test.
    auto harmonics = harmonic_polynomials();
    const auto r2 = [](const Vec3& p) { return p[0] * p[0] + p[1] * p[1] + p[2] * p[2]; };
    harmonics.emplace_back(
        [&](const Vec3& p) { return 35 * std::pow(p[2], 4) - 30 * p[2] * p[2] * r2(p) + 3 * r2(p) * r2(p); });
    harmonics.emplace_back([&](const Vec3& p) { return p[0] * p[2] * (7 * p[2] * p[2] - 3 * r2(p)); });
    harmonics.emplace_back([&](const Vec3& p) { return p[0] * p[1] * (7 * p[2] * p[2] - r2(p)); });
    harmonics.emplace_back([](const Vec3& p) { return p[1] * p[2] * (3 * p[0] * p[0] - p[1] * p[1]); });
    harmonics.emplace_back([](const Vec3& p) { return p[0] * p[1] * (p[0] * p[0] - p[1] * p[1]); });
    const Grid grid = grid_of(24, 21, 14, {1, 1.2, 2});
    const Mask mask = ball_mask(grid, 11.0, {-0.5, 1, 1});
    for (std::size_t i = 0; i < harmonics.size(); ++i) {
        const VolumeF field = from_function(grid, harmonics[i]);
        EXPECT_LT(rms(cleaned(field, mask), mask), 1e-5 * rms(field, mask)) << i;
    }
    const VolumeF cubic = from_function(grid, harmonics[4]);
    EXPECT_GT(rms(cleaned(cubic, mask, {.order = 2}), mask), 0.1 * rms(cubic, mask));
}

TEST(WeakHarmonics, LeaveWhatIsNotHarmonic)
{
    // r^2 is orthogonal to all harmonics but the constant, over any ball.
    const Grid grid = grid_of(25, 25, 25);
    const Mask mask = ball_mask(grid, 11.0);
    VolumeF field = from_function(grid, [](const Vec3& p) { return p[0] * p[0] + p[1] * p[1] + p[2] * p[2]; });
    const VolumeF found = cleaned(field, mask);
    double mean = 0.0, n = 0.0;
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (mask[i] != 0) {
            mean += static_cast<double>(field[i]);
            n += 1.0;
        }
    for (float& v : field) v -= static_cast<float>(mean / n);
    // A ball of cubes has the symmetry of the cube only: a little of order 4 goes.
    EXPECT_LT(relative_error_percent(found, field, mask), 4.0);
}

TEST(WeakHarmonics, OfASourceOutsideGoAtASmallPriceInTheLocalField)
{
    // Of the field of a source at 2.6 radii (1 / 2.6)^4 = 2 % is of order 5, and less above. A sphere of a fifth of the
    // radius loses sqrt(5.25 / 5^3) = 20 % of its field, which has a harmonic part too.
    const Grid grid = grid_of(30, 29, 31);
    const Mask mask = ball_mask(grid, 13.0);
    const VolumeF truth = sum_of(sphere_field_volume(grid, 2.6, 0.3, oblique_b0, {2, -1, 1}),
                                 sphere_field_volume(grid, 2.6, -0.2, oblique_b0, {-5, 3, -3}));
    VolumeF rest = sphere_field_volume(grid, 6.0, 1.0, oblique_b0, {0, -34, 5});
    const auto scale = static_cast<float>(rms(truth, mask) / rms(rest, mask));
    for (float& v : rest) v *= scale;
    const VolumeF found = cleaned(sum_of(truth, rest), mask);
    EXPECT_LT(relative_error_percent(found, truth, mask), 40.0);  // 100 % before
    EXPECT_LT(rms(cleaned(rest, mask), mask), 0.05 * rms(rest, mask));
}

TEST(WeakHarmonics, CountAsTheWeightSays)
{
    const Grid grid = grid_of(20, 18, 19);
    LocalField local{from_function(grid, [](const Vec3& p) { return p[0] - p[1] * p[2]; }), ball_mask(grid, 8.0)};
    local.weight = VolumeF(grid, 1.0F);
    local.local_field_ppm(10, 9, 9) = 1e3F;
    local.weight(10, 9, 9) = 0.0F;
    local.local_field_ppm(12, 9, 9) = std::numeric_limits<float>::quiet_NaN();
    remove_weak_harmonics(local);
    EXPECT_NEAR(local.local_field_ppm(6, 8, 9), 0.0F, 1e-4F);
    EXPECT_NEAR(local.local_field_ppm(10, 9, 9), 1e3F, 1.0F);
}

TEST(WeakHarmonics, FollowTheMethod)
{
    // Measured on a simulated head: where it helps, it is on by default.
    for (const char* name : {"vsharp", "ismv", "lbv"}) EXPECT_TRUE(method(name).leaves_harmonics) << name;
    for (const char* name : {"separation", "pdf", "resharp", "none"})
        EXPECT_FALSE(method(name).leaves_harmonics) << name;
}

TEST(WeakHarmonics, BearEveryMask)
{
    expect_an_empty_mask_gives_zero(after_lbv);
    expect_a_single_voxel_is_finite(after_lbv);
    expect_nan_stays_away(after_lbv);
    expect_any_shape_is_defined(after_lbv);
    expect_same_bits_for_any_number_of_threads(after_lbv);
    expect_no_unit(after_lbv);
    // A slab of one slice and a single voxel leave harmonics undetermined.
    const Grid grid = grid_of(15, 14, 3);
    const VolumeF field = noise(grid, 0.1, 5);
    const Mask slice = mask_from(grid, [](const Vec3& p) { return std::abs(p[2]) < 0.5; }),
               voxel = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0], p[1] - 0.5, p[2]) < 0.1; });
    for (const Mask* mask : {&slice, &voxel}) {
        const VolumeF found = cleaned(field, *mask);
        EXPECT_TRUE(all_finite(found));
        EXPECT_LT(rms(found, *mask), rms(field, *mask));
    }
    expect_same_bits(cleaned(field, Mask(grid, 0)), field);
}

TEST(WeakHarmonics, RefuseNonsense)
{
    LocalField local{VolumeF(grid_of(8, 8, 8), 0.0F), full_mask(grid_of(8, 8, 8))};
    EXPECT_THROW(remove_weak_harmonics(local, {.order = -1}), InputError);
    EXPECT_THROW(remove_weak_harmonics(local, {.order = 9}), InputError);
    local.mask = full_mask(grid_of(8, 8, 9));
    EXPECT_THROW(remove_weak_harmonics(local), InputError);
}

}  // namespace
}  // namespace qsmpi::background
