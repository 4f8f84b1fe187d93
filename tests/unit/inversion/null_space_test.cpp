#include "qsmpi/inversion/null_space.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

/// Three tissues in a ball, the first within, the others in patches around it, with the R2* of each, and spots of something
/// else in all of them.
struct Tissues {
    Grid grid = grid_of(44, 40, 36, {2.0, 2.0, 2.4});
    Mask mask = ball_mask(grid, 38.0, {1, -1, 0});
    VolumeF chi_ppm{grid, 0.0F}, r2star_per_s{grid, 0.0F};

    explicit Tissues(double r2star_noise_per_s = 1.0)
    {
        constexpr double tissue_ppm[] = {-0.03, 0.03, 0.12}, tissue_per_s[] = {20.0, 27.0, 45.0};
        std::mt19937 random(7);
        std::normal_distribution<double> normal;
        const Dims& d = grid.dims;
        for (std::size_t z = 0; z < d.nz; ++z)
            for (std::size_t y = 0; y < d.ny; ++y)
                for (std::size_t x = 0; x < d.nx; ++x) {
                    if (mask(x, y, z) == 0) continue;
                    const Vec3 p = position_mm(grid, x, y, z);
                    const bool deep = p[0] * p[0] + p[1] * p[1] + p[2] * p[2] < 26.0 * 26.0;
                    const std::size_t patch = (x / 5 + 2 * (y / 4) + z / 6) % 5;
                    const std::size_t tissue = patch == 4 ? 2 : deep && patch < 3 ? 0 : 1;
                    const bool spot = (x / 3 + y / 3 + z / 3) % 11 == 0;
                    chi_ppm(x, y, z) = static_cast<float>(tissue_ppm[tissue] + 0.004 * normal(random) + (spot ? 0.3 : 0.0));
                    r2star_per_s(x, y, z) = static_cast<float>(tissue_per_s[tissue] + r2star_noise_per_s * normal(random));
                }
    }
};

double rms_difference(const VolumeF& a, const VolumeF& b, const Mask& mask)
{
    double mean = 0.0, square = 0.0, n = 0.0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        const auto difference = static_cast<double>(a[i] - b[i]);
        mean += difference;
        square += difference * difference;
        n += 1.0;
    }
    return std::sqrt(square / n - mean * mean / (n * n));
}

VolumeF sum(const VolumeF& a, const VolumeF& b, const Mask& mask)
{
    VolumeF out(a.grid(), 0.0F);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = mask[i] != 0 ? a[i] + b[i] : 0.0F;
    return out;
}

/// Solutions of the wave equation of orders one to four, written out by hand, in coordinates whose third runs along `b`, which
/// lies in the y-z plane; 3 to 10 ppb rms in the ball.
std::vector<std::function<double(const Vec3&)>> waves(const UnitVector& b)
{
    const auto turned = [b](auto wave) {
        return [b, wave](const Vec3& p) {
            const double u = p[0] / 38.0, v = (b[2] * p[1] - b[1] * p[2]) / 38.0, w = (b[1] * p[1] + b[2] * p[2]) / 38.0;
            return 0.02 * wave(u, v, w);
        };
    };
    return {turned([](double, double, double w) { return w; }),
            turned([](double u, double v, double w) { return u * u + v * v + w * w; }),
            turned([](double u, double, double w) { return u * w; }),
            turned([](double u, double v, double) { return u * u - v * v; }),
            turned([](double u, double v, double w) { return w * w * w + 3.0 * w * (u * u + v * v); }),
            turned([](double u, double v, double) { return 4.0 * u * v * (u * u - v * v); })};
}

TEST(NullSpace, TakesWavesOutAndLeavesTissuesAndSpots)
{
    for (const UnitVector& b : {b0_along_z, UnitVector{0.0, 0.6, 0.8}}) {
        const Tissues head;
        VolumeF still = head.chi_ppm.clone();
        const NullSpaceReport alone = settle_null_space(still, head.mask, b, head.r2star_per_s);
        EXPECT_GT(alone.explained, 0.6);
        EXPECT_LT(rms_difference(still, head.chi_ppm, head.mask), 0.001) << "nothing to take out";
        for (const auto& wave : waves(b)) {
            const VolumeF error = from_function(head.grid, wave);
            VolumeF chi_ppm = sum(head.chi_ppm, error, head.mask);
            const double before = rms_difference(chi_ppm, head.chi_ppm, head.mask);
            const NullSpaceReport report = settle_null_space(chi_ppm, head.mask, b, head.r2star_per_s);
            EXPECT_EQ(report.share, 1.0);
            EXPECT_GT(before, 0.003);
            EXPECT_LT(rms_difference(chi_ppm, head.chi_ppm, head.mask), 0.25 * before);
        }
    }
}

TEST(NullSpace, KeepsWhatTheFieldShows)
{
    // 2 w^2 - u^2 - v^2 is no solution of the wave equation, and orthogonal over a ball to the one of its order that is round.
    const Tissues head;
    const VolumeF seen = from_function(head.grid, [](const Vec3& p) {
        const double x = p[0] - 1.0, y = p[1] + 1.0;
        return 0.02 * (2.0 * p[2] * p[2] - x * x - y * y) / (38.0 * 38.0);
    });
    const VolumeF whole = sum(head.chi_ppm, seen, head.mask);
    VolumeF chi_ppm = whole.clone();
    EXPECT_EQ(settle_null_space(chi_ppm, head.mask, b0_along_z, head.r2star_per_s, {.order = 2}).share, 1.0);
    EXPECT_LT(rms_difference(chi_ppm, whole, head.mask), 0.3 * rms_difference(whole, head.chi_ppm, head.mask));
}

TEST(NullSpace, ChangesNothingWhereR2starTellsNothing)
{
    const Tissues head(200.0);
    const VolumeF before = sum(head.chi_ppm, from_function(head.grid, waves(b0_along_z)[1]), head.mask);
    VolumeF chi_ppm = before.clone();
    VolumeF size(head.grid);
    for (std::size_t i = 0; i < size.size(); ++i) size[i] = std::abs(head.r2star_per_s[i]);
    const NullSpaceReport report = settle_null_space(chi_ppm, head.mask, b0_along_z, size);
    EXPECT_LT(report.explained, 0.2);
    EXPECT_EQ(report.share, 0.0);
    EXPECT_TRUE(std::equal(chi_ppm.begin(), chi_ppm.end(), before.begin()));

    const NullSpaceReport unknown = settle_null_space(chi_ppm, head.mask, b0_along_z, VolumeF(head.grid, 0.0F));
    EXPECT_EQ(unknown.share, 0.0);
    EXPECT_TRUE(std::equal(chi_ppm.begin(), chi_ppm.end(), before.begin()));
}

TEST(NullSpace, LooksAtVoxelsOfKnownR2starOnlyAndSettlesAll)
{
    const Tissues head;
    VolumeF holes = head.r2star_per_s.clone();
    for (std::size_t i = 0; i < holes.size(); i += 7) holes[i] = i % 2 == 0 ? 0.0F : std::numeric_limits<float>::quiet_NaN();
    VolumeF chi_ppm = sum(head.chi_ppm, from_function(head.grid, waves(b0_along_z)[1]), head.mask);
    EXPECT_EQ(settle_null_space(chi_ppm, head.mask, b0_along_z, holes).share, 1.0);
    EXPECT_TRUE(all_finite(chi_ppm));
    EXPECT_LT(rms_difference(chi_ppm, head.chi_ppm, head.mask), 0.001);
    for (std::size_t i = 0; i < chi_ppm.size(); ++i) ASSERT_TRUE(head.mask[i] != 0 || chi_ppm[i] == 0.0F);
}

TEST(NullSpace, ReachesNotFarBeyondWhatIsKnown)
{
    Tissues head;
    for (std::size_t i = 0; i < head.grid.size(); ++i)
        if (position_mm(head.grid, 0, 0, i / (head.grid.dims.nx * head.grid.dims.ny))[2] > 14.0) head.r2star_per_s[i] = 0.0F;
    VolumeF chi_ppm = head.chi_ppm.clone();
    EXPECT_EQ(settle_null_space(chi_ppm, head.mask, b0_along_z, head.r2star_per_s).share, 0.0) << "a quarter is unknown";
    EXPECT_EQ(settle_null_space(chi_ppm, head.mask, b0_along_z, head.r2star_per_s, {.known_least = 0.5}).share, 1.0);

    Mask none(head.grid, 0);
    EXPECT_EQ(settle_null_space(chi_ppm, none, b0_along_z, head.r2star_per_s).explained, 0.0);
}

TEST(NullSpace, PassesByVoxelsThatAreNotFinite)
{
    const Tissues head;
    VolumeF chi_ppm = sum(head.chi_ppm, from_function(head.grid, waves(b0_along_z)[1]), head.mask);
    Mask finite = head.mask.clone();
    for (std::size_t i = 0; i < chi_ppm.size(); i += 97) {
        chi_ppm[i] = std::numeric_limits<float>::quiet_NaN();
        finite[i] = 0;
    }
    EXPECT_EQ(settle_null_space(chi_ppm, head.mask, b0_along_z, head.r2star_per_s).share, 1.0);
    EXPECT_LT(rms_difference(chi_ppm, head.chi_ppm, finite), 0.001);
}

TEST(NullSpace, IsSettledByTheModesOfTheMapWithoutR2star)
{
    for (const UnitVector& b : {b0_along_z, UnitVector{0.0, 0.6, 0.8}})
        for (const auto& wave : waves(b)) {
            const Tissues head;
            VolumeF chi_ppm = sum(head.chi_ppm, from_function(head.grid, wave), head.mask);
            const double before = rms_difference(chi_ppm, head.chi_ppm, head.mask);
            EXPECT_EQ(settle_null_space_by_modes(chi_ppm, head.mask, b).share, 1.0);
            EXPECT_LT(rms_difference(chi_ppm, head.chi_ppm, head.mask), 0.25 * before);
        }
}

TEST(NullSpace, ByModesLeavesAMapAsItIsWhereNothingIsToBeSettled)
{
    const Tissues head;
    VolumeF chi_ppm = head.chi_ppm.clone();
    const NullSpaceReport report = settle_null_space_by_modes(chi_ppm, head.mask, b0_along_z);
    EXPECT_EQ(report.share, 1.0);
    EXPECT_LT(report.rms_ppm, 0.001);
    EXPECT_LT(rms_difference(chi_ppm, head.chi_ppm, head.mask), 0.001);
}

TEST(NullSpace, TheBestIsBitForBitWhatTheBetterOfBothMakes)
{
    struct Case {
        const char* what;
        double r2star_noise_per_s;
        bool has_r2star, by_modes;
    };
    for (const Case c : {Case{"R2* explains well", 1.0, true, false}, Case{"R2* is noise", 200.0, true, true},
                         Case{"no R2*", 1.0, false, true}}) {
        SCOPED_TRACE(c.what);
        const Tissues head(c.r2star_noise_per_s);
        VolumeF r2star_per_s(head.grid);
        for (std::size_t i = 0; i < r2star_per_s.size(); ++i) r2star_per_s[i] = std::abs(head.r2star_per_s[i]);
        VolumeF want = sum(head.chi_ppm, from_function(head.grid, waves(b0_along_z)[1]), head.mask), chi_ppm = want.clone();
        const NullSpaceReport alone = c.by_modes ? settle_null_space_by_modes(want, head.mask, b0_along_z)
                                                 : settle_null_space(want, head.mask, b0_along_z, r2star_per_s);
        const BestNullSpaceReport best =
            settle_null_space_by_best(chi_ppm, head.mask, b0_along_z, c.has_r2star ? &r2star_per_s : nullptr);
        EXPECT_EQ(best.by_modes, c.by_modes);
        EXPECT_EQ(best.report.explained, alone.explained);
        EXPECT_EQ(best.report.share, alone.share);
        EXPECT_EQ(best.report.rms_ppm, alone.rms_ppm);
        EXPECT_TRUE(std::equal(chi_ppm.begin(), chi_ppm.end(), want.begin()));
    }
}

TEST(NullSpace, SamplesOfAMaskThatFillsTheGridLieInNoPlane)
{
    // 750,000 voxels, of which every 25th is looked at, in rows of 25.
    const Grid grid = grid_of(25, 200, 150);
    const VolumeF rough = noise(grid, 0.01, 11);
    VolumeF chi_ppm(grid);
    for (std::size_t i = 0; i < grid.size(); ++i) {
        const std::size_t x = i % 25, y = i / 25 % 200, z = i / 5000;
        chi_ppm[i] = rough[i] + ((x / 6 + y / 9 + z / 7) % 2 == 0 ? 0.06F : -0.06F);
    }
    const VolumeF before = chi_ppm.clone();
    EXPECT_EQ(settle_null_space_by_modes(chi_ppm, full_mask(grid), b0_along_z).share, 1.0);
    EXPECT_LT(rms_difference(chi_ppm, before, full_mask(grid)), 0.002);
}

TEST(NullSpace, NoiseOfAnyWidthAndFewVoxelsHasOneMode)
{
    for (const double radius_mm : {9.2, 12.0, 19.0})
        for (const double sd_ppm : {0.02, 0.1, 0.2, 0.5}) {
            const Grid grid = grid_of(40, 40, 40);
            const Mask mask = ball_mask(grid, radius_mm);
            VolumeF chi_ppm = noise(grid, sd_ppm, 5);
            const NullSpaceReport report = settle_null_space_by_modes(chi_ppm, mask, b0_along_z);
            EXPECT_EQ(report.share, 0.0) << radius_mm << " mm, " << sd_ppm << " ppm: " << report.explained;
        }
}

TEST(NullSpace, AMapSpreadTooWideForModesStaysAsItIs)
{
    const Tissues head;
    VolumeF chi_ppm = from_function(head.grid, [](const Vec3& p) { return 5.0 * p[0] + 0.1 * p[1]; });
    const VolumeF before = chi_ppm.clone();
    EXPECT_EQ(settle_null_space_by_modes(chi_ppm, head.mask, b0_along_z).explained, 0.0);
    EXPECT_TRUE(std::equal(chi_ppm.begin(), chi_ppm.end(), before.begin()));
}

TEST(NullSpace, OneBroadModeSettlesNothing)
{
    const Tissues head;
    const VolumeF broad = sum(noise(head.grid, 0.05, 3), from_function(head.grid, waves(b0_along_z)[1]), head.mask);
    VolumeF chi_ppm = broad.clone();
    const NullSpaceReport report = settle_null_space_by_modes(chi_ppm, head.mask, b0_along_z);
    EXPECT_EQ(report.share, 0.0) << report.explained;
    EXPECT_TRUE(std::equal(chi_ppm.begin(), chi_ppm.end(), broad.begin()));

    VolumeF flat(head.grid, 0.01F);
    EXPECT_EQ(settle_null_space_by_modes(flat, head.mask, b0_along_z).share, 0.0);
    EXPECT_EQ(flat[head.grid.size() / 2], 0.01F);
    EXPECT_EQ(settle_null_space_by_modes(flat, Mask(head.grid, 0), b0_along_z).share, 0.0);
}

TEST(NullSpace, IsTheSameBitsForAnyNumberOfThreads)
{
    const Tissues head;
    const VolumeF before = sum(head.chi_ppm, from_function(head.grid, waves(b0_along_z)[2]), head.mask);
    const int n_threads = parallel::threads();
    const auto settled = [&](int n) {
        parallel::set_threads(n);
        VolumeF chi_ppm = before.clone();
        static_cast<void>(settle_null_space(chi_ppm, head.mask, b0_along_z, head.r2star_per_s));
        static_cast<void>(settle_null_space_by_modes(chi_ppm, head.mask, b0_along_z));
        return chi_ppm;
    };
    const VolumeF one = settled(1), three = settled(3);
    parallel::set_threads(n_threads);
    EXPECT_TRUE(std::equal(one.begin(), one.end(), three.begin()));
}

TEST(NullSpace, RefusesNonsense)
{
    const Tissues head;
    VolumeF chi_ppm = head.chi_ppm.clone();
    const auto settle = [&](const VolumeF& r2star_per_s, const NullSpaceOptions& o) {
        static_cast<void>(settle_null_space(chi_ppm, head.mask, b0_along_z, r2star_per_s, o));
    };
    EXPECT_THROW(settle(VolumeF(grid_of(3, 3, 3), 1.0F), {}), InputError);
    EXPECT_THROW(settle(head.r2star_per_s, {.order = 0}), InputError);
    EXPECT_THROW(settle(head.r2star_per_s, {.order = 9}), InputError);
    EXPECT_THROW(settle(head.r2star_per_s, {.explained_least = 0.6}), InputError);
    EXPECT_THROW(settle(head.r2star_per_s, {.n_classes = 0}), InputError);
    EXPECT_THROW(settle(head.r2star_per_s, {.narrowness = 0.0}), InputError);
    EXPECT_THROW((void)settle_null_space_by_modes(chi_ppm, head.mask, b0_along_z, {.mode_ppm = 0.0}), InputError);
    EXPECT_THROW((void)settle_null_space_by_modes(chi_ppm, full_mask(grid_of(3, 3, 3)), b0_along_z), InputError);
    EXPECT_NO_THROW(settle(head.r2star_per_s, {}));
}

}  // namespace
}  // namespace qsmpi::inversion
