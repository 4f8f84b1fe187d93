#include "qsmpi/phase/checks.hpp"

#include <cmath>

#include "echoes.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::phase
{
namespace
{

using namespace test;

Echoes echo_of(const VolumeF& field_hz, const VolumeF& magnitude, double noise_std)
{
    return simulate_echoes(field_hz, magnitude, {0.010}, noise_std);
}

TEST(Coherence, TellsNoiseFromSignal)
{
    const Grid grid = grid_of(42, 39, 40);
    const VolumeF field_hz = from_function(grid, [](const Vec3& r) { return 20.0 * r[0] - 0.3 * r[1] * r[2]; });
    const Echoes air = echo_of(field_hz, VolumeF(grid, 0.0f), 1.0);
    for (const VolumeF* magnitude : {&air.magnitude[0], static_cast<const VolumeF*>(nullptr)}) {
        // The largest of three axes now and then exceeds what is taken off.
        EXPECT_LT(coherence(air.phase_rad[0], magnitude).mean, 0.05);
        EXPECT_LT(coherence(air.phase_rad[0], magnitude).best, 0.12);
    }
    const Echoes weak = echo_of(field_hz, VolumeF(grid, 3.0f), 1.0);
    EXPECT_GT(coherence(weak.phase_rad[0], &weak.magnitude[0]).mean, 0.75);
    EXPECT_GT(coherence(weak.phase_rad[0], nullptr).mean, 0.6);
}

TEST(Coherence, SeesASmallObjectInNoiseAndNoneInInterpolatedNoise)
{
    const Grid grid = grid_of(48, 48, 48);
    VolumeF small(grid, 0.0f);
    const Mask ball = ball_mask(grid, 12.0);
    for (std::size_t i = 0; i < ball.size(); ++i) small[i] = ball[i] ? 20.0f : 0.0f;
    const Echoes e = echo_of(VolumeF(grid, 5.0f), small, 1.0);
    EXPECT_GT(coherence(e.phase_rad[0], nullptr).best, 0.5);
    EXPECT_GT(coherence(e.phase_rad[0], &e.magnitude[0]).mean, 0.5);

    // White noise of half the matrix, brought to the full one along x by zero filling (a periodic sinc).
    const VolumeF re = noise(grid, 1.0, 5), im = noise(grid, 1.0, 6);
    VolumeF phase(grid), magnitude(grid);
    for (std::size_t i = 0; i < grid.size(); ++i) {
        const std::size_t x = i % 48, row = i - x;
        std::complex<double> s;
        for (std::size_t k = 0; k < 24; ++k) {
            const double t = 0.5 * static_cast<double>(x) - static_cast<double>(k);
            const double angle = units::pi * t;
            const double weight = t == 0.0 ? 1.0 : std::sin(angle) / (24.0 * std::tan(angle / 24.0));
            s += weight * std::complex<double>(static_cast<double>(re[row + k]), static_cast<double>(im[row + k]));
        }
        phase[i] = static_cast<float>(std::arg(s));
        magnitude[i] = static_cast<float>(std::abs(s));
    }
    EXPECT_LT(coherence(phase, &magnitude).best, 0.2);
}

TEST(Coherence, WorksOnASliceAndOnAlmostNothing)
{
    const Grid slice = grid_of(40, 40, 1);
    EXPECT_GT(coherence(VolumeF(slice, 0.4f), nullptr).mean, 0.999);
    const Echoes air = echo_of(VolumeF(slice, 0.0f), VolumeF(slice, 0.0f), 1.0);
    EXPECT_LT(coherence(air.phase_rad[0], nullptr).best, 0.2);
    EXPECT_EQ(coherence(VolumeF(grid_of(2, 2, 2), 0.0f), nullptr).mean, 0.0);
    EXPECT_EQ(coherence(VolumeF(slice, std::nanf("")), nullptr).best, 0.0);
}

TEST(BrokenSteps, AreNoneForASmoothFieldAndManyForASteepOne)
{
    const Grid grid = grid_of(30, 28, 26);
    const Mask mask = ball_mask(grid, 12.0);
    const auto broken = [&](double curvature) {
        // Steps along x grow with y and the other way round, up to 12 `curvature` radians.
        const VolumeF phase = from_function(grid, [&](const Vec3& r) { return curvature * r[0] * r[1]; });
        return broken_steps(unwrap_romeo(wrapped_copy(phase), {.mask = &mask}), mask);
    };
    EXPECT_EQ(broken(0.1), 0.0);
    EXPECT_GT(broken(0.5), 0.02);
}

TEST(Teeth, AreThoseOfPhaseNotOfMagnitude)
{
    const Grid grid = grid_of(40, 39, 30);
    const Mask head = ball_mask(grid, 14.0);
    VolumeF magnitude(grid, 0.0f);
    for (std::size_t i = 0; i < head.size(); ++i) magnitude[i] = head[i] ? 100.0f : 0.0f;
    const Echoes e = echo_of(from_function(grid, [](const Vec3& r) { return 15.0 * r[0]; }), magnitude, 1.0);
    EXPECT_LT(teeth(e.magnitude[0]), 0.001);
    EXPECT_GT(teeth(e.phase_rad[0]), 0.08) << "three quarters of the grid are air";
    // 2 times the integral of (x - 0.4)^2 from 0.4 to 1, for an equal distribution.
    const Echoes air = echo_of(VolumeF(grid, 0.0f), VolumeF(grid, 0.0f), 1.0);
    EXPECT_NEAR(teeth(air.phase_rad[0]), 0.144, 0.02);
    EXPECT_EQ(teeth(VolumeF(grid, 2.0f)), 0.0);
    // The range of a flat magnitude is not its noise; that of phase as unsigned numbers is all of it.
    VolumeF flat = noise(grid, 3.0, 5), numbers = air.phase_rad[0].clone();
    for (float& m : flat) m += 100.0f;
    for (float& p : numbers) p = 2048.0f + 650.0f * p;
    EXPECT_EQ(teeth(flat), 0.0);
    EXPECT_NEAR(teeth(numbers), 0.144, 0.02);
}

}  // namespace
}  // namespace qsmpi::phase
