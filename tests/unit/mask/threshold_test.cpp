#include "qsmpi/mask/threshold.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;

const Grid grid = grid_of(40, 40, 40);

/// Two classes with normal spread, the second in a part of the grid.
VolumeF two_classes(double low, double low_spread, double high, double high_spread, double part)
{
    VolumeF v = noise(grid, 1.0, 11);
    const auto first_high = static_cast<std::size_t>((1.0 - part) * static_cast<double>(v.size()));
    for (std::size_t i = 0; i < v.size(); ++i)
        v[i] = static_cast<float>(i < first_high ? low + low_spread * static_cast<double>(v[i])
                                                 : high + high_spread * static_cast<double>(v[i]));
    return v;
}

double wrong_percent(const Mask& mask, double part)
{
    const auto first_high = static_cast<std::size_t>((1.0 - part) * static_cast<double>(mask.size()));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) wrong += (mask[i] != 0) != (i >= first_high);
    return 100.0 * static_cast<double>(wrong) / static_cast<double>(mask.size());
}

}  // namespace

TEST(OtsuThreshold, PartsTwoClassesInTheMiddle)
{
    // Equal spreads, equal sizes: the least variance within is at the middle, 35, 2.5 standard deviations from either:
    // 0.62 % of both are on the wrong side.
    const VolumeF v = two_classes(20, 6, 50, 6, 0.5);
    EXPECT_NEAR(wrong_percent(otsu_threshold(v), 0.5), 0.62, 0.12);
    // Factor 1.2 moves it to 42, 1.33 standard deviations below the upper mean: 9.1 % of it fall short, and nearly nothing
    // of the lower. A bin of 0.3 more or less makes 0.4 %.
    EXPECT_NEAR(wrong_percent(otsu_threshold(v, 1.2), 0.5), 4.56, 0.8);
}

TEST(OtsuThreshold, IsNotLedAstrayByASpike)
{
    VolumeF v = two_classes(20, 3, 50, 3, 0.5);
    for (std::size_t i = 0; i < 8; ++i) v[8000 * i] = 1e6f;  // brighter than all by four orders
    EXPECT_LT(wrong_percent(otsu_threshold(v), 0.5), 0.02);
}

TEST(OtsuThreshold, DoesNotMindScaleNorNaNAndRefusesNoFactor)
{
    VolumeF v = two_classes(20, 3, 50, 3, 0.3);
    const Mask before = otsu_threshold(v);
    for (float& x : v) x *= 1e-6f;
    const Mask scaled = otsu_threshold(v);
    EXPECT_TRUE(std::equal(before.begin(), before.end(), scaled.begin()));
    v[5] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(otsu_threshold(v)[5], 0);
    EXPECT_EQ(numerics::count(otsu_threshold(VolumeF(grid, 0.0f))), 0u);
    EXPECT_EQ(numerics::count(otsu_threshold(VolumeF(grid, std::numeric_limits<float>::quiet_NaN()))), 0u);
    EXPECT_THROW((void)otsu_threshold(v, 0.0), InputError);
}

TEST(MixtureThreshold, LiesWhereTwoNormalClassesAreEquallyLikely)
{
    // 60 % N(10, 2) and 40 % N(50, 8). Equal where
    // log(0.6 / 2) - (x - 10)^2 / 8 = log(0.4 / 8) - (x - 50)^2 / 128, that is 15 x^2 - 220 x - 1129.35 = 0: x = 18.69.
    VolumeF v = two_classes(10, 2, 50, 8, 0.4);
    std::vector<float> values(v.begin(), v.end());
    std::sort(values.begin(), values.end());
    EXPECT_NEAR(mixture_threshold(values), 18.69, 0.25);
    EXPECT_LT(wrong_percent(mixture_threshold(v), 0.4), 0.05);
    // Otsu's, near the middle, loses the low tail of the broad class.
    EXPECT_GT(wrong_percent(otsu_threshold(v), 0.4), 0.2);
}

TEST(MixtureThreshold, OfThreeClassesPartsTheLowestFromBothOthers)
{
    VolumeF v = two_classes(10, 2, 40, 4, 0.5);
    for (std::size_t i = v.size() * 3 / 4; i < v.size(); ++i) v[i] = 90.0f + 1.5f * (v[i] - 40.0f);
    EXPECT_LT(wrong_percent(mixture_threshold(v, 3), 0.5), 0.05);
    // As one class the two are broad, and it reaches down into the tail of the lowest.
    EXPECT_LT(wrong_percent(mixture_threshold(v, 2), 0.5), 0.2);
    EXPECT_THROW((void)mixture_threshold(v, 4), InputError);
}

TEST(MixtureThreshold, TakesABackgroundOfZerosAndAnythingElse)
{
    VolumeF v = two_classes(0, 0, 50, 8, 0.4);
    EXPECT_EQ(wrong_percent(mixture_threshold(v), 0.4), 0.0) << "a stripped image";
    EXPECT_EQ(numerics::count(mixture_threshold(VolumeF(grid, 0.0f))), 0u);
    EXPECT_EQ(numerics::count(mixture_threshold(VolumeF(grid, std::numeric_limits<float>::quiet_NaN()))), 0u);
    VolumeF scaled = v.clone();
    for (float& x : scaled) x *= 1e-6f;
    const Mask a = mixture_threshold(v), b = mixture_threshold(scaled);
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
}

TEST(QualityThreshold, IsOtsusButNotAboveOneHalf)
{
    EXPECT_LT(wrong_percent(quality_threshold(two_classes(0.15, 0.03, 0.8, 0.04, 0.4)), 0.4), 0.01);
    // A crop of reliable phase alone: Otsu's would be near 0.8.
    const VolumeF reliable = two_classes(0.75, 0.03, 0.85, 0.03, 0.5);
    EXPECT_EQ(numerics::count(quality_threshold(reliable)), reliable.size());
    EXPECT_LT(numerics::count(quality_threshold(reliable, 0.8)), reliable.size());
    EXPECT_THROW((void)quality_threshold(reliable, 1.0), InputError);
}

TEST(Thresholds, MasksShrinkAsTheThresholdRises)
{
    const VolumeF v = two_classes(20, 8, 50, 12, 0.4);
    std::size_t robust = v.size(), otsu = v.size();
    for (const double factor : {0.5, 0.8, 1.0, 1.3, 2.0}) {
        const std::size_t r = numerics::count(robust_threshold(v, factor)), o = numerics::count(otsu_threshold(v, factor));
        EXPECT_LE(r, robust);
        EXPECT_LT(o, otsu);
        robust = r;
        otsu = o;
    }
}

}  // namespace qsmpi::mask
