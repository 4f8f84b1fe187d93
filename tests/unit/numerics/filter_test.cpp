#include "qsmpi/numerics/filter.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;
using test::noise;

/// Standard deviation along an axis of a volume seen as a distribution [mm].
double spread_mm(const VolumeF& v, std::size_t axis)
{
    double total = 0, first = 0, second = 0;
    for (std::size_t z = 0; z < v.dims().nz; ++z)
        for (std::size_t y = 0; y < v.dims().ny; ++y)
            for (std::size_t x = 0; x < v.dims().nx; ++x) {
                const double w = static_cast<double>(v(x, y, z)),
                             r = test::position_mm(v.grid(), x, y, z)[axis];
                total += w;
                first += w * r;
                second += w * r * r;
            }
    return std::sqrt(second / total - first / total * first / total);
}

VolumeF impulse(const Grid& grid)
{
    VolumeF v(grid, 0.0F);
    v(grid.dims.nx / 2, grid.dims.ny / 2, grid.dims.nz / 2) = 1.0F;
    return v;
}

TEST(GaussianSmooth, SpreadsAnImpulseByExactlySigmaInMillimetres)
{
    // Below a voxel, at a voxel and far above; edge weights make the variance of the cascade exact.
    for (const double sigma : {0.4, 0.9, 1.7, 4.0}) {
        const Grid grid = grid_of(61, 55, 41, {1.0, 1.2, 2.0});
        const VolumeF v = gaussian_smooth(impulse(grid), sigma);
        for (std::size_t axis = 0; axis < 3; ++axis) EXPECT_NEAR(spread_mm(v, axis), sigma, 1e-3 * sigma);
    }
}

TEST(GaussianSmooth, IsCloseToTheTrueGaussian)
{
    // Four boxes make a cubic B-spline, whose peak is 3.5 % below the Gaussian's on each axis: 10.2 % for all three.
    const Grid grid = grid_of(41, 41, 41);
    const VolumeF v = gaussian_smooth(impulse(grid), 3.0);
    const auto gauss = [](double r) { return std::exp(-r * r / 18.0) / std::sqrt(2 * M_PI * 9.0); };
    const double peak = std::pow(gauss(0), 3);
    for (int z = -20; z <= 20; ++z)
        for (int y = -20; y <= 20; ++y)
            for (int x = -20; x <= 20; ++x)
                ASSERT_NEAR(v(static_cast<std::size_t>(x + 20), static_cast<std::size_t>(y + 20),
                              static_cast<std::size_t>(z + 20)),
                            gauss(x) * gauss(y) * gauss(z), 0.11 * peak);
}

/// Mirrored along all three axes.
VolumeF mirrored(const VolumeF& v)
{
    VolumeF m(v.grid());
    for (std::size_t i = 0; i < v.size(); ++i) m[i] = v[v.size() - 1 - i];
    return m;
}

TEST(GaussianSmooth, IsSymmetricUnderReflection)
{
    const VolumeF v = noise(grid_of(31, 18, 23, {1, 1, 2}), 1.0, 1);
    VolumeF weight = noise(v.grid(), 1.0, 2);
    for (auto& w : weight) w = std::max(0.0F, w);
    const VolumeF a = mirrored(gaussian_smooth(v, 3.0)), b = gaussian_smooth(mirrored(v), 3.0);
    EXPECT_THAT(a, test::VolumeNear(&b, 1e-6));
    const VolumeF c = mirrored(gaussian_smooth(v, weight, 3.0)),
                  d = gaussian_smooth(mirrored(v), mirrored(weight), 3.0);
    EXPECT_THAT(c, test::VolumeNear(&d, 2e-6));
}

TEST(GaussianSmooth, KeepsAConstantUpToTheBorderAndUnderAnyWeight)
{
    const Grid grid = grid_of(20, 17, 9, {1, 1, 3});
    const VolumeF constant(grid, 2.5F);
    EXPECT_THAT(gaussian_smooth(constant, 2.0), test::VolumeNear(&constant, 3e-6));
    EXPECT_THAT(gaussian_smooth(constant, 50.0),
                test::VolumeNear(&constant, 3e-6));  // far wider than the grid
    VolumeF weight(grid, 0.0F);
    weight(3, 4, 5) = 0.2F;
    weight(15, 2, 1) = 7.0F;
    EXPECT_THAT(gaussian_smooth(constant, weight, 1.0), test::VolumeNear(&constant, 1e-5));
}

TEST(GaussianSmooth, ExcludesVoxelsOfWeightZeroAndThoseThatAreNotFinite)
{
    const Grid grid = grid_of(24, 24, 24);
    VolumeF v(grid, 1.0F);
    VolumeF weight(grid, 1.0F);
    v(12, 12, 12) = 1e6F;
    weight(12, 12, 12) = 0.0F;
    const VolumeF ones(grid, 1.0F);
    EXPECT_THAT(gaussian_smooth(v, weight, 2.0), test::VolumeNear(&ones, 1e-5));
    v(12, 12, 12) = std::numeric_limits<float>::quiet_NaN();
    v(0, 0, 0) = std::numeric_limits<float>::infinity();
    EXPECT_THAT(gaussian_smooth(v, 2.0), test::VolumeNear(&ones, 1e-5));
    weight.fill(1.0F);
    EXPECT_THAT(gaussian_smooth(v, weight, 2.0), test::VolumeNear(&ones, 1e-5));
}

TEST(GaussianSmooth, EqualsTheWeightedMeanWrittenOutDirectly)
{
    // Sigma 0.8 voxels: small enough that the direct sum over the cascade's own impulse response is cheap.
    const Grid grid = grid_of(12, 11, 10);
    const VolumeF v = noise(grid, 1.0, 3);
    VolumeF weight = noise(grid, 1.0, 4);
    for (auto& w : weight) w = std::abs(w);
    const VolumeF response = gaussian_smooth(impulse(grid_of(15, 15, 15)), 0.8);
    const VolumeF smooth = gaussian_smooth(v, weight, 0.8);
    for (int z = 4; z < 6; ++z)  // interior: the truncated cascade differs at the border
        for (int y = 4; y < 7; ++y)
            for (int x = 4; x < 8; ++x) {
                double sum = 0, total = 0;
                for (int c = -4; c <= 4; ++c)
                    for (int b = -4; b <= 4; ++b)
                        for (int a = -4; a <= 4; ++a) {
                            const auto at = [](int i) { return static_cast<std::size_t>(i); };
                            if (x + a < 0 || y + b < 0 || z + c < 0 || x + a > 11 || y + b > 10 || z + c > 9)
                                continue;
                            const double g = static_cast<double>(response(at(a + 7), at(b + 7), at(c + 7))) *
                                             static_cast<double>(weight(at(x + a), at(y + b), at(z + c)));
                            sum += g * static_cast<double>(v(at(x + a), at(y + b), at(z + c)));
                            total += g;
                        }
                ASSERT_NEAR(smooth(static_cast<std::size_t>(x), static_cast<std::size_t>(y),
                                   static_cast<std::size_t>(z)),
                            sum / total,
                            2e-3);  // tails cut at 4 voxels, and truncation reaching in from the border
            }
}

TEST(GaussianSmooth, FillsVoxelsFarFromAnyWeight)
{
    const Grid grid = grid_of(64, 20, 20);
    VolumeF v(grid, 0.0F), weight(grid, 0.0F);
    v(2, 10, 10) = 4.0F;
    weight(2, 10, 10) = 1.0F;
    const VolumeF expected(grid, 4.0F);  // the only value there is
    EXPECT_THAT(gaussian_smooth(v, weight, 1.0), test::VolumeNear(&expected, 1e-4));
    weight.fill(0.0F);
    const VolumeF zero(grid, 0.0F);
    EXPECT_THAT(gaussian_smooth(v, weight, 1.0), test::VolumeNear(&zero, 0.0));
}

TEST(GaussianSmooth, WithSigmaZeroReturnsTheInput)
{
    const VolumeF v = noise(grid_of(5, 6, 7), 1.0, 1);
    EXPECT_THAT(gaussian_smooth(v, 0.0), test::VolumeNear(&v, 0.0));
}

TEST(GaussianSmooth, RefusesNegativeWeights)
{
    const VolumeF v(grid_of(5, 5, 5), 1.0F);
    VolumeF weight(v.grid(), 1.0F);
    weight[7] = -0.1F;
    EXPECT_THROW(static_cast<void>(gaussian_smooth(v, weight, 1.0)), InputError);
}

TEST(GaussianSmooth, GivesTheSameBitsForAnyNumberOfThreads)
{
    const VolumeF v = noise(grid_of(45, 37, 21), 1.0, 5);
    VolumeF weight = noise(v.grid(), 1.0, 6);
    for (auto& w : weight) w = std::max(0.0F, w);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const VolumeF one = gaussian_smooth(v, weight, 2.5);
    for (int n : {2, 3, 4}) {
        parallel::set_threads(n);
        const VolumeF many = gaussian_smooth(v, weight, 2.5);
        EXPECT_EQ(std::memcmp(one.data(), many.data(), one.size() * sizeof(float)), 0) << n;
    }
    parallel::set_threads(before);
}

TEST(GaussianSmoothComplex, KeepsTheAngleOfALinearPhase)
{
    // The mean of a phasor over a symmetric window has the phasor's own angle, wraps or not.
    const Grid grid = grid_of(40, 30, 20);
    VolumeF re = test::from_function(grid, [](const Vec3& r) { return std::cos(0.3 * r[0] - 0.2 * r[1]); });
    VolumeF im = test::from_function(grid, [](const Vec3& r) { return std::sin(0.3 * r[0] - 0.2 * r[1]); });
    re(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
    gaussian_smooth_complex(re, im, 1.5);
    EXPECT_TRUE(test::all_finite(re));
    for (std::size_t z = 8; z < 12; ++z)
        for (std::size_t y = 12; y < 18; ++y)
            for (std::size_t x = 12; x < 28; ++x) {
                const Vec3 r = test::position_mm(grid, x, y, z);
                const double error = std::remainder(
                    static_cast<double>(std::atan2(im(x, y, z), re(x, y, z))) - 0.3 * r[0] + 0.2 * r[1],
                    2 * M_PI);
                ASSERT_NEAR(error, 0.0, 1e-5);
            }
}

TEST(BoxMean, IsTheMeanOfTheWindowTruncatedAtTheBorder)
{
    const VolumeF v = noise(grid_of(9, 18, 5), 1.0, 7);
    for (const int radius : {0, 1, 2, 7}) {
        VolumeF expected(v.grid());
        const int n[3] = {9, 18, 5};
        for (int z = 0; z < n[2]; ++z)
            for (int y = 0; y < n[1]; ++y)
                for (int x = 0; x < n[0]; ++x) {
                    double sum = 0;
                    int count = 0;
                    for (int c = std::max(0, z - radius); c <= std::min(n[2] - 1, z + radius); ++c)
                        for (int b = std::max(0, y - radius); b <= std::min(n[1] - 1, y + radius); ++b)
                            for (int a = std::max(0, x - radius); a <= std::min(n[0] - 1, x + radius);
                                 ++a, ++count)
                                sum += static_cast<double>(v(static_cast<std::size_t>(a),
                                                             static_cast<std::size_t>(b),
                                                             static_cast<std::size_t>(c)));
                    expected(static_cast<std::size_t>(x), static_cast<std::size_t>(y),
                             static_cast<std::size_t>(z)) = static_cast<float>(sum / count);
                }
        EXPECT_THAT(box_mean(v, radius), test::VolumeNear(&expected, 1e-6));
    }
}

}  // namespace
}  // namespace qsmpi::numerics
