#include "splitting_cases.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

/// A sphere of 0.2 ppm in a ball: at 16 rad/ppm its field has phases of up to 2 rad.
struct Scene {
    static constexpr double radians_per_ppm = 16.0;
    Grid grid = grid_of(28, 28, 28);
    Mask mask = ball_mask(grid, 12.5);
    VolumeF field = sphere_field_volume(grid, 5.0, 0.2, b0_along_z);
    VolumeF one{grid, 1.0F};

    /// The field plus `error_ppm` in a few voxels of the mask.
    [[nodiscard]] VolumeF spoilt(double error_ppm) const
    {
        VolumeF f = field.clone();
        for (std::size_t i = 0, n = 0; i < f.size(); ++i)
            if (mask[i] != 0 && ++n % 97 == 0) f[i] += static_cast<float>(error_ppm);
        return f;
    }
    /// Change of the map [%] by such an error.
    template <typename Invert>
    [[nodiscard]] double change_percent(double error_ppm, const Invert& invert) const
    {
        return relative_error_percent(invert(spoilt(error_ppm)).chi_ppm, invert(field).chi_ppm, mask);
    }
};

TEST(SplittingRobustness, OnlyNonlinearTermsBearWholeTurnsOfThePhase)
{
    const Scene s;
    const double turn_ppm = units::two_pi / Scene::radians_per_ppm;
    const double linear = s.change_percent(turn_ppm, [&](const VolumeF& f) {
        return tv(f, s.mask, b0_along_z, {}, &s.one);
    });
    const double nonlinear = s.change_percent(turn_ppm, [&](const VolumeF& f) {
        return nltv(f, s.mask, b0_along_z, {.radians_per_ppm = Scene::radians_per_ppm});
    });
    const double with_background = s.change_percent(turn_ppm, [&](const VolumeF& f) {
        return whqsm(f, s.mask, b0_along_z, {.radians_per_ppm = Scene::radians_per_ppm});
    });
    EXPECT_GT(linear, 30.0);
    EXPECT_LT(nonlinear, 5.0);
    EXPECT_LT(with_background, 5.0);
}

TEST(SplittingRobustness, MagnitudesBearAnyErrorInAFewVoxels)
{
    // Not a whole turn: half of one is the worst for squares.
    const Scene s;
    const double half_turn_ppm = units::pi / Scene::radians_per_ppm;
    const double squares =
        s.change_percent(half_turn_ppm, [&](const VolumeF& f) { return tv(f, s.mask, b0_along_z, {}, &s.one); });
    const double magnitudes = s.change_percent(half_turn_ppm, [&](const VolumeF& f) {
        return l1(f, s.mask, b0_along_z, {.radians_per_ppm = Scene::radians_per_ppm});
    });
    const double hybrid = s.change_percent(half_turn_ppm, [&](const VolumeF& f) {
        return hdqsm(f, s.mask, b0_along_z);
    });
    EXPECT_GT(squares, 20.0);
    EXPECT_LT(magnitudes, 0.3 * squares);
    EXPECT_LT(hybrid, 0.5 * squares);
}

TEST(SplittingRobustness, WhqsmTakesTheBackgroundThatIsLeft)
{
    // x^2 - y^2 and z are harmonic: fields of sources far away.
    const Scene s;
    const VolumeF background = from_function(s.grid, [](const Vec3& p) {
        return 0.05 * (p[0] * p[0] - p[1] * p[1]) / 150.0 + 0.05 * p[2] / 12.0 + 0.02;
    });
    VolumeF field = s.field.clone();
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += background[i];
    const VolumeF truth = sphere_chi(s.grid, 5.0, 0.2);
    const auto error = [&](const VolumeF& f, bool finds_background) {
        SplittingOptions o{.support = 0.03};
        VolumeF chi = finds_background ? whqsm(f, s.mask, b0_along_z, {.splitting = o}).chi_ppm
                                       : nltv(f, s.mask, b0_along_z, {.splitting = o}).chi_ppm;
        return relative_error_percent(chi, truth, s.mask);
    };
    EXPECT_LT(error(field, true), error(s.field, true) + 8.0);
    EXPECT_GT(error(field, false), 2.0 * error(field, true));
}

TEST(SplittingRobustness, StarShieldsItsSurroundingsFromAStrongSource)
{
    // Next to a source of 3 ppm, whose field is unknown close by, lies one of 0.1 ppm.
    const Grid grid = grid_of(32, 32, 32);
    const Mask mask = ball_mask(grid, 15.0);
    VolumeF field = sphere_field_volume(grid, 3.0, 3.0, b0_along_z, {-6, 0, 0});
    const VolumeF weak_field = sphere_field_volume(grid, 4.0, 0.1, b0_along_z, {5, 0, 0}), error = noise(grid, 0.01, 6);
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += weak_field[i] + error[i];
    StarOptions options;
    options.splitting.lambda = splitting_lambda(grid, 0.01);
    options.strong_lambda = 25.0 * options.splitting.lambda;
    const VolumeF chi = star(field, mask, b0_along_z, options).chi_ppm;
    const auto mean_near = [&](const Vec3& centre_mm, double radius_mm) {
        double sum = 0.0, n = 0.0;
        for (std::size_t z = 0, i = 0; z < 32; ++z)
            for (std::size_t y = 0; y < 32; ++y)
                for (std::size_t x = 0; x < 32; ++x, ++i) {
                    const Vec3 p = position_mm(grid, x, y, z);
                    if (std::hypot(p[0] - centre_mm[0], p[1] - centre_mm[1], p[2] - centre_mm[2]) > radius_mm) continue;
                    sum += static_cast<double>(chi[i]);
                    n += 1.0;
                }
        return sum / n;
    };
    const double around = mean_near({0, 9, 0}, 3.0);
    EXPECT_NEAR(mean_near({-6, 0, 0}, 1.5) - around, 3.0, 0.3);
    EXPECT_NEAR(mean_near({5, 0, 0}, 2.5) - around, 0.1, 0.03);
}

TEST(SplittingRobustness, StarIsPlainWhereNothingIsStrong)
{
    const Scene s;
    const StarOptions never{.strong_chi_ppm = 1e3};
    const Result once = star(s.field, s.mask, b0_along_z, never);
    // nltv() at a phase that is almost 0 solves the same.
    const Result plain = nltv(s.field, s.mask, b0_along_z, {.radians_per_ppm = 1e-2});
    EXPECT_GT(once.iterations, plain.iterations);
    EXPECT_LT(relative_error_percent(once.chi_ppm, plain.chi_ppm, s.mask), 2.0);
}

TEST(SplittingRobustness, ASupportKeepsTheMapInTheMask)
{
    // With sources in the mask alone the support is true, and the error falls.
    const Scene s;
    const VolumeF truth = sphere_chi(s.grid, 5.0, 0.2);
    const auto error = [&](double support) {
        const NltvOptions options{.splitting = {.support = support}};
        return relative_error_percent(nltv(s.field, s.mask, b0_along_z, options).chi_ppm, truth, s.mask);
    };
    EXPECT_LT(error(0.03), 15.0);
    EXPECT_LT(error(0.03), error(0.0));
}

}  // namespace
}  // namespace qsmpi::inversion
