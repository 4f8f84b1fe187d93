#include "qsmpi/inversion/tfi.hpp"

#include "tfi_problem.hpp"
#include "total_field_cases.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

/// Fewer iterations than for a head, where sources outside are many and of every size.
TfiOptions short_options(const Grid& grid)
{
    TfiOptions options = tfi_defaults(grid);
    options.margin_mm = 6.0;
    options.max_iterations = 3;
    options.first_cg_iterations = 40;
    options.cg_iterations = 30;
    return options;
}

Result short_run(const VolumeF& field, const Mask& mask, const UnitVector& b)
{
    return tfi(field, mask, b, {}, short_options(field.grid()));
}

TEST(Tfi, RecoversASphereInTheFieldOfStrongSourcesOutside)
{
    // The ball is small: a part of the sphere's field can come from sources outside too.
    for (const UnitVector& b : {b0_along_z, oblique_b0})
        expect_sources_outside_do_not_matter(short_run, b, 0.55, 1.05, 0.25);
}

TEST(Tfi, ItsRuleDoesNotDependOnTheVoxelSize)
{
    // The same numbers on voxels of 1, 2 and 0.5 mm, with as many voxels of margin, are the same problem.
    const auto invert = [](double size) {
        const Grid grid = grid_of(24, 22, 20, {size, size, size});
        TfiOptions options = short_options(grid);
        options.margin_mm *= size;
        return tfi(sphere_field_volume(grid, 4.0 * size, 0.1, oblique_b0), ball_mask(grid, 9.0 * size), oblique_b0, {}, options).chi_ppm;
    };
    const VolumeF expected = invert(1.0);
    for (const double size : {0.5, 2.0}) EXPECT_THAT(invert(size), VolumeNear(&expected, 1e-5)) << size;
}

TEST(Tfi, TellsTwoObjectsApart)
{
    expect_two_objects_are_told_apart(short_run, 0.3);
}

TEST(Tfi, AConstantFieldIsNoSusceptibility)
{
    const HeadWithAir head(b0_along_z);
    VolumeF shifted = head.total.clone();
    for (float& v : shifted) v += 2.0F;
    const VolumeF chi = short_run(head.total, head.mask, head.b0).chi_ppm;
    EXPECT_LT(relative_error_percent(short_run(shifted, head.mask, head.b0).chi_ppm, chi, head.mask), 2.0);
}

TEST(Tfi, DoesNotSeeVoxelsOfInfiniteNoise)
{
    const HeadWithAir head(b0_along_z);
    VolumeF sigma(head.grid, 0.001F), spoilt = head.total.clone();
    sigma(15, 22, 15) = std::numeric_limits<float>::infinity();
    spoilt(15, 22, 15) += 2.0F;
    TfiOptions options = short_options(head.grid);
    options.max_iterations = 1;
    options.steepness_error = 0.0;  // which looks at neighbours, known or not
    const auto invert = [&](const VolumeF& f) {
        return tfi(f, head.mask, head.b0, {.sigma_ppm = &sigma}, options).chi_ppm;
    };
    expect_same_bits(invert(spoilt), invert(head.total));
}

TEST(Tfi, CurvatureIsSymmetricPositiveAndTheSlopeOfTheGradient)
{
    const Grid box = grid_of(10, 9, 8, {1.0, 1.1, 1.3}), padded{{14, 12, 12}, box.voxel_mm};
    detail::DipoleFilter dipole(padded, oblique_b0);
    VolumeF weight = noise(box, 1.0, 4);
    Volume<std::uint8_t> regions(box), edges(box, 0);
    for (std::size_t i = 0; i < weight.size(); ++i) {
        weight[i] *= weight[i];
        regions[i] = static_cast<std::uint8_t>(i % 3);
        if (i % 4 == 0) regions[i] = detail::tfi_inside;
        if (i % 5 == 0) edges[i] = static_cast<std::uint8_t>(i % 8);
    }
    detail::TfiProblem problem(dipole, noise(box, 0.3, 5), std::move(weight), std::move(regions), std::move(edges),
                               {.lambda = 0.05, .smoothing_ppm_per_mm = 1e3, .first_preconditioner = 3.0});
    const VolumeF p = noise(padded, 1.0, 2), q = noise(padded, 1.0, 3), zero(padded, 0.0F);
    VolumeF ap(padded), aq(padded), at_zero(padded), at_p(padded);
    // The smoothing is so wide that the norm is quadratic: the gradient is linear, and its slope the curvature.
    problem.descent(zero, at_zero);
    problem.descent(p, at_p);
    const double pp = problem.curvature(p, ap), qq = problem.curvature(q, aq);
    EXPECT_GT(pp, 0.0);
    EXPECT_NEAR(pp, numerics::dot(p, ap), 1e-5 * pp);
    EXPECT_NEAR(numerics::dot(q, ap), numerics::dot(p, aq), 1e-5 * std::sqrt(pp * qq));
    for (std::size_t i = 0; i < ap.size(); ++i) at_zero[i] -= at_p[i];
    EXPECT_THAT(at_zero, VolumeNear(&ap, 1e-4 * std::sqrt(numerics::dot(ap, ap))));
}

TEST(Tfi, BearsEveryMask)
{
    const auto brief = [](const VolumeF& field, const Mask& mask, const UnitVector& b) {
        return tfi(field, mask, b, {.magnitude = nullptr},
                   {.margin_mm = 3.0, .max_iterations = 2, .first_cg_iterations = 5, .cg_iterations = 5});
    };
    expect_an_empty_mask_gives_zero(brief);
    expect_a_single_voxel_is_finite(brief);
    expect_one_slice_is_finite(brief);
    expect_nan_stays_away(brief);
    expect_same_bits_for_any_number_of_threads(brief);
}

TEST(Tfi, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)tfi(field, mask, b0_along_z, {}, {.lambda = 0.0}), InputError);
    EXPECT_THROW((void)tfi(field, mask, b0_along_z, {}, {.void_size_ppm = 0.0}), InputError);
    EXPECT_THROW((void)tfi(field, mask, b0_along_z, {}, {.edge_fraction = 1.0}), InputError);
    EXPECT_THROW((void)tfi(field, mask, b0_along_z, {}, {.cg_iterations = 0}), InputError);
    EXPECT_THROW((void)tfi(field, mask, {0, 0, 0}), InputError);
    const VolumeF other(grid_of(8, 8, 9), 1.0F);
    EXPECT_THROW((void)tfi(field, mask, b0_along_z, {.sigma_ppm = &other}), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
