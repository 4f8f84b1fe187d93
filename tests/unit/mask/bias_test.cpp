#include "qsmpi/mask/bias.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/threshold.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;

/// Two tissues (100 and 70) in a ball, under a sensitivity that falls to 1 / `range` from one side to the other, with noise.
struct Uneven {
    VolumeF magnitude, truth;
    Mask ball;
};

Uneven uneven_ball(const Grid& grid, double radius_mm, double range = 10.0, double noise_level = 0.8)
{
    const auto fall = [&](const Vec3& p) { return std::pow(range, -0.5 * (p[0] / radius_mm + 1.0)); };
    Uneven u{VolumeF(grid), from_function(grid, fall), ball_mask(grid, radius_mm)};
    u.magnitude = from_function(grid, [&](const Vec3& p) {
        if (std::hypot(p[0], p[1], p[2]) > radius_mm) return 0.0;
        const bool second = std::sin(0.7 * p[0]) * std::sin(0.7 * p[1]) * std::sin(0.7 * p[2]) > 0.1;
        return (second ? 70.0 : 100.0) * fall(p);
    });
    const VolumeF speckle = noise(grid, noise_level, 4);
    for (std::size_t i = 0; i < speckle.size(); ++i) u.magnitude[i] = std::abs(u.magnitude[i] + speckle[i]);
    return u;
}

double missed_percent(const Mask& mask, const Mask& truth)
{
    std::size_t missed = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) missed += truth[i] != 0 && mask[i] == 0;
    return 100.0 * static_cast<double>(missed) / static_cast<double>(numerics::count(truth));
}

}  // namespace

TEST(Sensitivity, FollowsTheTruthUpToAFactor)
{
    for (const Grid& grid : {grid_of(40, 38, 39, {3, 3, 3}), grid_of(80, 38, 30, {1.5, 3, 4})}) {
        const Uneven u = uneven_ball(grid, 48.0);
        const VolumeF s = sensitivity(u.magnitude);
        double sum = 0.0, n = 0.0;
        const Mask core = ball_mask(grid, 36.0);
        for (std::size_t i = 0; i < s.size(); ++i)
            if (core[i]) sum += std::log(static_cast<double>(s[i] / u.truth[i])), n += 1.0;
        double worst = 0.0;
        for (std::size_t i = 0; i < s.size(); ++i)
            if (core[i]) worst = std::max(worst, std::abs(std::log(static_cast<double>(s[i] / u.truth[i])) - sum / n));
        // A fall of a decade over 96 mm smoothed with 7 mm is exact in the middle; blocks blur it at their width.
        EXPECT_LT(worst, 0.25) << grid.dims.nz;
    }
}

TEST(Sensitivity, IsPositiveEverywhereAndScales)
{
    const Uneven u = uneven_ball(grid_of(40, 41, 30, {2.4, 2.4, 3}), 40.0);
    const VolumeF s = sensitivity(u.magnitude);
    for (const float v : s) ASSERT_GT(v, 0.0f);
    VolumeF scaled = u.magnitude.clone();
    for (float& v : scaled) v *= 0.5f;  // exact in binary
    const VolumeF half = sensitivity(scaled);
    for (std::size_t i = 0; i < s.size(); ++i) ASSERT_NEAR(half[i], 0.5f * s[i], 1e-5f * s[i]);
    EXPECT_THROW((void)sensitivity(u.magnitude, {.sigma_mm = 0.0}), InputError);
}

TEST(CorrectedThreshold, FindsTheDimSideThatAPlainThresholdLoses)
{
    const Uneven u = uneven_ball(grid_of(40, 38, 39, {3, 3, 3}), 48.0, 25.0, 0.2);
    EXPECT_GT(missed_percent(robust_threshold(u.magnitude), u.ball), 5.0);
    EXPECT_LT(missed_percent(corrected_threshold(u.magnitude), u.ball), 1.0);
    // And takes little beyond: the noise of the dim side is amplified, but not into tissue.
    const Mask mask = corrected_threshold(u.magnitude);
    EXPECT_LT(static_cast<double>(numerics::count(mask)), 1.03 * static_cast<double>(numerics::count(u.ball)));
}

TEST(CorrectedThreshold, SurvivesSlabsZerosAndNaN)
{
    const Uneven slice = uneven_ball(grid_of(60, 56, 1, {2, 2, 3}), 48.0);
    EXPECT_LT(missed_percent(corrected_threshold(slice.magnitude), slice.ball), 2.0);
    const Grid grid = grid_of(9, 8, 7);
    for (const float value : {0.0f, std::numeric_limits<float>::quiet_NaN()})
        EXPECT_EQ(numerics::count(corrected_threshold(VolumeF(grid, value))), 0u) << value;
    EXPECT_EQ(numerics::count(corrected_threshold(VolumeF(grid_of(1, 1, 1), 5.0f))), 1u);
    Uneven u = uneven_ball(grid_of(40, 40, 40, {2.5, 2.5, 2.5}), 45.0);
    u.magnitude(20, 20, 20) = std::numeric_limits<float>::quiet_NaN();
    const Mask mask = corrected_threshold(u.magnitude);
    EXPECT_EQ(mask(20, 20, 20), 0);
    EXPECT_LT(missed_percent(mask, u.ball), 1.5);
}

TEST(CorrectedThreshold, IsTheSameForAnyNumberOfThreads)
{
    const Uneven u = uneven_ball(grid_of(40, 41, 30, {2.4, 2.4, 3}), 40.0);
    parallel::set_threads(1);
    const Mask one = corrected_threshold(u.magnitude);
    parallel::set_threads(3);
    const Mask three = corrected_threshold(u.magnitude);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), three.begin()));
    parallel::set_threads(2);
}

}  // namespace qsmpi::mask
