#include "qsmpi/field/field_map.hpp"

#include <array>
#include <complex>
#include <random>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "volumes.hpp"

namespace qsmpi::field
{
namespace
{

using namespace test;
using ::testing::Each;

struct Simulation {
    VolumeF field_hz;
    std::vector<VolumeF> wrapped_rad, unwrapped_rad, magnitude, true_magnitude;
    std::vector<double> echo_times_s;
};

/// Monoexponential decay (T2* 30 ms), field uniform in +-300 Hz, offset-free, complex noise of standard
/// deviation 1. Unwrapped phases are those of the noisy signal on the true branch.
Simulation simulate(double magnitude, std::vector<double> echo_times_s, double offset_rad = 0.0,
                    std::size_t edge = 40)
{
    Simulation s{VolumeF(grid_of(edge, edge + 1, edge - 1)), {}, {}, {}, {}, std::move(echo_times_s)};
    std::mt19937 random(11);
    std::uniform_real_distribution<float> uniform(-300.0f, 300.0f);
    std::normal_distribution<double> normal(0.0, 1.0);
    for (float& f : s.field_hz) f = uniform(random);
    for (const double t : s.echo_times_s) {
        VolumeF p(s.field_hz.grid()), u(s.field_hz.grid()), m(s.field_hz.grid());
        const double true_m = magnitude * std::exp(-t / 0.030);
        for (std::size_t i = 0; i < p.size(); ++i) {
            const double truth = offset_rad + units::rad_from_hz(static_cast<double>(s.field_hz[i]), t);
            const std::complex<double> relative =
                true_m + std::complex<double>(normal(random), normal(random));
            u[i] = static_cast<float>(truth + std::arg(relative));
            p[i] = static_cast<float>(std::arg(relative * std::polar(1.0, truth)));
            m[i] = static_cast<float>(std::abs(relative));
        }
        s.wrapped_rad.push_back(std::move(p));
        s.unwrapped_rad.push_back(std::move(u));
        s.magnitude.push_back(std::move(m));
        s.true_magnitude.emplace_back(s.field_hz.grid(), static_cast<float>(true_m));
    }
    return s;
}

struct Moments {
    double bias, variance;
};

Moments error_of(const VolumeF& estimate, const VolumeF& truth)
{
    double sum = 0.0, square = 0.0;
    const auto n = static_cast<double>(truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i) {
        const double e = static_cast<double>(estimate[i]) - static_cast<double>(truth[i]);
        sum += e;
        square += e * e;
    }
    return {sum / n, square / n - sum / n * sum / n};
}

/// Cramer-Rao bound of the field [Hz^2] for noise of standard deviation 1: 1 / sum m^2 (2 pi TE)^2, or about
/// the mean time if an intercept is unknown.
double bound(const Simulation& s, bool with_intercept)
{
    double w = 0.0, wt = 0.0, wtt = 0.0;
    for (std::size_t k = 0; k < s.echo_times_s.size(); ++k) {
        const double m = static_cast<double>(s.true_magnitude[k][0]), t = units::two_pi * s.echo_times_s[k];
        w += m * m;
        wt += m * m * t;
        wtt += m * m * t * t;
    }
    return 1.0 / (with_intercept ? wtt - wt * wt / w : wtt);
}

const std::vector<double> four_echoes{0.004, 0.012, 0.020, 0.028};

TEST(WeightedAverage, IsExactWithoutNoise)
{
    Simulation s = simulate(1.0, four_echoes, 0.0, 20);
    for (std::size_t k = 0; k < 4; ++k) {
        for (std::size_t i = 0; i < s.field_hz.size(); ++i) {
            s.unwrapped_rad[k][i] =
                static_cast<float>(units::rad_from_hz(static_cast<double>(s.field_hz[i]), s.echo_times_s[k]));
        }
    }
    const FieldMap map = weighted_average(s.unwrapped_rad, s.true_magnitude, s.echo_times_s, 0.1);
    EXPECT_THAT(map.field_hz, VolumeNear(&s.field_hz, 1e-4));  // float round-off of 300 Hz
    EXPECT_THAT(map.relative_residual, Each(::testing::Lt(1e-8f)));
    // sigma / (2 pi sqrt(sum m^2 TE^2)), nothing to widen.
    EXPECT_NEAR(static_cast<double>(map.sigma_hz[5]), 0.1 * std::sqrt(bound(s, false)),
                1e-4 * std::sqrt(bound(s, false)));
}

class AtSignalToNoise : public ::testing::TestWithParam<double>
{
};

TEST_P(AtSignalToNoise, AllFitsAreUnbiasedAndReachTheCramerRaoBound)
{
    // 62,400 voxels: the variance is known to sqrt(2/n) = 0.6 %, the mean to 0.03 Hz at SNR 8. The phase of a
    // complex number with SNR m has the variance 1/m^2 (1 + 1/(2 m^2) + ...), so at the last echo of SNR 8
    // exp(-28/30) = 3.1 the bound itself is missed by a few per cent.
    const double snr = GetParam();
    const Simulation s = simulate(snr, four_echoes, 0.0, 40);
    const double tolerance = snr > 15.0 ? 0.05 : 0.20;

    const FieldMap average = weighted_average(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0);
    const FieldMap line = linear_fit(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0);
    const FieldMap complex_fit =
        nonlinear_fit(s.wrapped_rad, s.magnitude, s.echo_times_s, average.field_hz, 1.0);
    const double origin = bound(s, false), intercept = bound(s, true);
    EXPECT_NEAR(error_of(average.field_hz, s.field_hz).bias, 0.0, 0.2);
    EXPECT_NEAR(error_of(line.field_hz, s.field_hz).bias, 0.0, 0.2);
    EXPECT_NEAR(error_of(complex_fit.field_hz, s.field_hz).bias, 0.0, 0.2);
    EXPECT_NEAR(error_of(average.field_hz, s.field_hz).variance / origin, 1.0, tolerance);
    EXPECT_NEAR(error_of(line.field_hz, s.field_hz).variance / intercept, 1.0, tolerance);
    EXPECT_NEAR(error_of(complex_fit.field_hz, s.field_hz).variance / origin, 1.0, tolerance);

    // The map of sigma tells the truth: normalised errors have variance 1.
    double square = 0.0;
    for (std::size_t i = 0; i < s.field_hz.size(); ++i) {
        const double e = static_cast<double>(complex_fit.field_hz[i] - s.field_hz[i]) /
                         static_cast<double>(complex_fit.sigma_hz[i]);
        square += e * e / static_cast<double>(s.field_hz.size());
    }
    EXPECT_NEAR(square, 1.0, tolerance);
}

INSTANTIATE_TEST_SUITE_P(Snr, AtSignalToNoise, ::testing::Values(8.0, 20.0, 100.0));

TEST(LinearFit, IgnoresAConstantOffset)
{
    const Simulation s = simulate(100.0, four_echoes, 1.3, 20);
    const FieldMap map = linear_fit(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0);
    EXPECT_NEAR(error_of(map.field_hz, s.field_hz).bias, 0.0, 0.05);
    EXPECT_NEAR(error_of(map.field_hz, s.field_hz).variance / bound(s, true), 1.0, 0.1);
}

TEST(NonlinearFit, FindsTheFieldFromAStartThatAWronglyUnwrappedEchoHasMoved)
{
    Simulation s = simulate(40.0, four_echoes, 0.0, 24);
    // Every third voxel: the last two echoes one turn off, as a temporal unwrapping error leaves them.
    for (std::size_t i = 0; i < s.field_hz.size(); i += 3) {
        s.unwrapped_rad[2][i] += static_cast<float>(units::two_pi);
        s.unwrapped_rad[3][i] += static_cast<float>(units::two_pi);
    }
    const FieldMap start = weighted_average(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0);
    const FieldMap map = nonlinear_fit(s.wrapped_rad, s.magnitude, s.echo_times_s, start.field_hz, 1.0);
    const double sigma_hz = std::sqrt(bound(s, false));
    std::size_t far = 0, noticed = 0;
    for (std::size_t i = 0; i < s.field_hz.size(); ++i) {
        far += std::abs(map.field_hz[i] - s.field_hz[i]) > 6.0 * sigma_hz ? 1 : 0;
        noticed += i % 3 == 0 && static_cast<double>(start.sigma_hz[i]) > 5.0 * sigma_hz ? 1 : 0;
    }
    EXPECT_EQ(far, 0u);
    EXPECT_EQ(noticed, (s.field_hz.size() + 2) / 3)
        << "the average widens sigma where echoes contradict each other";
}

TEST(NonlinearFit, KeepsTheStartsAliasInPureNoise)
{
    const Grid grid = grid_of(24, 24, 24);
    std::vector<VolumeF> phase, magnitude;
    for (unsigned k = 0; k < 4; ++k) {
        const VolumeF re = noise(grid, 1.0, 2 * k), im = noise(grid, 1.0, 2 * k + 1);
        phase.emplace_back(grid);
        magnitude.emplace_back(grid);
        for (std::size_t i = 0; i < grid.size(); ++i) {
            phase[k][i] = std::atan2(im[i], re[i]);
            magnitude[k][i] = std::hypot(im[i], re[i]);
        }
    }
    const FieldMap map = nonlinear_fit(phase, magnitude, four_echoes, VolumeF(grid, 0.0f), 1.0);
    std::size_t far = 0;
    for (const float f : map.field_hz) far += std::abs(f) > 60.0f ? 1 : 0;
    EXPECT_LT(far, grid.size() / 200) << "noise must not jump to distant aliases";
    double residual = 0.0;
    for (const float r : map.relative_residual)
        residual += static_cast<double>(r) / static_cast<double>(grid.size());
    EXPECT_GT(residual, 0.2);
}

TEST(Fits, GiveZeroFieldAndInfiniteSigmaWithoutSignal)
{
    Simulation s = simulate(50.0, four_echoes, 0.0, 12);
    for (std::size_t k = 0; k < 4; ++k) {
        s.magnitude[k][0] = 0.0f;
        s.magnitude[k][1] = std::nanf("");
        s.unwrapped_rad[k][2] = s.wrapped_rad[k][2] = std::nanf("");
    }
    // One bad echo must not spoil the others.
    s.unwrapped_rad[1][3] = s.wrapped_rad[1][3] = std::nanf("");
    const auto check = [&](const FieldMap& map) {
        EXPECT_TRUE(all_finite(map.field_hz));
        EXPECT_TRUE(all_finite(map.relative_residual));
        for (std::size_t i = 0; i < 3; ++i) {
            EXPECT_EQ(map.field_hz[i], 0.0f);
            EXPECT_TRUE(std::isinf(map.sigma_hz[i]));
            EXPECT_EQ(map.relative_residual[i], 1.0f);
        }
        EXPECT_NEAR(map.field_hz[3], s.field_hz[3], 5.0f);
    };
    check(weighted_average(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0));
    check(linear_fit(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0));
    check(nonlinear_fit(s.wrapped_rad, s.magnitude, s.echo_times_s, s.field_hz, 1.0));
}

TEST(Fits, AcceptOneEchoAndAnyScaleOfMagnitude)
{
    const Simulation s = simulate(50.0, {0.010}, 0.0, 14);
    const FieldMap map = weighted_average(s.unwrapped_rad, s.magnitude, s.echo_times_s, 1.0);
    EXPECT_TRUE(map.relative_residual.empty());
    EXPECT_NEAR(error_of(map.field_hz, s.field_hz).variance / bound(s, false), 1.0, 0.15);
    EXPECT_TRUE(
        nonlinear_fit(s.wrapped_rad, s.magnitude, s.echo_times_s, s.field_hz, 1.0).relative_residual.empty());

    Simulation scaled = simulate(50.0, four_echoes, 0.0, 14);
    const FieldMap before = linear_fit(scaled.unwrapped_rad, scaled.magnitude, four_echoes, 1.0);
    for (VolumeF& m : scaled.magnitude) {
        for (float& x : m) x *= 0x1p-12f;
    }
    const FieldMap after = linear_fit(scaled.unwrapped_rad, scaled.magnitude, four_echoes, 0x1p-12);
    EXPECT_THAT(after.field_hz, VolumeNear(&before.field_hz, 1e-3));
    EXPECT_THAT(after.sigma_hz, VolumeNear(&before.sigma_hz, 1e-3));
}

TEST(Fits, GiveTheSameBitsForAnyNumberOfThreads)
{
    const Simulation s = simulate(10.0, four_echoes, 0.0, 44);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const FieldMap one = nonlinear_fit(s.wrapped_rad, s.magnitude, four_echoes, s.field_hz, 1.0);
    parallel::set_threads(3);
    const FieldMap three = nonlinear_fit(s.wrapped_rad, s.magnitude, four_echoes, s.field_hz, 1.0);
    parallel::set_threads(before);
    EXPECT_THAT(one.field_hz, VolumeNear(&three.field_hz, 0.0));
    EXPECT_THAT(one.sigma_hz, VolumeNear(&three.sigma_hz, 0.0));
}

TEST(Fits, RefuseInputThatDoesNotFitTogether)
{
    const Simulation s = simulate(10.0, {0.01, 0.02}, 0.0, 8);
    const std::array one_time{0.01};
    const std::array equal_times{0.01, 0.01};
    EXPECT_THROW((void)weighted_average(s.unwrapped_rad, s.magnitude, one_time, 1.0), InputError);
    EXPECT_THROW((void)weighted_average(s.unwrapped_rad, s.magnitude, s.echo_times_s, 0.0), InputError);
    EXPECT_THROW((void)linear_fit(s.unwrapped_rad, s.magnitude, equal_times, 1.0), InputError);
    EXPECT_THROW((void)weighted_average({}, {}, {}, 1.0), InputError);
    const VolumeF other(grid_of(3, 3, 3), 0.0f);
    EXPECT_THROW((void)nonlinear_fit(s.wrapped_rad, s.magnitude, s.echo_times_s, other, 1.0), InputError);
}

TEST(NonlinearFit, WeighsEchoesAlikeWhereTheirFieldsScatter)
{
    // The field of every echo differs from the voxel's by 2 Hz at random. Weights for noise alone would err by 1.33 Hz.
    const Grid grid = grid_of(40, 40, 10);
    const std::vector<double> times{0.004, 0.012, 0.020, 0.028};
    std::vector<VolumeF> phase, magnitude;
    for (std::size_t k = 0; k < times.size(); ++k) {
        const VolumeF scatter_hz = noise(grid, 2.0, 30 + static_cast<unsigned>(k));
        VolumeF p(grid);
        for (std::size_t i = 0; i < p.size(); ++i)
            p[i] = static_cast<float>(units::rad_from_hz(12.0 + static_cast<double>(scatter_hz[i]), times[k]));
        phase.push_back(std::move(p));
        magnitude.emplace_back(grid, 100.0f);
    }
    const FieldMap map = nonlinear_fit(phase, magnitude, times, VolumeF(grid, 12.0f), 1.0);
    double square = 0.0, predicted = 0.0;
    for (std::size_t i = 0; i < grid.size(); ++i) {
        square += std::pow(static_cast<double>(map.field_hz[i]) - 12.0, 2);
        predicted += std::pow(static_cast<double>(map.sigma_hz[i]), 2);
    }
    const double n = static_cast<double>(grid.size());
    // Equal weights give 2 Hz / sqrt(4); tau is found from three degrees of freedom only, which costs some of it.
    EXPECT_LT(std::sqrt(square / n), 1.25);
    EXPECT_GT(std::sqrt(predicted / n), 0.55 * std::sqrt(square / n));
    EXPECT_LT(std::sqrt(predicted / n), 1.2 * std::sqrt(square / n));
}

}  // namespace
}  // namespace qsmpi::field
