#include "qsmpi/simulation/head.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include <gmock/gmock.h>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::simulation {
namespace {

constexpr double gamma_hz_per_t = 42.577478518e6;

HeadOptions small(int subject = 1)
{
    HeadOptions o;
    o.dims = {46, 54, 45};
    o.voxel_mm = {4.0, 4.0, 4.0};
    o.echo_times_s = {0.004, 0.010};
    o.subject = subject;
    return o;
}

/// The reference subject, made once for the tests that only look at it.
const Head& reference()
{
    static const Head head = simulate_head(small());
    return head;
}

double litres(const Mask& mask)
{
    return static_cast<double>(std::count(mask.begin(), mask.end(), 1)) * mask.grid().voxel_mm3() * 1e-6;
}

bool same_bits(const VolumeF& a, const VolumeF& b)
{
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

TEST(Head, IsTheSameToTheBitWithOneAndThreeThreads)
{
    HeadOptions o = small(2);
    o.dims = {31, 37, 30};
    o.voxel_mm = {6, 5.5, 6};
    const int before = parallel::threads();
    parallel::set_threads(1);
    const Head one = simulate_head(o);
    parallel::set_threads(3);
    const Head three = simulate_head(o);
    parallel::set_threads(before);
    for (std::size_t e = 0; e < o.echo_times_s.size(); ++e) {
        EXPECT_TRUE(same_bits(one.magnitude[e], three.magnitude[e]));
        EXPECT_TRUE(same_bits(one.phase_rad[e], three.phase_rad[e]));
    }
    EXPECT_TRUE(same_bits(one.chi_ppm, three.chi_ppm));
    EXPECT_TRUE(same_bits(one.local_field_ppm, three.local_field_ppm));
    EXPECT_TRUE(same_bits(one.total_field_ppm, three.total_field_ppm));
    EXPECT_TRUE(same_bits(one.t1w, three.t1w));
}

TEST(Head, HasABrainOfPlausibleVolume)
{
    // Adult brains with their ventricles: 1.1 to 1.7 litres.
    for (const int subject : {1, 2, 5}) {
        const Head head = simulate_head(small(subject));
        EXPECT_GT(litres(head.mask), 1.1) << subject;
        EXPECT_LT(litres(head.mask), 1.7) << subject;
    }
}

TEST(Head, OfAnotherSubjectDiffersInShapeIronAndVeinsButNotTooMuch)
{
    const Head& one = reference();
    const Head two = simulate_head(small(2));
    EXPECT_NE(one.chi_of_tissue_ppm[6], two.chi_of_tissue_ppm[6]);
    EXPECT_NEAR(one.chi_of_tissue_ppm[6], two.chi_of_tissue_ppm[6], 0.06);
    std::size_t both = 0, either = 0;
    for (std::size_t i = 0; i < one.mask.size(); ++i) {
        both += one.mask[i] != 0 && two.mask[i] != 0;
        either += one.mask[i] != 0 || two.mask[i] != 0;
    }
    const double overlap = static_cast<double>(both) / static_cast<double>(either);
    EXPECT_GT(overlap, 0.75);
    EXPECT_LT(overlap, 0.99);
}

TEST(Head, RegionsHaveThePromisedSusceptibility)
{
    HeadOptions o;
    o.dims = {110, 110, 100};
    o.voxel_mm = {1.7, 1.9, 1.8};
    o.oversampling = 1;
    o.echo_times_s = {0.005};
    const Head head = simulate_head(o);
    // Medians of voxels whose six neighbours have the same label: no partial volume; texture has 0.008 ppm about 0.
    for (const Tissue t : {Tissue::white_matter, Tissue::caudate, Tissue::putamen, Tissue::pallidum, Tissue::thalamus,
                           Tissue::red_nucleus, Tissue::dentate}) {
        std::vector<float> values;
        const auto& s = head.segmentation;
        const auto label = static_cast<float>(t);
        for (std::size_t z = 1; z + 1 < o.dims.nz; ++z)
            for (std::size_t y = 1; y + 1 < o.dims.ny; ++y)
                for (std::size_t x = 1; x + 1 < o.dims.nx; ++x)
                    if (s(x, y, z) == label && s(x - 1, y, z) == label && s(x + 1, y, z) == label &&
                        s(x, y - 1, z) == label && s(x, y + 1, z) == label && s(x, y, z - 1) == label &&
                        s(x, y, z + 1) == label)
                        values.push_back(head.chi_ppm(x, y, z));
        ASSERT_FALSE(values.empty()) << static_cast<int>(t);
        std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
        EXPECT_NEAR(static_cast<double>(values[values.size() / 2]), head.chi_of_tissue_ppm[static_cast<std::size_t>(t)], 0.012)
            << tissue_names()[static_cast<std::size_t>(t)];
    }
    // The calcification is a ball of 2.4 mm radius: one voxel amid it is filled almost wholly.
    EXPECT_LT(*std::min_element(head.chi_ppm.begin(), head.chi_ppm.end()), -1.3F);
}

TEST(Head, PhaseGrowsWithTheTotalFieldAsPhysicsSays)
{
    HeadOptions o = small();
    o.offset = false;
    o.snr = 1e7;
    o.echo_times_s = {0.0005};
    o.b0_tesla = 3.0;
    const Head head = simulate_head(o);
    double worst = 0.0;
    std::size_t n = 0;
    for (std::size_t i = 0; i < head.mask.size(); ++i) {
        // Uniform tissue only: elsewhere the phase of the mean signal is not the mean phase.
        if (head.mask[i] == 0 || head.segmentation[i] != 3.0F || std::abs(head.total_field_ppm[i]) > 3.0F) continue;
        const double want = 2.0 * std::numbers::pi * gamma_hz_per_t * 3.0 * 0.0005 * 1e-6 * static_cast<double>(head.total_field_ppm[i]);
        worst = std::max(worst, std::abs(static_cast<double>(head.phase_rad[0][i]) - want));
        ++n;
    }
    EXPECT_GT(n, 2000U);
    EXPECT_LT(worst, 0.06);  // partial volume at the rim of the region, where phase is up to 1.2 rad
}

TEST(Head, LocalFieldIsTheSumOfTheDipolesInTheMask)
{
    const Head& head = reference();
    const Grid& grid = head.mask.grid();
    double error = 0.0, size = 0.0;
    for (std::size_t probe = 1; probe < 60; ++probe) {
        const std::size_t at = (probe * 7919 * 131) % grid.size();
        if (head.mask[at] == 0 || head.segmentation[at] != 3.0F) continue;
        const Vec3 p = test::position_mm(grid, at % grid.dims.nx, at / grid.dims.nx % grid.dims.ny, at / grid.dims.nx / grid.dims.ny);
        double field = 0.0;
        for (std::size_t i = 0; i < grid.size(); ++i) {
            if (i == at || head.chi_ppm[i] == 0.0F) continue;
            const Vec3 q = test::position_mm(grid, i % grid.dims.nx, i / grid.dims.nx % grid.dims.ny, i / grid.dims.nx / grid.dims.ny);
            const double x = p[0] - q[0], y = p[1] - q[1], z = p[2] - q[2], r2 = x * x + y * y + z * z;
            field += static_cast<double>(head.chi_ppm[i]) * 64.0 / (4.0 * std::numbers::pi) * (3.0 * z * z - r2) / std::pow(r2, 2.5);
        }
        error += std::pow(field - static_cast<double>(head.local_field_ppm[at]), 2);
        size += field * field;
    }
    // Point dipoles of 4 mm voxels stand for structures of that size: a fifth is what is left of a sum that
    // would be wrong by 100 % with another sign, axis or factor.
    ASSERT_GT(size, 0.0);
    EXPECT_LT(std::sqrt(error / size), 0.3);
}

TEST(Head, NoiseHasTheAskedStandardDeviation)
{
    const Head& head = reference();
    double sum = 0.0;
    std::size_t n = 0;
    for (std::size_t i = 0; i < head.mask.size(); ++i) {
        if (head.segmentation[i] != 0.0F || head.r2star_per_s[i] != 0.0F) continue;
        sum += static_cast<double>(head.magnitude[0][i]);
        ++n;
    }
    // The mean of a Rayleigh distribution is sigma sqrt(pi/2); tens of thousands of voxels give it to 1 %.
    EXPECT_NEAR(sum / static_cast<double>(n), std::sqrt(std::numbers::pi / 2.0) / 80.0, 0.03 / 80.0);
}

TEST(Head, SeedChangesNoiseAndNothingChangesWithoutIt)
{
    HeadOptions o = small();
    o.oversampling = 1;
    const Head a = simulate_head(o), b = simulate_head(o);
    o.seed = 2;
    const Head c = simulate_head(o);
    EXPECT_TRUE(same_bits(a.phase_rad[1], b.phase_rad[1]));
    EXPECT_FALSE(same_bits(a.phase_rad[1], c.phase_rad[1]));
    EXPECT_EQ(a.chi_of_tissue_ppm, c.chi_of_tissue_ppm);
}

TEST(Head, TiltTurnsB0TowardsTheSecondAxis)
{
    HeadOptions o = small();
    o.oversampling = 1;
    o.tilt_deg = 30.0;
    const Head tilted = simulate_head(o);
    EXPECT_NEAR(tilted.b0_direction_ijk[1], 0.5, 1e-12);
    EXPECT_NEAR(tilted.b0_direction_ijk[2], std::sqrt(0.75), 1e-12);
    o.tilt_deg = 0.0;
    const Head level = simulate_head(o);
    EXPECT_TRUE(same_bits(tilted.chi_ppm, level.chi_ppm));
    EXPECT_FALSE(same_bits(tilted.local_field_ppm, level.local_field_ppm));
}

TEST(Head, BipolarEchoesDifferByAConstantAndARampAlongX)
{
    HeadOptions o = small();
    o.oversampling = 1;
    o.snr = 1e7;
    o.echo_times_s = {0.004, 0.008};
    const Head plain = simulate_head(o);
    o.bipolar = true;
    const Head bipolar = simulate_head(o);
    double worst = 0.0;
    for (std::size_t i = 0; i < plain.mask.size(); ++i) {
        if (plain.mask[i] == 0) continue;
        const double u = (2.0 * static_cast<double>(i % o.dims.nx) + 1.0) / static_cast<double>(o.dims.nx) - 1.0;
        for (const std::size_t e : {0U, 1U}) {
            const double difference = static_cast<double>(bipolar.phase_rad[e][i] - plain.phase_rad[e][i]);
            const double want = (e == 0 ? -1.0 : 1.0) * (0.35 + 0.8 * u);
            worst = std::max(worst, std::abs(std::remainder(difference - want, 2.0 * std::numbers::pi)));
        }
    }
    EXPECT_LT(worst, 2e-3);
}

TEST(Head, ShimTakesOffAPlaneSoThatTheBrainIsOnResonance)
{
    HeadOptions o = small();
    o.oversampling = 1;
    const Head with = simulate_head(o);
    o.shim = false;
    const Head without = simulate_head(o);
    double mean = 0.0, n = 0.0, worst = 0.0;
    for (std::size_t i = 0; i < with.mask.size(); ++i) {
        if (with.mask[i] == 0) continue;
        mean += static_cast<double>(with.total_field_ppm[i]);
        n += 1.0;
    }
    EXPECT_NEAR(mean / n, 0.0, 0.03);  // what an operator leaves adds up to 0.14 ppm, but hardly on average
    // What was taken off has no curvature along an axis, anywhere.
    for (std::size_t y = 1; y + 1 < o.dims.ny; ++y) {
        const auto off = [&](std::size_t row) { return with.total_field_ppm(9, row, 20) - without.total_field_ppm(9, row, 20); };
        worst = std::max(worst, std::abs(static_cast<double>(off(y + 1) - 2 * off(y) + off(y - 1))));
    }
    EXPECT_LT(worst, 1e-5);
}

TEST(Head, ASlabKeepsTheFieldOfWhatLiesBeyondIt)
{
    // The middle third of the reference's slices, simulated by itself: the world around it still makes field.
    HeadOptions o = small();
    o.shim = false;
    const Head whole = simulate_head(o);
    o.dims.nz = 15;
    const Head slab = simulate_head(o);
    double worst = 0.0;
    for (std::size_t z = 0; z < 15; ++z) {
        for (std::size_t y = 0; y < o.dims.ny; ++y) {
            for (std::size_t x = 0; x < o.dims.nx; ++x) {
                if (slab.mask(x, y, z) == 0) continue;
                worst = std::max(worst, std::abs(static_cast<double>(slab.total_field_ppm(x, y, z) - whole.total_field_ppm(x, y, z + 15))));
            }
        }
    }
    EXPECT_LT(worst, 0.05);  // the two worlds are padded to slightly different periods
}

TEST(Head, RefusesOptionsThatMakeNoSense)
{
    HeadOptions milliseconds = small();
    milliseconds.echo_times_s = {4.0, 8.0};
    EXPECT_THROW((void)simulate_head(milliseconds), InputError);
    HeadOptions falling = small();
    falling.echo_times_s = {0.008, 0.004};
    EXPECT_THROW((void)simulate_head(falling), InputError);
    HeadOptions huge = small();
    huge.dims = {2000, 2000, 2000};
    EXPECT_THROW((void)simulate_head(huge), InputError);
    HeadOptions flat = small();
    flat.voxel_mm = {1.0, 0.0, 1.0};
    EXPECT_THROW((void)simulate_head(flat), InputError);
}

}  // namespace
}  // namespace qsmpi::simulation
