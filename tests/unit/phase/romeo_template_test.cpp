#include <array>

#include "echoes.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::phase
{
namespace
{

using namespace test;

/// Tissue with a sphere of air 13 mm below the masks used here, 3 T, in Hz, plus a constant. Steepest step
/// between neighbours inside: 45 Hz, 1.4 rad at 5 ms.
VolumeF head_field(const Grid& grid, double constant_hz = 0.0)
{
    return from_function(grid, [&](const Vec3& r) {
        const Vec3 from_sphere{r[0] - 2.0, r[1], r[2] + 26.0};
        return constant_hz + units::hz_per_ppm(3.0) * sphere_field(from_sphere, 8.0, 9.4, b0_along_z) +
               1.5 * r[0];
    });
}

/// Number of voxels in the mask where echo k is not the true phase within `tolerance_rad`.
std::size_t wrong(const VolumeF& unwrapped, const VolumeF& field_hz, double echo_time_s, const Mask& mask,
                  double tolerance_rad)
{
    std::size_t n = 0;
    for (std::size_t i = 0; i < unwrapped.size(); ++i) {
        const double truth = units::rad_from_hz(static_cast<double>(field_hz[i]), echo_time_s);
        n += mask[i] && !(std::abs(static_cast<double>(unwrapped[i]) - truth) < tolerance_rad) ? 1 : 0;
    }
    return n;
}

TEST(RomeoTemplate, RecoversEveryEchoOfTheSphereFieldExactly)
{
    for (const Grid& grid : {grid_of(36, 34, 32), grid_of(35, 33, 21, {1.0, 1.0, 1.6})}) {
        const Mask mask = ball_mask(grid, 13.0);
        const VolumeF field_hz = head_field(grid);
        const Echoes e = simulate_echoes(field_hz, VolumeF(grid, 10.0f), {0.004, 0.012, 0.020, 0.028}, 0.0);
        const auto result = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
        ASSERT_EQ(result.size(), 4u);
        // Round-off of float phases: the field is known to 1e-7 relative, phases reach 100 rad.
        for (std::size_t k = 0; k < 4; ++k)
            EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], mask, 1e-4), 0u) << k;
    }
}

TEST(RomeoTemplate, KeepsEchoesConsistentInNoise)
{
    // (g) of the specification: five echoes, signal-to-noise ratio from 5 to 9 at the last echo.
    const Grid grid = grid_of(40, 40, 30);
    const Mask mask = ball_mask(grid, 14.0);
    const VolumeF field_hz = head_field(grid);
    const Echoes e =
        simulate_echoes(field_hz, VolumeF(grid, 10.0f), {0.004, 0.010, 0.016, 0.022, 0.028}, 1.0, 25.0);
    const auto result = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
    for (std::size_t k = 0; k < 5; ++k) {
        EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], mask, units::pi), 0u) << "echo " << k + 1;
        EXPECT_LT(worst_incongruence(result[k], e.phase_rad[k], mask), 1e-4);
    }
}

TEST(RomeoTemplate, FindsTheAliasThatLaterEchoesContradict)
{
    // 150 Hz at 5 ms is 0.75 turns: from the first echo alone -50 Hz is as likely. At 11 and 17 ms only 150
    // Hz fits.
    const Grid grid = grid_of(24, 25, 22);
    const Mask mask = ball_mask(grid, 10.0);
    for (const double constant_hz : {150.0, -260.0}) {
        const VolumeF field_hz = head_field(grid, constant_hz);
        const Echoes e = simulate_echoes(field_hz, VolumeF(grid, 20.0f), {0.005, 0.011, 0.017}, 1.0);
        const auto result = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
        for (std::size_t k = 0; k < 3; ++k) {
            EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], mask, units::pi), 0u) << constant_hz;
        }
    }
}

TEST(RomeoTemplate, FindsTheAliasOfEachPartOfTheMask)
{
    const Grid grid = grid_of(30, 16, 14);
    const Mask mask = mask_from(grid, [](const Vec3& r) { return std::abs(r[0]) > 3.0; });
    const VolumeF field_hz =
        from_function(grid, [](const Vec3& r) { return r[0] < 0.0 ? 20.0 + r[1] : 170.0 + r[2]; });
    const Echoes e = simulate_echoes(field_hz, VolumeF(grid, 20.0f), {0.005, 0.011, 0.017}, 1.0);
    const auto result = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
    for (std::size_t k = 0; k < 3; ++k)
        EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], mask, units::pi), 0u) << k;
}

TEST(RomeoTemplate, WorksWithOneEchoAndWithoutMagnitude)
{
    const Grid grid = grid_of(20, 21, 18);
    const Mask mask = ball_mask(grid, 8.0);
    const VolumeF field_hz = head_field(grid);
    const Echoes e = simulate_echoes(field_hz, VolumeF(grid, 1.0f), {0.006, 0.012}, 0.0);
    const std::span<const VolumeF> first(e.phase_rad.data(), 1);
    const auto single = unwrap_romeo_template(first, {}, std::array{0.006}, &mask);
    EXPECT_EQ(wrong(single[0], field_hz, 0.006, mask, 1e-4), 0u);
    const auto both = unwrap_romeo_template(e.phase_rad, {}, e.echo_times_s, &mask);
    EXPECT_EQ(wrong(both[1], field_hz, 0.012, mask, 1e-4), 0u);
}

TEST(RomeoTemplate, GoesOnWhereEchoesAreMissing)
{
    // The first echo lacks half of the ball, the second one (then the template) a block within that half and the
    // third one a slab: every voxel keeps two echoes, and they come out true.
    const Grid grid = grid_of(36, 34, 32);
    const Mask mask = ball_mask(grid, 13.0);
    const VolumeF field_hz = head_field(grid, 40.0);
    Echoes e = simulate_echoes(field_hz, VolumeF(grid, 10.0f), {0.0041, 0.012, 0.020, 0.028}, 0.5);
    const auto lose = [&](std::size_t k, auto&& where) {
        const Mask lost = mask_from(grid, where);
        for (std::size_t i = 0; i < lost.size(); ++i)
            if (lost[i]) e.magnitude[k][i] = e.phase_rad[k][i] = 0.0f;
    };
    lose(0, [](const Vec3& r) { return r[0] > 0.0; });
    lose(1, [](const Vec3& r) { return std::abs(r[0] - 6.0) < 4.0 && std::abs(r[1]) < 3.0 && std::abs(r[2]) < 4.0; });
    lose(2, [](const Vec3& r) { return r[2] > 5.0; });
    const auto result = unwrap_romeo_template(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
    for (std::size_t k = 0; k < 4; ++k) {
        Mask present(grid);
        for (std::size_t i = 0; i < mask.size(); ++i) present[i] = mask[i] && e.magnitude[k][i] > 0.0f ? 1 : 0;
        EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], present, units::pi), 0u) << "echo " << k + 1;
        EXPECT_TRUE(all_finite(result[k]));
    }
}

TEST(RomeoIndividual, RecoversEveryEchoAndAlignsThem)
{
    const Grid grid = grid_of(36, 34, 32);
    const Mask mask = mask_from(grid, [](const Vec3& r) {
        return std::hypot(r[0], r[1], r[2]) < 13.0 && std::abs(r[1] - 2.0) > 1.0;
    });
    // Two parts that do not touch, and fields that wrap the later echoes as a whole several times. Gentle: 8 Hz
    // a voxel are 1.1 rad at the last echo.
    const VolumeF field_hz = from_function(
        grid, [](const Vec3& r) { return 93.0 + 8.0 * r[0] - 0.2 * r[2] * r[2] + (r[1] > 2.0 ? 30.0 : 0.0); });
    const Echoes e = simulate_echoes(field_hz, VolumeF(grid, 20.0f), {0.005, 0.011, 0.017, 0.023}, 1.0);
    const auto result = unwrap_romeo_individual(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
    ASSERT_EQ(result.size(), 4u);
    for (std::size_t k = 0; k < 4; ++k) {
        EXPECT_EQ(wrong(result[k], field_hz, e.echo_times_s[k], mask, units::pi), 0u) << "echo " << k + 1;
        EXPECT_LT(worst_incongruence(result[k], e.phase_rad[k], mask), 1e-4);
    }
}

TEST(RomeoIndividual, AgreesWithUnwrapRomeoForOneEchoAndRefusesWhatTheTemplateRefuses)
{
    const Grid grid = grid_of(20, 21, 18);
    const Mask mask = ball_mask(grid, 8.0);
    const Echoes e = simulate_echoes(head_field(grid), VolumeF(grid, 1.0f), {0.006}, 0.05);
    const auto one = unwrap_romeo_individual(e.phase_rad, e.magnitude, e.echo_times_s, &mask);
    const VolumeF alone = unwrap_romeo(e.phase_rad[0], {.magnitude = &e.magnitude[0], .mask = &mask});
    EXPECT_THAT(one[0], VolumeNear(&alone, 0.0));
    EXPECT_THROW((void)unwrap_romeo_individual({}, {}, {}, nullptr), InputError);
}

TEST(RomeoTemplate, NamesWhatIsWrongWithTheEchoes)
{
    const Grid grid = grid_of(6, 6, 6);
    std::vector<VolumeF> phase;
    phase.emplace_back(grid, 0.0f);
    phase.emplace_back(grid, 0.0f);
    EXPECT_THROW((void)unwrap_romeo_template(phase, {}, std::array{0.01}, nullptr), InputError);
    EXPECT_THROW((void)unwrap_romeo_template(phase, {}, std::array{0.02, 0.01}, nullptr), InputError);
    EXPECT_THROW((void)unwrap_romeo_template({}, {}, {}, nullptr), InputError);
}

}  // namespace
}  // namespace qsmpi::phase
