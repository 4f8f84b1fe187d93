#include <cmath>

#include "qsmpi/field/field_map.hpp"
#include "volumes.hpp"

namespace qsmpi::field
{
namespace
{

using namespace test;

/// Magnitude of a signal with complex noise of standard deviation `noise_std`.
VolumeF with_noise(const VolumeF& signal, double noise_std, unsigned seed)
{
    const VolumeF re = noise(signal.grid(), noise_std, seed), im = noise(signal.grid(), noise_std, seed + 1);
    VolumeF m(signal.grid());
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = std::hypot(signal[i] + re[i], im[i]);
    return m;
}

/// Tissue of 60 to 100: smooth shading, a ventricle, folds from 14 to 19 mm, a thin vessel; 0 outside
/// `radius_mm`.
VolumeF head(const Grid& grid, double radius_mm)
{
    return from_function(grid, [&](const Vec3& r) {
        const double distance = std::hypot(r[0], r[1], r[2]);
        if (distance > radius_mm) return 0.0;
        double value = 80.0 + 0.3 * r[0];
        if (std::hypot(r[0] - 4.0, r[1], 0.6 * r[2]) < 6.0) value = 100.0;
        const bool fold = std::sin(0.7 * r[0]) * std::sin(0.6 * r[1]) * std::sin(0.5 * r[2]) > 0.6;
        if (fold && distance > 14.0 && distance < 19.0) value -= 15.0;
        if (std::hypot(r[0] - 10.0, r[1] - 8.0) < 1.0) value = 30.0;
        return value;
    });
}

TEST(NoiseEstimate, IsWithinTenPercentWithAirAround)
{
    for (const Grid& grid : {grid_of(64, 60, 56), grid_of(61, 65, 30, {1, 1, 2})}) {
        for (const double truth : {1.0, 4.0, 10.0}) {
            const double estimate = estimate_noise_std(with_noise(head(grid, 22.0), truth, 3));
            EXPECT_NEAR(estimate / truth, 1.0, 0.10) << truth;
        }
    }
}

TEST(NoiseEstimate, IsWithinTenPercentWithoutAir)
{
    for (const Grid& grid : {grid_of(48, 44, 40), grid_of(51, 49, 3)}) {
        // Structure alone looks like noise of about 0.5 in this head: below 2 the estimate is an upper bound.
        for (const double truth : {2.0, 4.0, 10.0}) {
            const double estimate = estimate_noise_std(with_noise(head(grid, 1e3), truth, 5));
            // The slab of three slices has folds in most of its 64 cubes.
            EXPECT_NEAR(estimate / truth, 1.0, grid.dims.nz > 3 ? 0.10 : 0.15) << truth;
        }
    }
}

TEST(NoiseEstimate, IsWithinTenPercentForAStrippedBrain)
{
    const Grid grid = grid_of(64, 60, 56);
    VolumeF m = with_noise(head(grid, 1e3), 3.0, 9);
    const Mask brain = ball_mask(grid, 22.0);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] = brain[i] ? m[i] : 0.0f;
    EXPECT_NEAR(estimate_noise_std(m) / 3.0, 1.0, 0.10);
}

TEST(NoiseEstimate, ScalesWithTheMagnitude)
{
    const Grid grid = grid_of(48, 44, 40);
    VolumeF m = with_noise(head(grid, 16.0), 2.0, 1);
    const double before = estimate_noise_std(m);
    for (float& x : m) x *= 1e-4f;
    EXPECT_NEAR(estimate_noise_std(m), 1e-4 * before, 1e-9);
}

TEST(NoiseEstimate, IsPositiveForANoiseFreeImageAndRefusesAnEmptyOne)
{
    const Grid grid = grid_of(30, 30, 30);
    const double estimate = estimate_noise_std(VolumeF(grid, 100.0f));
    EXPECT_GT(estimate, 0.0);
    EXPECT_LT(estimate, 0.1);
    EXPECT_THROW((void)estimate_noise_std(VolumeF(grid, 0.0f)), InputError);
    EXPECT_THROW((void)estimate_noise_std(VolumeF(grid_of(4, 4, 4), 1.0f)), InputError);
}

}  // namespace
}  // namespace qsmpi::field
