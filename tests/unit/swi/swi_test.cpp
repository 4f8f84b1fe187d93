#include "qsmpi/swi/swi.hpp"

#include <cmath>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::swi {
namespace {

using namespace test;

constexpr double units_pi = 3.14159265358979;
constexpr auto pi = static_cast<float>(units_pi);

/// Shaded tissue with noise.
VolumeF tissue(const Grid& grid, double noise_std = 1.0)
{
    VolumeF m = from_function(grid, [](const Vec3& r) { return 100.0 + 0.8 * r[0]; });
    const VolumeF n = noise(grid, noise_std, 5);
    for (std::size_t i = 0; i < m.size(); ++i) m[i] += n[i];
    return m;
}

/// A vein along z of 1.5 mm radius, 10 Hz inside, in a background field that varies by hundreds of Hz.
bool in_vein(const Vec3& r) { return std::hypot(r[0] - 3.0, r[1] + 2.0) < 1.5; }
VolumeF vein_field_hz(const Grid& grid)
{
    return from_function(grid, [](const Vec3& r) { return 3.0 * r[0] - 2.0 * r[1] + 4.0 * r[2] + (in_vein(r) ? 10.0 : 0.0); });
}

/// Mean of the surroundings minus mean of the vein over the noise of the surroundings.
double contrast_to_noise(const VolumeF& image)
{
    double sum[2] = {}, squares[2] = {}, n[2] = {};
    const Dims& d = image.dims();
    for (std::size_t z = 4; z + 4 < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const Vec3 r = position_mm(image.grid(), x, y, z);
                const double distance = std::hypot(r[0] - 3.0, r[1] + 2.0);
                if (!in_vein(r) && (distance < 3.0 || distance > 7.0)) continue;
                const int k = in_vein(r) ? 0 : 1;
                const auto v = static_cast<double>(image(x, y, z));
                sum[k] += v, squares[k] += v * v, n[k] += 1.0;
            }
    const double mean = sum[1] / n[1];
    return (mean - sum[0] / n[0]) / std::sqrt(squares[1] / n[1] - mean * mean);
}

TEST(ClassicSwi, OfConstantPhaseIsTheMagnitude)
{
    const Grid grid = grid_of(20, 17, 12, {1, 1, 2});
    const VolumeF m = tissue(grid);
    const VolumeF image = classic_swi(m, VolumeF(grid, 1.3f), ball_mask(grid, 8.0));
    // The angle is rounding, 1e-7 rad, of which the mask takes four times its share of pi.
    EXPECT_THAT(image, VolumeNear(&m, 1e-4));
}

TEST(ClassicSwi, MaskFallsFromOneToZeroWithPositivePhase)
{
    // Single voxels stand out from a volume of phase 0, which is their low pass but for their own small share.
    const Grid grid = grid_of(60, 41, 9);
    const VolumeF m(grid, 1.0f);
    float before = 1.0f;
    for (int step = -10; step <= 10; ++step) {
        VolumeF phase(grid, 0.0f);
        const float angle = 0.09f * pi * static_cast<float>(step);
        phase(30, 20, 4) = angle;
        const float value = classic_swi(m, phase, full_mask(grid), {.low_pass_sigma_mm = 8.0})(30, 20, 4);
        EXPECT_LE(value, before) << step;
        // One voxel weighs less than 0.1 % in a Gaussian of 8 mm, and the mask's slope is at most 4 / pi.
        const double expected = angle > 0.0f ? std::pow(1.0 - static_cast<double>(angle) / units_pi, 4) : 1.0;
        EXPECT_NEAR(value, expected, 2e-3) << step;
        before = value;
    }
}

TEST(ClassicSwi, DoesNotSeeWraps)
{
    const Grid grid = grid_of(30, 31, 16);
    const VolumeF m = tissue(grid);
    VolumeF phase = vein_field_hz(grid);
    for (float& p : phase) p *= 2.0f * pi * 0.01f;
    VolumeF wrapped = phase.clone();
    for (float& p : wrapped) p = std::remainder(p, 2.0f * pi);
    const VolumeF a = classic_swi(m, phase, full_mask(grid)), b = classic_swi(m, wrapped, full_mask(grid));
    EXPECT_THAT(a, VolumeNear(&b, 1e-2)) << "100 times the rounding of phases of 10 rad";
}

TEST(Swi, MakesVeinsStandOut)
{
    const Grid grid = grid_of(40, 39, 20);
    const VolumeF m = tissue(grid, 4.0), field_hz = vein_field_hz(grid);
    VolumeF phase = field_hz.clone();
    for (float& p : phase) p *= 2.0f * pi * 0.02f;
    const double plain = contrast_to_noise(m);
    EXPECT_NEAR(plain, 0.0, 0.3) << "the vein has the magnitude of its surroundings";
    EXPECT_GT(contrast_to_noise(clear_swi(m, field_hz, full_mask(grid))), plain + 2.5);
    EXPECT_GT(contrast_to_noise(classic_swi(m, phase, full_mask(grid))), plain + 4.0);
}

TEST(ClearSwi, OfAConstantFieldIsTheFlattenedMagnitude)
{
    const Grid grid = grid_of(20, 17, 12, {1, 1, 2});
    const VolumeF m = tissue(grid);
    EXPECT_THAT(clear_swi(m, VolumeF(grid, -40.0f), full_mask(grid), {.flatten = false}), VolumeNear(&m, 0.0));
    const VolumeF flat = clear_swi(tissue(grid, 0.0), VolumeF(grid, -40.0f), full_mask(grid));
    // The shading of +-8 % goes, but for the smoothing at the borders.
    const auto [low, high] = std::minmax_element(flat.begin(), flat.end());
    EXPECT_LT(*high / *low, 1.08f) << "1.17 before";
}

TEST(ClearSwi, MaskFallsFromOneToZeroWithTheField)
{
    // Field values in scattered voxels, both signs, sum 0 around everywhere: the high pass leaves them as they are but for
    // a few percent.
    const Grid grid = grid_of(48, 48, 24);
    VolumeF field_hz(grid, 0.0f);
    for (std::size_t z = 4; z < 20; z += 8)
        for (std::size_t y = 4; y < 44; y += 4)
            for (std::size_t x = 4; x < 40; x += 8) {
                const float f = static_cast<float>(x + y + z);
                field_hz(x, y, z) = f;
                field_hz(x + 4, y, z) = -f;
            }
    const VolumeF image = clear_swi(VolumeF(grid, 1.0f), field_hz, full_mask(grid), {.flatten = false});
    std::vector<std::pair<float, float>> pairs;
    for (std::size_t i = 0; i < image.size(); ++i) {
        EXPECT_GE(image[i], 0.0f);
        EXPECT_LE(image[i], 1.0f);
        if (field_hz[i] != 0.0f) pairs.emplace_back(field_hz[i], image[i]);
    }
    std::sort(pairs.begin(), pairs.end());
    EXPECT_GT(pairs.front().second, 0.99f);
    EXPECT_LT(pairs.back().second, 0.01f);
    for (std::size_t k = 1; k < pairs.size(); ++k)
        EXPECT_LE(pairs[k].second, pairs[k - 1].second + 0.01f) << pairs[k].first << " Hz";
}

TEST(ClearSwi, ScalesOutUnitsOfFieldAndMagnitude)
{
    const Grid grid = grid_of(30, 31, 16);
    const VolumeF m = tissue(grid), field_hz = vein_field_hz(grid);
    VolumeF m2 = m.clone(), field2 = field_hz.clone();
    for (float& x : m2) x *= 1e4f;
    for (float& x : field2) x *= 7.0f;
    const VolumeF a = clear_swi(m, field_hz, full_mask(grid)), b = clear_swi(m2, field2, full_mask(grid));
    EXPECT_THAT(b, VolumeNear(&a, 1e-3));
}

TEST(Swi, SurvivesEmptyMasksSingleVoxelsAndNaN)
{
    const Grid grid = grid_of(12, 11, 10);
    VolumeF m = tissue(grid), field_hz = vein_field_hz(grid);
    m(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
    field_hz(11, 10, 9) = std::numeric_limits<float>::quiet_NaN();
    for (const Mask& mask : {Mask(grid, 0), full_mask(grid), ball_mask(grid, 0.8)}) {
        const VolumeF clear = clear_swi(m, field_hz, mask), classic = classic_swi(m, field_hz, mask);
        EXPECT_TRUE(all_finite(clear));
        EXPECT_TRUE(all_finite(classic));
        EXPECT_EQ(classic(0, 0, 0), 0.0f);
        EXPECT_EQ(classic(11, 10, 9), m(11, 10, 9)) << "unknown phase gives no contrast";
    }
    const Grid one = grid_of(1, 1, 1);
    EXPECT_EQ(classic_swi(VolumeF(one, 3.0f), VolumeF(one, 1.0f), full_mask(one))[0], 3.0f);
    EXPECT_TRUE(all_finite(clear_swi(VolumeF(one, 3.0f), VolumeF(one, 1.0f), full_mask(one))));
}

TEST(Swi, IsTheSameForAnyNumberOfThreads)
{
    const Grid grid = grid_of(47, 41, 33);
    const VolumeF m = tissue(grid), field_hz = vein_field_hz(grid);
    const Mask mask = ball_mask(grid, 15.0);
    parallel::set_threads(1);
    const VolumeF a = clear_swi(m, field_hz, mask), b = classic_swi(m, field_hz, mask);
    parallel::set_threads(3);
    EXPECT_THAT(clear_swi(m, field_hz, mask), VolumeNear(&a, 0.0));
    EXPECT_THAT(classic_swi(m, field_hz, mask), VolumeNear(&b, 0.0));
    parallel::set_threads(2);
}

TEST(Projection, TakesTheSlicesOfItsSlab)
{
    for (const int axis : {0, 1, 2}) {
        // Voxels of 2 mm along the axis: 7 mm are 3.5 slices, rounded to 4; 6 mm are 3.
        Vec3 voxel_mm{1, 1, 1};
        voxel_mm[static_cast<std::size_t>(axis)] = 2.0;
        const Grid grid = grid_of(15, 14, 13, voxel_mm);
        VolumeF image(grid, 1.0f);
        image(7, 7, 7) = 0.0f;
        for (const auto& [slab_mm, n] : {std::pair{6.0, 3}, {7.0, 4}, {0.1, 1}, {1000.0, static_cast<int>(grid.dims[axis])}}) {
            const VolumeF lowest = minimum_intensity_projection(image, slab_mm, axis);
            int dark = 0;
            for (const float x : lowest) dark += x == 0.0f ? 1 : 0;
            EXPECT_EQ(dark, n) << slab_mm << " mm along axis " << axis;
            EXPECT_EQ(lowest(7, 7, 7), 0.0f);
        }
    }
    const VolumeF ramp = from_function(grid_of(3, 3, 20), [](const Vec3& r) { return r[2]; });
    const VolumeF lowest = minimum_intensity_projection(ramp);
    EXPECT_EQ(lowest(1, 1, 10), ramp(1, 1, 7)) << "7 slices of 1 mm: three below, three above";
    EXPECT_EQ(lowest(1, 1, 1), ramp(1, 1, 0)) << "cut off at the border";
    EXPECT_THROW((void)minimum_intensity_projection(ramp, 7.0, 3), InputError);
    EXPECT_THROW((void)minimum_intensity_projection(ramp, 0.0), InputError);
}

TEST(Sensitivity, FollowsTheShadingAndNotTheTissue)
{
    const Grid grid = grid_of(50, 48, 44);
    const auto shading = [](const Vec3& r) { return 100.0 * std::exp(0.02 * r[0] - 0.01 * r[1]); };
    const VolumeF m = from_function(grid, [&](const Vec3& r) {
        const bool dark = std::hypot(r[0] - 5.0, r[1], r[2]) < 5.0;  // a lesion of half the signal
        return shading(r) * (dark ? 0.5 : 1.0);
    });
    const VolumeF s = sensitivity(m, full_mask(grid));
    // A constant ratio, to a tenth: windows vote for what is bright in them, so the ratio lies above 1.
    double low = 1e9, high = 0.0;
    for (std::size_t z = 6; z < 38; ++z)
        for (std::size_t y = 6; y < 42; ++y)
            for (std::size_t x = 6; x < 44; ++x) {
                const double ratio = static_cast<double>(s(x, y, z)) / shading(position_mm(grid, x, y, z));
                low = std::min(low, ratio), high = std::max(high, ratio);
            }
    EXPECT_LT(high / low, 1.2);
    EXPECT_NEAR(std::sqrt(low * high), 1.0, 0.1);
}

}  // namespace
}  // namespace qsmpi::swi
