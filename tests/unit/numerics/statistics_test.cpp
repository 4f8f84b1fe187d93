#include "qsmpi/numerics/statistics.hpp"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;
constexpr float nan_f = std::numeric_limits<float>::quiet_NaN();

TEST(Quantile, InterpolatesLinearlyBetweenOrderStatistics)
{
    std::vector<float> v{5, 1, 4, 2, 3};
    EXPECT_DOUBLE_EQ(quantile(v, 0.0), 1.0);
    EXPECT_DOUBLE_EQ(quantile(v, 0.5), 3.0);
    EXPECT_DOUBLE_EQ(quantile(v, 0.9), 4.6);  // position 3.6 of 0..4
    EXPECT_DOUBLE_EQ(quantile(v, 1.0), 5.0);
}

TEST(Quantile, IgnoresValuesThatAreNotFinite)
{
    std::vector<float> v{nan_f, 2, std::numeric_limits<float>::infinity(), 4};
    EXPECT_DOUBLE_EQ(quantile(v, 0.5), 3.0);
    std::vector<float> none{nan_f};
    EXPECT_TRUE(std::isnan(quantile(none, 0.5)));
    EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
    EXPECT_THROW(static_cast<void>(quantile(v, 1.5)), InputError);
}

TEST(Inside, TakesEveryNthVoxelOfTheMaskInOrder)
{
    const Grid grid = grid_of(3, 2, 4);
    VolumeF v(grid);
    Mask mask(grid, 0);
    std::vector<float> every, third;
    for (std::size_t i = 0; i < grid.size(); ++i) {
        v[i] = static_cast<float>(i);
        if (i % 5 == 3) continue;
        mask[i] = 7;
        if (every.size() % 3 == 0) third.push_back(v[i]);
        every.push_back(v[i]);
    }
    EXPECT_EQ(inside(v, mask), every);
    EXPECT_EQ(inside(v, mask, 3), third);
    EXPECT_TRUE(inside(v, Mask(grid, 0)).empty());
    EXPECT_TRUE(std::isnan(median_inside(v, Mask(grid, 0))));
    EXPECT_TRUE(std::isnan(mean_inside(v, Mask(grid, 0))));
}

TEST(Sums, AreDoubleAndTheSameBitsForAnyNumberOfThreads)
{
    const VolumeF a = test::noise(grid_of(64, 60, 50), 1.0, 1), b = test::noise(a.grid(), 1.0, 2);
    const Mask mask = test::ball_mask(a.grid(), 20.0);
    long double expected = 0, expected_dot = 0, expected_inside = 0;
    std::size_t n = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        expected += a[i];
        expected_dot += static_cast<long double>(a[i]) * b[i];
        if (mask[i] != 0) expected_inside += a[i], ++n;
    }
    EXPECT_NEAR(sum(a), static_cast<double>(expected), 1e-9);
    EXPECT_NEAR(dot(a, b), static_cast<double>(expected_dot), 1e-9);
    EXPECT_NEAR(mean_inside(a, mask), static_cast<double>(expected_inside) / static_cast<double>(n), 1e-12);

    const int before = parallel::threads();
    parallel::set_threads(1);
    const double one[3] = {sum(a), dot(a, b), mean_inside(a, mask)};
    for (int threads : {2, 3, 4}) {
        parallel::set_threads(threads);
        EXPECT_EQ(sum(a), one[0]);
        EXPECT_EQ(dot(a, b), one[1]);
        EXPECT_EQ(mean_inside(a, mask), one[2]);
    }
    parallel::set_threads(before);
}

TEST(StdInside, IsThatOfTheMaskAlone)
{
    VolumeF volume(test::grid_of(5, 1, 1));
    Mask mask(volume.grid(), 1);
    const float values[] = {1e6f, 2.0f, 4.0f, 6.0f, 8.0f};
    std::copy(values, values + 5, volume.data());
    mask[0] = 0;
    EXPECT_NEAR(std_inside(volume, mask), std::sqrt(5.0), 1e-6);
    EXPECT_TRUE(std::isnan(std_inside(volume, Mask(volume.grid(), 0))));
}

TEST(Otsu, SeparatesTwoClustersBetweenThem)
{
    std::vector<float> v;
    for (int i = 0; i < 300; ++i) v.push_back(1.0F + 0.002F * static_cast<float>(i % 100));
    for (int i = 0; i < 100; ++i) v.push_back(3.0F + 0.002F * static_cast<float>(i));
    v.push_back(nan_f);
    const double t = otsu_threshold(v);
    EXPECT_GT(t, 1.198);
    EXPECT_LE(t, 3.0);
}

TEST(Otsu, IsTheExhaustiveMaximumOfTheBetweenClassVariance)
{
    const VolumeF noise = test::noise(grid_of(20, 20, 5), 1.0, 5);
    std::vector<float> v(noise.begin(), noise.end());
    for (std::size_t i = 0; i < v.size(); i += 3) v[i] += 4.0F;
    const double t = otsu_threshold(v);
    // Any threshold on the values themselves may do at most better by what a bin width moves.
    const auto between = [&](double threshold) {
        double n[2] = {0, 0}, s[2] = {0, 0};
        for (const float x : v) {
            const int k = static_cast<double>(x) >= threshold;
            n[k] += 1;
            s[k] += static_cast<double>(x);
        }
        const double d = s[0] / n[0] - s[1] / n[1];
        return n[0] * n[1] * d * d;
    };
    double best = 0;
    for (double x = -2.0; x < 6.0; x += 0.01) best = std::max(best, between(x));
    EXPECT_GE(between(t), 0.999 * best);
}

TEST(Otsu, OfOneValueIsThatValueAndOfNoneIsNotANumber)
{
    EXPECT_DOUBLE_EQ(otsu_threshold(std::vector<float>(5, 2.5F)), 2.5);
    EXPECT_TRUE(std::isnan(otsu_threshold(std::vector<float>{})));
}

}  // namespace
}  // namespace qsmpi::numerics
