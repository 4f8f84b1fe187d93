#include "qsmpi/inversion/tkd.hpp"

#include "inversion_cases.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

VolumeF plane_wave(const Grid& grid, const std::array<int, 3>& n, double amplitude)
{
    VolumeF wave(grid);
    for (std::size_t z = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                const double turns = n[0] * static_cast<double>(x) / static_cast<double>(grid.dims.nx) +
                                     n[1] * static_cast<double>(y) / static_cast<double>(grid.dims.ny) +
                                     n[2] * static_cast<double>(z) / static_cast<double>(grid.dims.nz);
                wave(x, y, z) = static_cast<float>(amplitude * std::cos(units::two_pi * turns + 0.3));
            }
    return wave;
}

TkdOptions raw() { return {.correct_underestimation = false, .pad_voxels = 0, .pad_fraction = 0.0}; }

Result with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b) { return tkd(field, mask, b); }

TEST(Tkd, InvertsAPlaneWaveToRoundOff)
{
    // A plane wave is an eigenfunction of the dipole convolution: field = D(k) chi. Along B0, D = 1/3 - 1 = -2/3 is
    // far from the threshold, so what is left is FFT round-off, about eps log2(N) = 1.8e-6 for N = 32^3.
    const Grid grid = grid_of(32, 32, 32);
    const VolumeF chi = plane_wave(grid, {0, 0, 3}, 1.0);
    const VolumeF field = plane_wave(grid, {0, 0, 3}, -2.0 / 3.0);
    EXPECT_THAT(tkd(field, full_mask(grid), b0_along_z, raw()).chi_ppm, VolumeNear(&chi, 1.8e-6));
}

TEST(Tkd, InvertsAPlaneWaveOnAnisotropicVoxelsAndObliqueB0)
{
    const Grid grid = grid_of(24, 20, 18, {0.8, 1.0, 1.7});
    const UnitVector b{0.36, 0.48, 0.8};
    const std::array<int, 3> n{2, 1, -1};
    const Vec3 k{2 / (24 * 0.8), 1 / 20.0, -1 / (18 * 1.7)};
    const double along = k[0] * b[0] + k[1] * b[1] + k[2] * b[2];
    const double d = 1.0 / 3.0 - along * along / (k[0] * k[0] + k[1] * k[1] + k[2] * k[2]);
    ASSERT_GT(std::abs(d), 0.15);
    const VolumeF chi = plane_wave(grid, n, 0.5);
    const VolumeF field = plane_wave(grid, n, 0.5 * d);
    EXPECT_THAT(tkd(field, full_mask(grid), b, raw()).chi_ppm, VolumeNear(&chi, 2e-6));
}

TEST(Tkd, DampsAPlaneWaveNearTheMagicAngleByTheThreshold)
{
    // k = (3, 0, 2): D = 1/3 - 4/13 = 0.0256 is below 0.15, so chi comes back times D / 0.15.
    const Grid grid = grid_of(32, 32, 32);
    const double d = 1.0 / 3.0 - 4.0 / 13.0;
    const VolumeF expected = plane_wave(grid, {3, 0, 2}, d / 0.15);
    const VolumeF field = plane_wave(grid, {3, 0, 2}, d);
    EXPECT_THAT(tkd(field, full_mask(grid), b0_along_z, raw()).chi_ppm, VolumeNear(&expected, 1e-6));
}

TEST(Tkd, UnderestimatesASphereByTheKnownFactor)
{
    // A sphere is broad in k-space and even in direction: what is left is the mean of min(1, |1/3 - c^2| / t) over
    // directions, c uniform in [0, 1]: 0.868 at t = 0.15. The sphere's pixels and the finite FOV cost 0.02.
    double mean = 0.0;
    constexpr int n = 10000;
    for (int i = 0; i < n; ++i) {
        const double c = (i + 0.5) / n;
        mean += std::min(1.0, std::abs(1.0 / 3.0 - c * c) / 0.15) / n;
    }
    const Grid grid = grid_of(48, 48, 48);
    const VolumeF field = sphere_field_volume(grid, 7.0, 1.0, b0_along_z);
    const double kept = contrast(tkd(field, full_mask(grid), b0_along_z, raw()).chi_ppm, 5.0, 9.0, 22.0);
    EXPECT_NEAR(kept, mean, 0.02);
}

TEST(Tkd, CorrectionDividesByTheMeanPassBandOfAllFrequencies)
{
    // The mean of min(1, |D| / t) over the cube of frequencies, by midpoint quadrature.
    double mean = 0.0;
    constexpr int n = 48;
    for (int i = 0; i < n * n * n; ++i) {
        const double kx = i % n + 0.5, ky = i / n % n + 0.5, kz = i / n / n + 0.5;
        const double d = 1.0 / 3.0 - kz * kz / (kx * kx + ky * ky + kz * kz);
        mean += std::min(1.0, std::abs(d) / 0.15) / (n * n * n);
    }
    const Grid grid = grid_of(32, 32, 32);
    const VolumeF field = noise(grid, 1.0, 9);
    TkdOptions corrected = raw();
    corrected.correct_underestimation = true;
    const VolumeF plain = tkd(field, full_mask(grid), b0_along_z, raw()).chi_ppm;
    const VolumeF scaled = tkd(field, full_mask(grid), b0_along_z, corrected).chi_ppm;
    EXPECT_NEAR(static_cast<double>(plain[777] / scaled[777]), mean, 0.005);
}

TEST(Tkd, IsLinearInTheField)
{
    const Grid grid = grid_of(20, 22, 18);
    const Mask mask = ball_mask(grid, 8.0);
    const VolumeF a = noise(grid, 1.0, 1), b = noise(grid, 1.0, 2);
    VolumeF sum(grid);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = 3.0F * a[i] - 0.5F * b[i];
    const VolumeF chi_a = tkd(a, mask, oblique_b0).chi_ppm, chi_b = tkd(b, mask, oblique_b0).chi_ppm;
    VolumeF expected(grid);
    for (std::size_t i = 0; i < sum.size(); ++i) expected[i] = 3.0F * chi_a[i] - 0.5F * chi_b[i];
    // Values reach 60; float round-off of a transform is some 1e-6 of them.
    EXPECT_THAT(tkd(sum, mask, oblique_b0).chi_ppm, VolumeNear(&expected, 2e-4));
}

TEST(Tkd, ObliqueB0CostsNoAccuracy)
{
    const Grid grid = grid_of(32, 32, 32);
    const double straight = sphere_error_percent(with_defaults, grid, 5.5, b0_along_z);
    EXPECT_LT(straight, 45.0);
    EXPECT_NEAR(sphere_error_percent(with_defaults, grid, 5.5, oblique_b0), straight, 0.1 * straight);
}

TEST(Tkd, IsZeroOutsideTheMask)
{
    const Grid grid = grid_of(20, 22, 18);
    const Mask mask = ball_mask(grid, 6.0);
    const VolumeF chi = tkd(noise(grid, 1.0, 1), mask, b0_along_z).chi_ppm;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const bool is_right = mask[i] != 0 || chi[i] == 0.0F;
        ASSERT_TRUE(is_right);
    }
}

TEST(Tkd, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_same_bits_for_any_number_of_threads(with_defaults);
    expect_translation_moves_the_map(with_defaults);
}

TEST(Tkd, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    EXPECT_THROW((void)tkd(field, full_mask(grid), b0_along_z, {.threshold = 0.0}), InputError);
    EXPECT_THROW((void)tkd(field, full_mask(grid), b0_along_z, {.threshold = 0.7}), InputError);
    EXPECT_THROW((void)tkd(field, full_mask(grid), {0, 0, 2}), InputError);
    EXPECT_THROW((void)tkd(field, full_mask(grid_of(8, 8, 9)), b0_along_z), InputError);
    EXPECT_THROW((void)tkd(field, full_mask(grid), b0_along_z, {.pad_voxels = -1}), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
