#include "qsmpi/inversion/medi.hpp"

#include "inversion_cases.hpp"
#include "medi_problem.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

Result with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b)
{
    return medi(field, mask, b, {}, medi_defaults(field.grid()));
}

TEST(Medi, RecoversASphere)
{
    // The mask cuts the field of the sphere, and the norm keeps edges sharp but low: 0.8 to 1.05 of the contrast.
    const Grid grid = grid_of(40, 40, 40);
    for (const UnitVector& b : {b0_along_z, oblique_b0}) {
        const VolumeF chi = with_defaults(sphere_field_volume(grid, 6.0, 1.0, b), ball_mask(grid, 16.0), b).chi_ppm;
        const double c = contrast(chi, 4.0, 8.0, 14.0);
        EXPECT_GT(c, 0.8);
        EXPECT_LT(c, 1.05);
    }
}

TEST(Medi, ItsRuleDoesNotDependOnTheVoxelSize)
{
    // The same numbers on voxels of 1, 2 and 0.5 mm are the same problem; powers of 2 leave round-off alone but for constants.
    const Grid grid = grid_of(24, 22, 20);
    const VolumeF expected = with_defaults(sphere_field_volume(grid, 4.0, 0.1, oblique_b0), ball_mask(grid, 9.0), oblique_b0).chi_ppm;
    for (const double size : {0.5, 2.0}) {
        const Grid other = grid_of(24, 22, 20, {size, size, size});
        const VolumeF field = sphere_field_volume(other, 4.0 * size, 0.1, oblique_b0);
        EXPECT_THAT(with_defaults(field, ball_mask(other, 9.0 * size), oblique_b0).chi_ppm, VolumeNear(&expected, 1e-5)) << size;
    }
}

TEST(Medi, TellsTwoObjectsApart)
{
    const Grid grid = grid_of(44, 30, 30);
    const Mask mask = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0] / 1.5, p[1], p[2]) < 13.0; });
    VolumeF field = sphere_field_volume(grid, 4.0, 0.5, b0_along_z, {-9, 0, 0});
    const VolumeF other = sphere_field_volume(grid, 4.0, -0.3, b0_along_z, {9, 0, 0});
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += other[i];
    const VolumeF chi = with_defaults(field, mask, b0_along_z).chi_ppm;
    const double plus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {-9, 0, 0}));
    const double minus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {9, 0, 0}));
    EXPECT_NEAR(plus - minus, 0.8, 0.12);
}

TEST(Medi, EdgesOfTheMagnitudeSharpenTheMap)
{
    const Grid grid = grid_of(32, 32, 32);
    const Mask mask = ball_mask(grid, 13.0);
    const VolumeF field = sphere_field_volume(grid, 5.0, 1.0, b0_along_z), truth = sphere_chi(grid, 5.0, 1.0);
    VolumeF magnitude(grid);
    for (std::size_t i = 0; i < magnitude.size(); ++i) magnitude[i] = 100.0F - 40.0F * truth[i];
    MediOptions options = medi_defaults(grid);
    options.lambda = 1e-3;  // so strong that only a spared edge can be steep
    const auto error = [&](const MediInput& input) {
        VolumeF chi = medi(field, mask, b0_along_z, input, options).chi_ppm;
        const double shift = numerics::mean_inside(chi, mask) - numerics::mean_inside(truth, mask);
        for (float& v : chi) v -= static_cast<float>(shift);
        return relative_error_percent(chi, truth, mask);
    };
    const double without = error({}), with = error({.magnitude = &magnitude});
    EXPECT_LT(with, 0.8 * without);
    EXPECT_LT(with, 25.0);
}

TEST(Medi, GradientAgreesWithFiniteDifferencesOfTheObjective)
{
    const Grid box = grid_of(10, 9, 8, {1.0, 1.1, 1.3});
    detail::DipoleFilter dipole({{14, 12, 12}, box.voxel_mm}, oblique_b0);
    const VolumeF field = noise(box, 0.3, 1), x = noise(box, 0.2, 2), direction = noise(box, 1.0, 3);
    VolumeF w = noise(box, 1.0, 4);
    for (float& v : w) v *= v;
    Volume<std::uint8_t> edges(box, 0);
    for (std::size_t i = 0; i < edges.size(); i += 5) edges[i] = static_cast<std::uint8_t>(i % 8);
    const Mask csf = ball_mask(box, 3.0);
    for (const double radians_per_ppm : {0.0, 10.0}) {
        detail::MediProblem problem(dipole, field, w.clone(), edges.clone(), &csf, radians_per_ppm,
                                    {.lambda = 0.05, .smoothing_ppm_per_mm = 0.1, .csf_lambda = 0.5});
        VolumeF descent(box);
        problem.descent(x, descent);
        const auto moved = [&](double step) {
            VolumeF y(box);
            for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] + static_cast<float>(step) * direction[i];
            return problem.objective(y);
        };
        // The step balances curvature, step^2, against round-off of floats, eps / step.
        constexpr double step = 2e-3;
        const double slope = (moved(step) - moved(-step)) / (2.0 * step);
        EXPECT_NEAR(slope, -numerics::dot(descent, direction), 5e-3 * std::abs(slope)) << radians_per_ppm;
    }
}

TEST(Medi, CurvatureIsSymmetricAndPositive)
{
    const Grid box = grid_of(10, 9, 8, {1.0, 1.1, 1.3});
    detail::DipoleFilter dipole({{14, 12, 12}, box.voxel_mm}, oblique_b0);
    const VolumeF field = noise(box, 0.3, 1), p = noise(box, 1.0, 2), q = noise(box, 1.0, 3);
    const Mask csf = ball_mask(box, 3.0);
    detail::MediProblem problem(dipole, field, VolumeF(box, 1.0F), Volume<std::uint8_t>(box, 0), &csf, 0.0, {});
    VolumeF ap(box), aq(box);
    problem.descent(field, ap);
    const double pp = problem.curvature(p, ap), qq = problem.curvature(q, aq);
    EXPECT_GT(pp, 0.0);
    EXPECT_NEAR(pp, numerics::dot(p, ap), 1e-5 * pp);
    EXPECT_NEAR(numerics::dot(q, ap), numerics::dot(p, aq), 1e-5 * std::sqrt(pp * qq));
}

TEST(Medi, StepsLowerTheObjective)
{
    const Grid grid = grid_of(24, 22, 20);
    const VolumeF field = sphere_field_volume(grid, 5.0, 1.0, oblique_b0);
    detail::DipoleFilter dipole({{32, 30, 28}, grid.voxel_mm}, oblique_b0);
    const MediOptions base = medi_defaults(grid);
    double before = std::numeric_limits<double>::infinity();
    for (const int steps : {1, 2, 4}) {
        MediOptions options = base;
        options.max_iterations = steps;
        options.tolerance = 0.0;
        options.pad_voxels = 8;
        const VolumeF chi = medi(field, full_mask(grid), oblique_b0, {}, options).chi_ppm;
        detail::MediProblem problem(dipole, field, VolumeF(grid, 1.0F), Volume<std::uint8_t>(grid, 0), nullptr, 0.0,
                                    base);
        const double now = problem.objective(chi);
        EXPECT_LT(now, before) << steps;
        before = now;
    }
}

TEST(Medi, FluidBecomesTheZeroAndIsFlat)
{
    const Grid grid = grid_of(32, 32, 32);
    const Mask mask = ball_mask(grid, 13.0), csf = ball_mask(grid, 4.0, {0, 7, 0});
    VolumeF field = sphere_field_volume(grid, 4.0, 1.0, b0_along_z, {0, -4, 0});
    const VolumeF error = noise(grid, 0.02, 5);
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    const auto spread = [&](const VolumeF& chi) {
        const double mean = numerics::mean_inside(chi, csf);
        double sum = 0.0;
        for (std::size_t i = 0; i < chi.size(); ++i)
            if (csf[i] != 0) sum += std::pow(static_cast<double>(chi[i]) - mean, 2.0);
        return sum;
    };
    MediOptions options = medi_defaults(grid);
    const VolumeF without = medi(field, mask, b0_along_z, {}, options).chi_ppm;
    options.csf_lambda = 2.0;
    const VolumeF with = medi(field, mask, b0_along_z, {.csf_mask = &csf}, options).chi_ppm;
    EXPECT_LT(spread(with), 0.5 * spread(without));
    EXPECT_NEAR(numerics::mean_inside(with, csf), 0.0, 1e-6);
}

TEST(Medi, TheNonlinearModelDoesNotMindWraps)
{
    // 2 pi / s is a whole turn: a field that jumps by it in some voxels is the same data.
    const Grid grid = grid_of(24, 24, 24);
    const Mask mask = ball_mask(grid, 10.0);
    const MediInput input{.radians_per_ppm = 5.0};
    const VolumeF field = sphere_field_volume(grid, 4.0, 0.6, b0_along_z);
    VolumeF wrapped = field.clone();
    for (std::size_t z = 4; z < 12; ++z)
        wrapped(14, 13, z) += static_cast<float>(units::two_pi / input.radians_per_ppm);
    MediOptions options;
    options.tolerance = 0.01;  // the two begin at different maps
    const VolumeF chi = medi(field, mask, b0_along_z, input, options).chi_ppm;
    EXPECT_LT(relative_error_percent(medi(wrapped, mask, b0_along_z, input, options).chi_ppm, chi, mask), 5.0);
    EXPECT_GT(relative_error_percent(medi(wrapped, mask, b0_along_z, {}, options).chi_ppm, chi, mask), 20.0);
}

TEST(Medi, SourcesOfSeveralTurnsKeepTheirStrength)
{
    // 0.67 ppm at the poles of the sphere: 3.7 turns at this echo time. In the wrong turns it would come out at a fraction of itself.
    const Grid grid = grid_of(40, 40, 40);
    const MediInput input{.radians_per_ppm = 34.0};
    const VolumeF chi =
        medi(sphere_field_volume(grid, 6.0, 1.0, b0_along_z), ball_mask(grid, 16.0), b0_along_z, input, medi_defaults(grid)).chi_ppm;
    EXPECT_NEAR(contrast(chi, 4.0, 8.0, 14.0), 1.0, 0.1);
}

TEST(Medi, MeritTakesWeightFromWrongVoxels)
{
    const Grid grid = grid_of(24, 24, 24);
    const Mask mask = ball_mask(grid, 10.0);
    const VolumeF field = sphere_field_volume(grid, 4.0, 0.6, b0_along_z);
    VolumeF spoilt = field.clone();
    spoilt(12, 18, 12) += 3.0F;
    spoilt(8, 12, 16) -= 3.0F;
    MediOptions options = medi_defaults(grid);
    const auto invert = [&](const VolumeF& f, Reweighting r) {
        options.reweighting = r;
        return medi(f, mask, b0_along_z, {}, options).chi_ppm;
    };
    const VolumeF clean = invert(field, Reweighting::off);
    EXPECT_LT(relative_error_percent(invert(spoilt, Reweighting::merit), clean, mask),
              0.5 * relative_error_percent(invert(spoilt, Reweighting::off), clean, mask));
}

TEST(Medi, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_one_slice_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_same_bits_for_any_number_of_threads([](const VolumeF& field, const Mask& mask, const UnitVector& b) {
        return medi(field, mask, b, {.magnitude = &field, .csf_mask = &mask, .radians_per_ppm = 5.0},
                    {.reweighting = Reweighting::merit, .max_iterations = 3});
    });
}

TEST(Medi, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {}, {.lambda = 0.0}), InputError);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {}, {.edge_fraction = 1.0}), InputError);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {}, {.smoothing_ppm_per_mm = 0.0}), InputError);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {}, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)medi(field, mask, {0, 0, 0}), InputError);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {.radians_per_ppm = -1.0}), InputError);
    VolumeF weight(grid, 1.0F);
    weight[3] = -1.0F;
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {.weight = &weight}), InputError);
    const VolumeF other(grid_of(8, 8, 9), 1.0F);
    EXPECT_THROW((void)medi(field, mask, b0_along_z, {.magnitude = &other}), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
