#include "qsmpi/phase/romeo.hpp"

#include <array>
#include <limits>

#include "echoes.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::phase
{
namespace
{

using namespace test;
using ::testing::Each;

constexpr float nan_f = std::numeric_limits<float>::quiet_NaN();
/// Round-off of a float of up to 100 rad: 2^-18.
constexpr double round_off_rad = 1e-5;

/// Smooth, several turns high, steps between neighbours below 2 rad.
VolumeF hills(const Grid& grid)
{
    return from_function(grid, [](const Vec3& r) {
        return 0.03 * (r[0] * r[0] - 0.5 * r[1] * r[1]) + 0.4 * r[2] +
               4.0 * std::sin(0.2 * r[0]) * std::cos(0.15 * r[1]);
    });
}

/// Brain-like: smooth shading, a few per cent texture.
VolumeF shading(const Grid& grid)
{
    return from_function(grid, [](const Vec3& r) {
        return 100.0 * std::exp(-0.0004 * (r[0] * r[0] + r[1] * r[1] + r[2] * r[2])) *
               (1.0 + 0.05 * std::sin(r[0] + 2.0 * r[1]));
    });
}

/// Field of an air sphere in tissue (9.4 ppm) outside the sphere, at 3 T, in Hz.
VolumeF air_sphere_field(const Grid& grid, double radius_mm)
{
    return from_function(grid, [&](const Vec3& r) {
        return units::hz_per_ppm(3.0) * sphere_field(r, radius_mm, 9.4, b0_along_z);
    });
}

TEST(Romeo, RecoversASmoothPhaseUpToOneCommonNumberOfTurns)
{
    for (const Grid& grid : {grid_of(32, 30, 24), grid_of(33, 29, 25, {0.8, 1.0, 1.6}), grid_of(64, 48, 1),
                             grid_of(1, 40, 37)}) {
        const VolumeF truth = hills(grid), wrapped = wrapped_copy(truth), magnitude = shading(grid);
        const Mask mask = full_mask(grid);
        EXPECT_EQ(wrong_voxels(unwrap_romeo(wrapped, {}), truth, mask, round_off_rad), 0u);
        EXPECT_EQ(wrong_voxels(unwrap_romeo(wrapped, {.magnitude = &magnitude, .mask = &mask}), truth, mask,
                               round_off_rad),
                  0u);
    }
}

TEST(Romeo, PutsTheMedianTurnAtZero)
{
    const Grid grid = grid_of(20, 21, 22);
    VolumeF truth = hills(grid);
    for (float& p : truth) p += 40.0f;
    VolumeF result = unwrap_romeo(wrapped_copy(truth), {});
    std::vector<double> turns;
    for (const float p : result) turns.push_back(std::round(static_cast<double>(p) / units::two_pi));
    std::nth_element(turns.begin(), turns.begin() + static_cast<std::ptrdiff_t>(turns.size() / 2),
                     turns.end());
    EXPECT_EQ(turns[turns.size() / 2], 0.0);
}

TEST(Romeo, DiffersFromTheInputByWholeTurnsEvenInPureNoise)
{
    const Grid grid = grid_of(25, 24, 23);
    const VolumeF wrapped = wrapped_copy(noise(grid, 3.0, 1));
    const Mask mask = full_mask(grid);
    const VolumeF result = unwrap_romeo(wrapped, {});
    EXPECT_TRUE(all_finite(result));
    EXPECT_LT(worst_incongruence(result, wrapped, mask), 1e-4);
}

TEST(Romeo, IgnoresTheScaleOfTheMagnitudeAndAConstantPhase)
{
    const Grid grid = grid_of(30, 31, 20);
    const VolumeF truth = hills(grid);
    const Echoes e = simulate_echoes(truth, shading(grid), {1.0 / units::two_pi}, 20.0);
    const Mask mask = full_mask(grid);
    const VolumeF plain = unwrap_romeo(e.phase_rad[0], {.magnitude = &e.magnitude[0]});

    VolumeF scaled = e.magnitude[0].clone();
    for (float& m : scaled) m *= 4096.0f;  // a power of two keeps all bits of the quotients
    EXPECT_THAT(unwrap_romeo(e.phase_rad[0], {.magnitude = &scaled}), VolumeNear(&plain, 0.0));

    VolumeF turned = e.phase_rad[0].clone();
    for (float& p : turned) p = wrapped_by_atan2(static_cast<double>(p) + 2.0);
    const VolumeF moved = unwrap_romeo(turned, {.magnitude = &e.magnitude[0]});
    // Costs may move by one step through round-off of the shifted phase, so a few of 18,600 voxels may choose
    // otherwise.
    std::array<std::size_t, 9> votes{};
    for (std::size_t i = 0; i < moved.size(); ++i) {
        const double turns =
            std::round((static_cast<double>(moved[i]) - static_cast<double>(plain[i]) - 2.0) / units::two_pi);
        ++votes[static_cast<std::size_t>(std::clamp(turns + 4.0, 0.0, 8.0))];
    }
    const std::size_t different = moved.size() - *std::max_element(votes.begin(), votes.end());
    EXPECT_LT(static_cast<double>(different), 0.001 * static_cast<double>(moved.size()));
}

TEST(Romeo, UnwrapsEveryPartOfADisconnectedMaskToMedianZero)
{
    // Two slabs that do not touch, and single voxels in a checkerboard between them.
    const Grid grid = grid_of(24, 20, 21);
    const VolumeF truth = hills(grid), wrapped = wrapped_copy(truth);
    Mask left(grid, 0), right(grid, 0), all(grid, 0);
    for (std::size_t z = 0; z < 21; ++z)
        for (std::size_t y = 0; y < 20; ++y)
            for (std::size_t x = 0; x < 24; ++x) {
                left(x, y, z) = x < 8 ? 1 : 0;
                right(x, y, z) = x > 14 ? 1 : 0;
                const bool checker = x > 9 && x < 13 && (x + y + z) % 2 == 0;
                all(x, y, z) = left(x, y, z) || right(x, y, z) || checker ? 1 : 0;
            }
    const VolumeF result = unwrap_romeo(wrapped, {.mask = &all});
    EXPECT_EQ(wrong_voxels(result, truth, left, round_off_rad), 0u);
    EXPECT_EQ(wrong_voxels(result, truth, right, round_off_rad), 0u);
    EXPECT_LT(worst_incongruence(result, wrapped, all), 1e-4);
    for (std::size_t i = 0; i < result.size(); ++i) {
        if (!all[i]) {
            ASSERT_EQ(result[i], 0.0f) << "outside the mask";
        }
    }
}

TEST(Romeo, TreatsNonFinitePhaseAsOutsideAndSurvivesZeroMagnitude)
{
    const Grid grid = grid_of(20, 18, 17);
    const VolumeF truth = hills(grid);
    VolumeF wrapped = wrapped_copy(truth), magnitude = shading(grid);
    Mask mask = full_mask(grid);
    for (std::size_t i = 0; i < 40; ++i) {
        wrapped[i] = i % 2 == 0 ? nan_f : std::numeric_limits<float>::infinity();
        mask[i] = 0;
    }
    for (std::size_t i = 500; i < 700; ++i) magnitude[i] = i % 3 == 0 ? 0.0f : nan_f;
    const VolumeF result = unwrap_romeo(wrapped, {.magnitude = &magnitude});
    EXPECT_TRUE(all_finite(result));
    EXPECT_EQ(result[0], 0.0f);
    EXPECT_EQ(wrong_voxels(result, truth, mask, round_off_rad), 0u);
}

TEST(Romeo, LeavesAnEmptyMaskZeroAndRefusesOtherGrids)
{
    const Grid grid = grid_of(9, 8, 7);
    const VolumeF wrapped = wrapped_copy(hills(grid));
    const Mask empty(grid, 0);
    const Mask other(grid_of(8, 9, 7), 1);
    EXPECT_THAT(unwrap_romeo(wrapped, {.mask = &empty}), Each(0.0f));
    EXPECT_THROW((void)unwrap_romeo(wrapped, {.mask = &other}), InputError);
    EXPECT_THROW((void)unwrap_romeo(wrapped, {.second_phase_rad = &wrapped}), InputError)
        << "echo times are missing";
}

TEST(Romeo, GoesAroundTheAirSphereWithoutErrors)
{
    // 9.4 ppm of air at 3 T: steps near the surface exceed pi, so a path through the rim would be wrong.
    const Grid grid = grid_of(40, 41, 42);
    const VolumeF field_hz = air_sphere_field(grid, 8.0);
    VolumeF magnitude =
        from_function(grid, [](const Vec3& r) { return std::hypot(r[0], r[1], r[2]) < 8.0 ? 0.0 : 50.0; });
    const Echoes e = simulate_echoes(field_hz, magnitude, {0.004, 0.010}, 1.0);
    const Mask outside = mask_from(grid, [](const Vec3& r) { return std::hypot(r[0], r[1], r[2]) > 10.0; });
    const VolumeF truth = from_function(grid, [](const Vec3& r) {
        return units::rad_from_hz(units::hz_per_ppm(3.0) * sphere_field(r, 8.0, 9.4, b0_along_z), 0.010);
    });
    const VolumeF result = unwrap_romeo(e.phase_rad[1], {.magnitude = &e.magnitude[1],
                                                         .second_phase_rad = &e.phase_rad[0],
                                                         .echo_time_s = 0.010,
                                                         .second_echo_time_s = 0.004});
    // Noise of 1/50 stays far below the 1 rad allowed here.
    EXPECT_EQ(wrong_voxels(result, truth, outside, 1.0), 0u);
}

TEST(Romeo, ChangesHardlyAVoxelWhenTheAxesArePermuted)
{
    const Grid grid = grid_of(30, 26, 28), turned_grid = grid_of(26, 28, 30);
    const Echoes e = simulate_echoes(air_sphere_field(grid, 6.0), shading(grid), {0.010}, 10.0);
    VolumeF phase(turned_grid), magnitude(turned_grid);
    for (std::size_t z = 0; z < 28; ++z)
        for (std::size_t y = 0; y < 26; ++y)
            for (std::size_t x = 0; x < 30; ++x) {
                phase(y, z, x) = e.phase_rad[0](x, y, z);
                magnitude(y, z, x) = e.magnitude[0](x, y, z);
            }
    const VolumeF a = unwrap_romeo(e.phase_rad[0], {.magnitude = &e.magnitude[0]});
    const VolumeF b = unwrap_romeo(phase, {.magnitude = &magnitude});
    std::size_t different = 0;
    for (std::size_t z = 0; z < 28; ++z)
        for (std::size_t y = 0; y < 26; ++y)
            for (std::size_t x = 0; x < 30; ++x)
                different += std::abs(a(x, y, z) - b(y, z, x)) > 1.0f ? 1 : 0;
    EXPECT_LT(static_cast<double>(different), 0.001 * static_cast<double>(a.size()));
}

TEST(Romeo, GivesTheSameBitsForAnyNumberOfThreads)
{
    const Grid grid = grid_of(41, 37, 35);
    const Echoes e = simulate_echoes(hills(grid), shading(grid), {0.1, 0.2}, 30.0);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const auto one = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, nullptr);
    const VolumeF quality_one = romeo_quality(e.phase_rad[0], {});
    parallel::set_threads(3);
    const auto three = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, nullptr);
    const VolumeF quality_three = romeo_quality(e.phase_rad[0], {});
    parallel::set_threads(before);
    EXPECT_THAT(one[0], VolumeNear(&three[0], 0.0));
    EXPECT_THAT(one[1], VolumeNear(&three[1], 0.0));
    EXPECT_THAT(quality_one, VolumeNear(&quality_three, 0.0));
}

TEST(RomeoQuality, IsOneForAFlatPhaseAndFollowsTheFormulaForAStep)
{
    const Grid grid = grid_of(7, 6, 5);
    const VolumeF flat(grid, 0.5f), magnitude(grid, 3.0f);
    const VolumeF quality = romeo_quality(flat, {.magnitude = &magnitude});
    // Edges away from the border: all terms 1. Edges whose outer voxel is missing: linearity 0.9, so 0.1 +
    // 0.81 = 0.91.
    EXPECT_FLOAT_EQ(quality(3, 3, 2), 1.0f);
    EXPECT_FLOAT_EQ(quality(0, 0, 0), 3.0f * 0.91f / 6.0f);

    // A step of 1 rad between x = 2 and x = 3, no magnitude: coherence 0.1 + 0.9 (1 - 1/pi), linearity (1 -
    // 1/2)^2.
    VolumeF step(grid, 0.0f);
    for (std::size_t z = 0; z < 5; ++z)
        for (std::size_t y = 0; y < 6; ++y)
            for (std::size_t x = 3; x < 7; ++x) step(x, y, z) = 1.0f;
    const double across = (0.1 + 0.9 * (1.0 - 1.0 / units::pi)) * (0.1 + 0.9 * 0.25);
    const double beside =
        0.1 + 0.9 * 0.5;  // the edge (1, 2) sees the step in one of its two second differences
    EXPECT_NEAR(romeo_quality(step, {})(2, 3, 2), (across + beside + 4.0) / 6.0, 1e-6);
}

TEST(RomeoQuality, SeparatesSignalFromNoise)
{
    const Grid grid = grid_of(32, 32, 24);
    const Mask ball = ball_mask(grid, 10.0);
    VolumeF magnitude(grid);
    for (std::size_t i = 0; i < grid.size(); ++i) magnitude[i] = ball[i] ? 50.0f : 0.0f;
    const Echoes e = simulate_echoes(hills(grid), magnitude, {0.05, 0.1}, 1.0);
    const VolumeF q = romeo_quality(e.phase_rad[0], {.magnitude = &e.magnitude[0],
                                                     .second_phase_rad = &e.phase_rad[1],
                                                     .echo_time_s = 0.05,
                                                     .second_echo_time_s = 0.1});
    double in = 0.0, out = 0.0, n_in = 0.0, n_out = 0.0;
    for (std::size_t i = 0; i < q.size(); ++i) {
        ASSERT_GE(q[i], 0.0f);
        ASSERT_LE(q[i], 1.0f);
        (ball[i] ? in : out) += static_cast<double>(q[i]);
        (ball[i] ? n_in : n_out) += 1.0;
    }
    EXPECT_GT(in / n_in, 0.65);  // a fifth of the voxels lie at the rim and lose edges there
    EXPECT_LT(out / n_out, 0.35);
}

}  // namespace
}  // namespace qsmpi::phase
