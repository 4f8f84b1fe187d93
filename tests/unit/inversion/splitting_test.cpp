#include "qsmpi/inversion/splitting.hpp"

#include "splitting_cases.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

TEST(Splitting, EveryMethodFindsASphereAlsoWithObliqueB0)
{
    const Grid grid = grid_of(28, 28, 28);
    for (const SplittingMethod& method : splitting_methods()) {
        const double straight = sphere_error_percent(method, grid, 5.0, b0_along_z);
        const double oblique = sphere_error_percent(method, grid, 5.0, oblique_b0);
        // Errors of a sphere made of voxels are 5 to 10 %; magnitudes take partial volumes at the rim for outliers,
        // and a background of its own takes long waves of the map.
        const double bound = method.name == "whqsm" ? 23.0
            : method.name == "nltv" || method.name == "star" ? 13.0 : 20.0;
        EXPECT_LT(straight, bound) << method.name;
        EXPECT_LT(oblique, bound) << method.name;
        const VolumeF chi = method(sphere_field_volume(grid, 5.0, 1.0, oblique_b0), ball_mask(grid, 12.5),
                                   oblique_b0).chi_ppm;
        EXPECT_GT(contrast(chi, 3.5, 7.0, 11.0), method.name == "whqsm" ? 0.8 : 0.9) << method.name;
        EXPECT_LT(contrast(chi, 3.5, 7.0, 11.0), 1.1) << method.name;
    }
}

TEST(Splitting, RotatingTheFieldChangesTheErrorLittle)
{
    // Streaks would follow B0. The errors differ by less than 10 % of themselves and 2 % of the contrast, which is
    // what the lattice makes of another direction.
    const Grid grid = grid_of(28, 28, 28);
    for (const SplittingMethod& method : splitting_methods()) {
        const double straight = sphere_error_percent(method, grid, 5.0, b0_along_z);
        const double oblique = sphere_error_percent(method, grid, 5.0, oblique_b0);
        EXPECT_NEAR(oblique, straight, 0.1 * straight + 2.0) << method.name;
    }
}

TEST(Splitting, BearsEveryMask)
{
    for (const SplittingMethod& method : splitting_methods()) {
        expect_an_empty_mask_gives_zero(method);
        expect_a_single_voxel_is_finite(method);
        expect_nan_stays_away(method);
        expect_same_bits_for_any_number_of_threads(method);
        expect_translation_moves_the_map(method);
    }
}

TEST(Splitting, IgnoresTheFieldWhereTheWeightIsZero)
{
    const Grid grid = grid_of(20, 18, 16);
    const Mask mask = ball_mask(grid, 7.0);
    for (const SplittingMethod& method : splitting_methods()) {
        VolumeF field = sphere_field_volume(grid, 3.0, 1.0, oblique_b0), weight(grid, 1.0F);
        weight(10, 10, 10) = weight(11, 10, 10) = 0.0F;
        const VolumeF before = method.run(field, mask, oblique_b0, &weight).chi_ppm;
        field(10, 10, 10) = 100.0F;
        field(11, 10, 10) = std::numeric_limits<float>::quiet_NaN();
        expect_same_bits(method.run(field, mask, oblique_b0, &weight).chi_ppm, before);
        // All unknown: nothing to say, and no division by 0.
        weight.fill(0.0F);
        EXPECT_TRUE(all_finite(method.run(field, mask, oblique_b0, &weight).chi_ppm)) << method.name;
        weight[grid.dims.index(10, 9, 8)] = -1.0F;
        EXPECT_THROW((void)method.run(field, mask, oblique_b0, &weight), InputError) << method.name;
    }
}

TEST(Splitting, NltvIsTvWhereThePhaseIsSmall)
{
    const Grid grid = grid_of(24, 22, 20, {1.0, 1.0, 1.4});
    const Mask mask = ball_mask(grid, 10.0);
    const VolumeF field = sphere_field_volume(grid, 4.0, 1.0, oblique_b0), one(grid, 1.0F);
    const SplittingOptions same{.lambda = 1e-3, .rho = 0.2, .max_iterations = 30, .tolerance = 0.0};
    const VolumeF linear = tv(field, mask, oblique_b0,
                              {.lambda = 1e-3, .rho = 0.2, .mu = 1.0, .max_iterations = 30, .tolerance = 0.0}, &one)
                               .chi_ppm;
    // Phases up to 0.01 rad: sine and angle differ by 2e-5 of it; float loses as much to the small numbers.
    const VolumeF small = nltv(field, mask, oblique_b0, {.splitting = same, .radians_per_ppm = 0.01}).chi_ppm;
    EXPECT_THAT(small, VolumeNear(&linear, 2e-4));
    const VolumeF large = nltv(field, mask, oblique_b0, {.splitting = same, .radians_per_ppm = 16.0}).chi_ppm;
    EXPECT_GT(relative_error_percent(large, linear, mask), 0.1);
}

/// The misfit of a map in a periodic world: sum |exp(i r D x) - exp(i r f)|^p / (p r^p), and lambda times the total
/// variation.
double objective(const VolumeF& x, const VolumeF& field, const UnitVector& b, double r, double lambda, int p)
{
    const auto& d = x.dims();
    const numerics::Fft3 fft(x.grid());
    numerics::Spectrum work(d);
    VolumeF model(x.grid());
    fft.filter(x, model, numerics::DipoleKernel(x.grid(), b).multiplier(), work);
    double data = 0.0, variation = 0.0;
    for (std::size_t z = 0, i = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t xx = 0; xx < d.nx; ++xx, ++i) {
                const double chord = 2.0 * std::abs(std::sin(0.5 * r * static_cast<double>(model[i] - field[i]))) / r;
                data += p == 2 ? 0.5 * chord * chord : chord;
                if (xx + 1 < d.nx) variation += std::abs(static_cast<double>(x(xx + 1, y, z) - x[i]));
                if (y + 1 < d.ny) variation += std::abs(static_cast<double>(x(xx, y + 1, z) - x[i]));
                if (z + 1 < d.nz) variation += std::abs(static_cast<double>(x(xx, y, z + 1) - x[i]));
            }
    return data + lambda * variation;
}

TEST(Splitting, LowersItsObjective)
{
    const Grid grid = grid_of(24, 22, 20);
    const Mask mask = full_mask(grid);
    VolumeF field(grid);
    const VolumeF chi = sphere_chi(grid, 5.0, 0.5), error = noise(grid, 0.01, 11);
    const numerics::Fft3 fft(grid);
    numerics::Spectrum work(grid.dims);
    fft.filter(chi, field, numerics::DipoleKernel(grid, oblique_b0).multiplier(), work);
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    const double r = 16.0;
    for (const int p : {1, 2}) {
        SplittingOptions o{.lambda = p == 2 ? 1e-3 : 0.1, .mu = p == 2 ? 1.0 : 100.0, .tolerance = 0.0, .pad_voxels = 0,
                           .pad_fraction = 0.0};
        const auto reached = [&](int iterations) {
            o.max_iterations = iterations;
            const VolumeF x = p == 2 ? nltv(field, mask, oblique_b0, {.splitting = o, .radians_per_ppm = r}).chi_ppm
                                     : l1(field, mask, oblique_b0, {.splitting = o, .radians_per_ppm = r}).chi_ppm;
            return objective(x, field, oblique_b0, r, o.lambda, p);
        };
        const double at_6 = reached(6), at_20 = reached(20), at_60 = reached(60), at_200 = reached(200);
        EXPECT_LT(at_20, at_6) << p;
        EXPECT_LT(at_60, at_20) << p;
        EXPECT_LT(at_60, 1.03 * at_200) << p;
        EXPECT_GT(at_60, 0.99 * at_200) << p;
        EXPECT_LT(at_60, objective(chi, field, oblique_b0, r, o.lambda, p)) << p;
    }
}

TEST(Splitting, ItsRuleDoesNotDependOnTheVoxelSize)
{
    // The same numbers on voxels of 1 and of 2 mm are the same problem, and every step of its solution is the same.
    const Grid fine = grid_of(20, 20, 20), coarse = grid_of(20, 20, 20, {2, 2, 2});
    const VolumeF fine_field = sphere_field_volume(fine, 4.0, 1.0, b0_along_z);
    const VolumeF coarse_field = sphere_field_volume(coarse, 8.0, 1.0, b0_along_z);
    const auto invert = [](const VolumeF& field) {
        WhqsmOptions options;
        options.splitting.lambda = splitting_lambda(field.grid(), 0.01);
        return whqsm(field, full_mask(field.grid()), b0_along_z, options).chi_ppm;
    };
    const VolumeF expected = invert(fine_field);
    EXPECT_THAT(invert(coarse_field), VolumeNear(&expected, 1e-4));
    EXPECT_DOUBLE_EQ(l1_lambda(coarse, 0.01), 2.0 * l1_lambda(fine, 0.01));
    EXPECT_GT(splitting_lambda(fine, 0.01), 2.0 * splitting_lambda(fine, 0.001));
}

TEST(Splitting, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)nltv(field, mask, b0_along_z, {.splitting = {.lambda = 0.0}}), InputError);
    EXPECT_THROW((void)nltv(field, mask, b0_along_z, {.splitting = {.mu = -1.0}}), InputError);
    EXPECT_THROW((void)nltv(field, mask, b0_along_z, {.radians_per_ppm = -2.0}), InputError);
    EXPECT_THROW((void)nltv(field, mask, {0, 0, 0}), InputError);
    EXPECT_THROW((void)l1(field, mask, b0_along_z, {.splitting = {.relaxation = 2.0}}), InputError);
    EXPECT_THROW((void)hdqsm(field, mask, b0_along_z, {.first = {.max_iterations = 0}}), InputError);
    EXPECT_THROW((void)whqsm(field, mask, b0_along_z, {.harmonic = 0.0}), InputError);
    EXPECT_THROW((void)star(field, mask, b0_along_z, {.strong_chi_ppm = 0.0}), InputError);
    EXPECT_THROW((void)nltv(field, full_mask(grid_of(8, 8, 9)), b0_along_z), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
