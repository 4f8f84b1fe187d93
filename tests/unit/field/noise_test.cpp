#include <cmath>
#include <numbers>

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

/// Zero filling of k-space along the first two axes, from odd numbers of voxels to any: each row is summed from
/// periodic sinc functions (Dirichlet kernels). The noise of a voxel keeps its standard deviation.
VolumeF zero_filled(const VolumeF& coarse, std::size_t nx, std::size_t ny)
{
    const Dims& d = coarse.dims();
    const auto kernel = [](std::size_t n, std::size_t n_fine) {
        std::vector<double> k(n * n_fine);
        for (std::size_t f = 0; f < n_fine; ++f)
            for (std::size_t c = 0; c < n; ++c) {
                const double x = static_cast<double>(f * n) / static_cast<double>(n_fine) - static_cast<double>(c);
                const double half = std::numbers::pi * x / static_cast<double>(n);
                k[f * n + c] = std::abs(std::sin(half)) < 1e-9
                                   ? 1.0
                                   : std::sin(std::numbers::pi * x) / (static_cast<double>(n) * std::sin(half));
            }
        return k;
    };
    const std::vector<double> kx = kernel(d.nx, nx), ky = kernel(d.ny, ny);
    VolumeF rows(grid_of(nx, d.ny, d.nz)), fine(grid_of(nx, ny, d.nz));
    for (std::size_t z = 0; z < d.nz; ++z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t f = 0; f < nx; ++f) {
                double sum = 0.0;
                for (std::size_t c = 0; c < d.nx; ++c) sum += kx[f * d.nx + c] * coarse(c, y, z);
                rows(f, y, z) = static_cast<float>(sum);
            }
        for (std::size_t f = 0; f < ny; ++f)
            for (std::size_t x = 0; x < nx; ++x) {
                double sum = 0.0;
                for (std::size_t c = 0; c < d.ny; ++c) sum += ky[f * d.ny + c] * rows(x, c, z);
                fine(x, f, z) = static_cast<float>(sum);
            }
    }
    return fine;
}

TEST(NoiseEstimate, IsTheNoiseOfAVoxelInAnImageInterpolatedByZeroFilling)
{
    const std::size_t nx = 49, ny = 45;
    const VolumeF signal = head(grid_of(nx, ny, 24), 1e3);
    for (const double truth : {2.0, 8.0}) {
        VolumeF re = noise(signal.grid(), truth, 5);
        const VolumeF im = noise(signal.grid(), truth, 6);
        for (std::size_t i = 0; i < re.size(); ++i) re[i] += signal[i];
        // In plane by 2, along one axis only, by 1.5, 4/3 and 3: taken for white, the noise would be 0.15, 0.39, 0.37,
        // 0.53 and 0.035 of the truth.
        for (const auto& [fine_x, fine_y] : {std::pair{2 * nx, 2 * ny}, {nx, 2 * ny}, {2 * nx, ny},
                                             {3 * nx / 2, 3 * ny / 2}, {4 * nx / 3, 4 * ny / 3}, {3 * nx, 3 * ny}}) {
            const VolumeF a = zero_filled(re, fine_x, fine_y), b = zero_filled(im, fine_x, fine_y);
            VolumeF m(a.grid());
            for (std::size_t i = 0; i < m.size(); ++i) m[i] = std::hypot(a[i], b[i]);
            EXPECT_NEAR(estimate_noise_std(m) / truth, 1.0, 0.20) << truth << ", " << fine_x << " x " << fine_y;

            const double cx = 0.5 * static_cast<double>(fine_x), cy = 0.5 * static_cast<double>(fine_y);
            for (std::size_t z = 0; z < 24; ++z)
                for (std::size_t y = 0; y < fine_y; ++y)
                    for (std::size_t x = 0; x < fine_x; ++x)
                        if (std::hypot(static_cast<double>(x) / cx - 1.0, static_cast<double>(y) / cy - 1.0) > 0.9)
                            m(x, y, z) = 0.0f;
            EXPECT_NEAR(estimate_noise_std(m) / truth, 1.0, 0.20)
                << "stripped, " << truth << ", " << fine_x << " x " << fine_y;
        }
    }
}

TEST(NoiseEstimate, TakesFineStructureForNoInterpolation)
{
    // Vessels every 12 voxels, 2 wide, and folds: differences of every second voxel look like a noise of 4.7.
    const Grid grid = grid_of(66, 60, 36);
    const VolumeF signal = from_function(grid, [](const Vec3& r) {
        const double folds = 8.0 * std::tanh(4.0 * std::sin(0.35 * r[0] + 2.0 * std::sin(0.21 * r[1])));
        const bool vessel = std::hypot(std::remainder(r[0], 12.0), std::remainder(r[1] + 0.3 * r[2], 12.0)) < 1.2;
        return 80.0 + folds - (vessel ? 40.0 : 0.0);
    });
    EXPECT_NEAR(estimate_noise_std(with_noise(signal, 2.5, 11)) / 2.5, 1.0, 0.15);
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
