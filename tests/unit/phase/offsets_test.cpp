#include "qsmpi/phase/offsets.hpp"

#include <algorithm>
#include <array>

#include "echoes.hpp"

namespace qsmpi::phase
{
namespace
{

using namespace test;

VolumeF field_of(const Grid& grid)
{
    return from_function(grid, [](const Vec3& r) {
        const Vec3 from_sphere{r[0], r[1] - 3.0, r[2] + 40.0};
        return 1.2 * r[0] - 0.6 * r[2] +
               units::hz_per_ppm(3.0) * sphere_field(from_sphere, 12.0, 9.4, b0_along_z);
    });
}

/// Low-order polynomial: the slope and curvature of 3 rad from the middle of a head to its rim.
VolumeF offset_of(const Grid& grid)
{
    return from_function(
        grid, [](const Vec3& r) { return 0.8 + 0.05 * r[0] - 0.03 * r[1] + 0.0003 * r[2] * r[2]; });
}

VolumeF magnitude_of(const Grid& grid, const Mask& mask)
{
    VolumeF m(grid, 0.0f);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = mask[i] ? 100.0f : 0.0f;
    return m;
}

/// Root mean square over the mask of phase - 2 pi f TE, its circular mean taken out.
double rms_residual(const VolumeF& phase, const VolumeF& field_hz, double echo_time_s, const Mask& mask)
{
    std::complex<double> mean;
    const auto residual = [&](std::size_t i) {
        return static_cast<double>(phase[i]) -
               units::rad_from_hz(static_cast<double>(field_hz[i]), echo_time_s);
    };
    for (std::size_t i = 0; i < phase.size(); ++i) {
        if (mask[i]) mean += std::polar(1.0, residual(i));
    }
    double square = 0.0, n = 0.0;
    for (std::size_t i = 0; i < phase.size(); ++i) {
        if (!mask[i]) continue;
        const double r = std::remainder(residual(i) - std::arg(mean), units::two_pi);
        square += r * r;
        n += 1.0;
    }
    return std::sqrt(square / n);
}

struct OffsetCase {
    std::vector<double> echo_times_s;
    Vec3 voxel_mm;
};

class RemoveOffset : public ::testing::TestWithParam<OffsetCase>
{
};

TEST_P(RemoveOffset, LeavesThePhaseOfTheFieldAlone)
{
    const Grid grid = grid_of(42, 39, 40, GetParam().voxel_mm);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    Echoes e =
        simulate_echoes(field_hz, magnitude_of(grid, mask), GetParam().echo_times_s, 0.0, 0.0, &offset);
    const VolumeF removed = remove_offset(e.phase_rad, e.magnitude, e.echo_times_s).offset_rad;
    for (std::size_t k = 0; k < e.phase_rad.size(); ++k) {
        // The specification asks for 0.02 rad; it bounds what smoothing a curved offset at the rim costs.
        EXPECT_LT(rms_residual(e.phase_rad[k], field_hz, e.echo_times_s[k], mask), 0.02) << "echo " << k + 1;
        for (const float p : e.phase_rad[k]) ASSERT_TRUE(p >= -3.1415927f && p < 3.1415927f);
    }
    EXPECT_LT(rms_residual(removed, offset, 1.0 / units::two_pi, mask), 0.02);
}

INSTANTIATE_TEST_SUITE_P(EchoTimes, RemoveOffset,
                         ::testing::Values(OffsetCase{{0.004, 0.008, 0.012}, {1, 1, 1}},  // ASPIRE, m = 1
                                           OffsetCase{{0.006, 0.009}, {1, 1, 1.3}},       // ASPIRE, m = 2
                                           OffsetCase{{0.004, 0.012, 0.020, 0.028}, {1, 1, 1}},  // m = 1/2
                                           OffsetCase{{0.0049, 0.0112, 0.0180},
                                                      {0.9, 1.1, 1.3}}));  // m = 0.78, uneven

TEST(RemoveOffset, IsAccurateInNoiseWhereTheSignalIsGood)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    for (const std::vector<double>& times :
         {std::vector{0.004, 0.008, 0.012}, std::vector{0.004, 0.012, 0.020}}) {
        Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), times, 4.0, 20.0, &offset);
        const VolumeF removed = remove_offset(e.phase_rad, e.magnitude, e.echo_times_s).offset_rad;
        EXPECT_LT(rms_residual(removed, offset, 1.0 / units::two_pi, mask), 0.02);
    }
}

TEST(RemoveOffset, ExtrapolatesBeyondTheSignal)
{
    // Signal only in a small ball: 8 mm outside the rim the removed offset still follows the slope of the
    // true one.
    const Grid grid = grid_of(60, 50, 50);
    const Mask inside = ball_mask(grid, 14.0);
    const Mask shell = mask_from(grid, [](const Vec3& r) {
        const double d = std::hypot(r[0], r[1], r[2]);
        return d > 18.0 && d < 22.0;
    });
    const VolumeF field_hz = field_of(grid);
    const VolumeF offset = from_function(grid, [](const Vec3& r) { return 0.5 + 0.1 * r[0] - 0.05 * r[1]; });
    Echoes e = simulate_echoes(field_hz, magnitude_of(grid, inside), {0.004, 0.012}, 0.0, 0.0, &offset);
    const VolumeF removed = remove_offset(e.phase_rad, e.magnitude, e.echo_times_s).offset_rad;
    EXPECT_LT(rms_residual(removed, offset, 1.0 / units::two_pi, shell), 0.1);
    EXPECT_TRUE(all_finite(removed));
}

TEST(RemoveOffset, WorksWithoutMagnitudeAndWithNaN)
{
    const Grid grid = grid_of(33, 32, 31);
    const Mask mask = ball_mask(grid, 13.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    Echoes e = simulate_echoes(field_hz, VolumeF(grid, 1.0f), {0.005, 0.012}, 0.0, 0.0, &offset);
    e.phase_rad[0](0, 0, 0) = std::nanf("");
    const VolumeF removed = remove_offset(e.phase_rad, {}, e.echo_times_s).offset_rad;
    EXPECT_TRUE(all_finite(removed));
    EXPECT_LT(rms_residual(e.phase_rad[1], field_hz, 0.012, mask), 0.02);
}

TEST(RemoveOffset, IsExactWithAspireTimingWhereNothingCanBeUnwrapped)
{
    // Field steps of up to 0.9 turns between neighbours and between two parts that do not touch: with whole m
    // wraps cancel. A plane is what smoothing leaves alone, so round-off of phases up to 40 rad is all that
    // remains.
    const Grid grid = grid_of(40, 37, 30);
    const Mask mask = mask_from(grid, [](const Vec3& r) { return std::abs(r[0]) > 4.0 && std::abs(r[1]) < 15.0; });
    const VolumeF rough_hz = noise(grid, 60.0, 3);
    const VolumeF offset = from_function(grid, [](const Vec3& r) { return 0.8 + 0.05 * r[0] - 0.03 * r[1]; });
    for (const std::vector<double>& times : {std::vector{0.005, 0.010, 0.015}, std::vector{0.006, 0.009}}) {
        Echoes e = simulate_echoes(rough_hz, magnitude_of(grid, mask), times, 0.0, 0.0, &offset);
        EXPECT_EQ(plan_offset(e.magnitude, e.echo_times_s).method, OffsetMethod::aspire);
        (void)remove_offset(e.phase_rad, e.magnitude, e.echo_times_s);
        for (std::size_t k = 0; k < times.size(); ++k)
            EXPECT_LT(rms_residual(e.phase_rad[k], rough_hz, times[k], mask), 2e-4) << "echo " << k + 1;
    }
}

TEST(RemoveOffset, BothMethodsAgreeWhereBothWork)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    const Echoes e =
        simulate_echoes(field_hz, magnitude_of(grid, mask), {0.004, 0.008, 0.012}, 0.0, 0.0, &offset);
    VolumeF removed[2];
    for (const auto method : {OffsetMethod::mcpc3ds, OffsetMethod::aspire}) {
        std::vector<VolumeF> phase;
        for (const VolumeF& p : e.phase_rad) phase.push_back(p.clone());
        removed[method == OffsetMethod::aspire ? 1 : 0] =
            remove_offset(phase, e.magnitude, e.echo_times_s, {.method = method}).offset_rad;
    }
    EXPECT_LT(rms_residual(removed[0], removed[1], 1.0 / units::two_pi, mask), 1e-3);
}

TEST(RemoveOffset, LeavesOutAnEchoThatIsMissingInPart)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), {0.004, 0.0102, 0.018}, 0.0, 0.0, &offset);
    for (std::size_t i = 0; i < grid.size() / 2; ++i) e.magnitude[0][i] = e.phase_rad[0][i] = 0.0f;
    EXPECT_THAT(plan_offset(e.magnitude, e.echo_times_s).echoes, ::testing::ElementsAre(1, 2));
    (void)remove_offset(e.phase_rad, e.magnitude, e.echo_times_s);
    for (const std::size_t k : {1, 2})
        EXPECT_LT(rms_residual(e.phase_rad[k], field_hz, e.echo_times_s[k], mask), 0.02) << "echo " << k + 1;
}

/// field_of(), so many times as steep: up to 11 Hz from voxel to voxel for 1, at the rim of ball_mask(grid, 17.0).
VolumeF steep_field(const Grid& grid, float factor)
{
    VolumeF field_hz = field_of(grid);
    for (float& f : field_hz) f *= factor;
    return field_hz;
}

TEST(RemoveOffset, FollowsTheFirstEchoWhereTheStepToTheNextIsTooSteep)
{
    // 1.3 turns from voxel to voxel over 30 ms, 0.17 over 4 ms.
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = steep_field(grid, 4.0f), offset = offset_of(grid);
    Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), {0.004, 0.034, 0.0641}, 1.0, 0.0, &offset);
    const RemovedOffset removed = remove_offset(e.phase_rad, e.magnitude, e.echo_times_s);
    EXPECT_EQ(removed.wraps, StepWraps::from_first);
    EXPECT_GT(removed.steep_steps, 0.01);
    EXPECT_LT(rms_residual(removed.offset_rad, offset, 1.0 / units::two_pi, mask), 0.02);
}

TEST(RemoveOffset, SaysWhenNoEchoTellsTheWraps)
{
    // The phase of the first echo has 0.3 rad of noise, 4.5 rad in what it predicts of the step over 60 ms.
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = steep_field(grid, 4.0f), offset = offset_of(grid);
    Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), {0.004, 0.064}, 30.0, 0.0, &offset);
    EXPECT_EQ(remove_offset(e.phase_rad, e.magnitude, e.echo_times_s).wraps, StepWraps::unknown);
}

TEST(RemoveOffset, IsToldByTheOtherEchoesWhereOneIsMissing)
{
    // A block of 12 mm without one of the first two echoes; its middle is 3 standard deviations from their signal.
    // The offset bends by 0.36 rad from the rim of the block to its middle.
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const Mask block = mask_from(grid, [](const Vec3& r) {
        return std::max({std::abs(r[0]), std::abs(r[1]), std::abs(r[2])}) < 6.0;
    });
    const VolumeF field_hz = field_of(grid);
    const VolumeF offset = from_function(
        grid, [](const Vec3& r) { return 0.8 + 0.05 * r[0] - 0.03 * r[1] + 0.01 * r[2] * r[2]; });
    for (const std::vector<double>& times : {std::vector{0.004, 0.008, 0.012}, std::vector{0.004, 0.010, 0.016}}) {
        for (const std::size_t missing : {0, 1}) {
            Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), times, 0.0, 0.0, &offset);
            for (std::size_t i = 0; i < grid.size(); ++i)
                if (block[i]) e.magnitude[missing][i] = e.phase_rad[missing][i] = 0.0f;
            EXPECT_THAT(plan_offset(e.magnitude, times).echoes, ::testing::ElementsAre(0, 1));
            (void)remove_offset(e.phase_rad, e.magnitude, times, {.smoothing_sigma_mm = 2.0});
            // A quadratic term is smoothed to 0.01 / mm^2 times the variance above itself, the same everywhere.
            EXPECT_LT(rms_residual(e.phase_rad[2], field_hz, times[2], block), 0.02) << "without echo " << missing + 1;
        }
    }
}

TEST(RemoveOffset, RefusesAspireWithoutItsTiming)
{
    EXPECT_EQ(plan_offset({}, std::array{0.005, 0.010}).method, OffsetMethod::aspire);
    EXPECT_EQ(plan_offset({}, std::array{0.005, 0.012}).method, OffsetMethod::mcpc3ds);
    EXPECT_EQ(plan_offset({}, std::array{0.005, 0.010}, OffsetMethod::mcpc3ds).method, OffsetMethod::mcpc3ds);
    EXPECT_THROW((void)plan_offset({}, std::array{0.005, 0.012}, OffsetMethod::aspire), InputError);
}

TEST(RemoveOffset, RefusesOneEchoAndEqualTimes)
{
    const Grid grid = grid_of(8, 8, 8);
    std::vector<VolumeF> phase;
    phase.emplace_back(grid, 0.0f);
    EXPECT_THROW((void)remove_offset(phase, {}, std::array{0.01}), InputError);
    phase.emplace_back(grid, 0.0f);
    EXPECT_THROW((void)remove_offset(phase, {}, std::array{0.01, 0.01}), InputError);
}

class RemoveBipolar : public ::testing::TestWithParam<std::vector<double>>
{
};

TEST_P(RemoveBipolar, LeavesThePhaseOfTheFieldAlone)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    const VolumeF g = from_function(grid, [](const Vec3& r) { return 0.4 + 0.05 * r[0] + 0.01 * r[1]; });
    Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), GetParam(), 0.0, 0.0, &offset, &g);
    const VolumeF removed = remove_bipolar(e.phase_rad, e.magnitude, e.echo_times_s);
    (void)remove_offset(e.phase_rad, e.magnitude, e.echo_times_s);
    for (std::size_t k = 0; k < e.phase_rad.size(); ++k) {
        EXPECT_LT(rms_residual(e.phase_rad[k], field_hz, e.echo_times_s[k], mask), 0.02) << "echo " << k + 1;
    }
    EXPECT_LT(rms_residual(removed, g, 1.0 / units::two_pi, mask), 0.02);
}

INSTANTIATE_TEST_SUITE_P(EchoTimes, RemoveBipolar,
                         ::testing::Values(std::vector{0.004, 0.008, 0.012},         // equal spacing, m = 1
                                           std::vector{0.003, 0.005, 0.007, 0.009},  // m = 1.5, four echoes
                                           std::vector{0.004, 0.006, 0.010},         // spacings 1 : 2
                                           std::vector{0.004, 0.006, 0.0082},  // 1 : 1.1, steps are unwrapped
                                           std::vector{0.005, 0.008, 0.0101}));  // 1 : 0.7

TEST(BipolarEvidence, IsLowForAMonopolarReadoutAndForNoise)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    for (const std::vector<double>& times :
         {std::vector{0.004, 0.012, 0.020, 0.028}, std::vector{0.004, 0.008, 0.01205}, std::vector{0.004, 0.0115, 0.0165}}) {
        const Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), times, 8.0, 25.0, &offset);
        EXPECT_LT(bipolar_evidence(e.phase_rad, e.magnitude, e.echo_times_s), 0.1);
    }
    const Echoes air = simulate_echoes(field_hz, VolumeF(grid, 0.0f), {0.004, 0.008, 0.012}, 1.0);
    EXPECT_LT(bipolar_evidence(air.phase_rad, air.magnitude, air.echo_times_s), 0.1);
}

TEST(BipolarEvidence, IsHighForAConstantAndForARampInNoise)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF field_hz = field_of(grid), offset = offset_of(grid);
    const VolumeF constant(grid, 0.5f);
    const VolumeF ramp = from_function(grid, [](const Vec3& r) { return 0.06 * r[1]; });
    for (const std::vector<double>& times : {std::vector{0.004, 0.008, 0.012}, std::vector{0.004, 0.0115, 0.0165}}) {
        for (const VolumeF* g : {&constant, &ramp}) {
            const Echoes e = simulate_echoes(field_hz, magnitude_of(grid, mask), times, 5.0, 25.0, &offset, g);
            EXPECT_GT(bipolar_evidence(e.phase_rad, e.magnitude, e.echo_times_s), 0.5) << times[1];
        }
    }
}

TEST(BipolarEvidence, IsLowWhereTheFirstEchoIsMissingInPart)
{
    const Grid grid = grid_of(42, 39, 40);
    const Mask mask = ball_mask(grid, 17.0);
    const VolumeF offset = offset_of(grid);
    for (const std::vector<double>& times : {std::vector{0.004, 0.012, 0.020}, std::vector{0.004, 0.0115, 0.0165}}) {
        Echoes e = simulate_echoes(field_of(grid), magnitude_of(grid, mask), times, 8.0, 25.0, &offset);
        for (std::size_t i = 0; i < grid.size() / 2; ++i) e.magnitude[0][i] = e.phase_rad[0][i] = 0.0f;
        EXPECT_LT(bipolar_evidence(e.phase_rad, e.magnitude, e.echo_times_s), 0.1) << times[1];
    }
}

TEST(BipolarEvidence, IsZeroForTwoEchoes)
{
    const Grid grid = grid_of(12, 12, 12);
    const Echoes two = simulate_echoes(field_of(grid), VolumeF(grid, 1.0f), {0.004, 0.008}, 0.0);
    EXPECT_EQ(bipolar_evidence(two.phase_rad, two.magnitude, two.echo_times_s), 0.0);
}

}  // namespace
}  // namespace qsmpi::phase
