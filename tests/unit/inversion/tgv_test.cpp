#include "qsmpi/inversion/tgv.hpp"

#include <algorithm>
#include <array>

#include "tgv_solver.hpp"
#include "total_field_cases.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;
using detail::TgvSolver;

Result with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b)
{
    // Steps are tuned for brains, with some 0.05 ppm; a sphere of 1 ppm takes longer.
    TgvOptions options = tgv_defaults(field.grid());
    options.max_iterations = 1200;
    options.tolerance = 0.0;
    return tgv(field, mask, b, options);
}

TEST(Tgv, RecoversASphereInTheFieldOfStrongSourcesOutside)
{
    for (const UnitVector& b : {b0_along_z, oblique_b0})
        expect_sources_outside_do_not_matter(with_defaults, b, 0.85, 1.1, 0.1);
}

TEST(Tgv, TellsTwoObjectsApart)
{
    expect_two_objects_are_told_apart(with_defaults, 0.15);
}

TEST(Tgv, AHarmonicFieldIsNoSusceptibility)
{
    // The 7-point Laplacian of these polynomials is 0 but for round-off of the field, eps |f| / h^2 = 3e-7.
    const Grid grid = grid_of(20, 18, 16, {1.0, 1.2, 1.5});
    const VolumeF field = from_function(grid, [](const Vec3& p) {
        return 3.0 + 0.1 * p[0] - 0.2 * p[2] + 0.02 * (p[0] * p[0] - p[1] * p[1]) + 0.01 * p[1] * p[2];
    });
    const VolumeF zero(grid, 0.0F);
    EXPECT_THAT(with_defaults(field, ball_mask(grid, 9.0), oblique_b0).chi_ppm, VolumeNear(&zero, 1e-5));
}

TEST(Tgv, WhatTheDualsSeeIsTheAdjointOfWhatMovesThePrimal)
{
    const Grid grid = grid_of(13, 12, 31, {1.0, 1.2, 0.8});  // two slabs
    Mask mask = ball_mask(grid, 10.0);
    for (std::size_t z = 0; z < 31; ++z)
        for (std::size_t y = 0; y < 12; ++y)
            for (std::size_t x = 0; x < 13; ++x) {
                const bool margin = x == 0 || y == 0 || z == 0 || x == 12 || y == 11 || z == 30;
                if (margin || (x * 7 + y * 5 + z * 3) % 41 == 0) mask(x, y, z) = 0;  // with holes
            }
    for (const UnitVector& b : {b0_along_z, UnitVector{0.48, 0.6, 0.64}}) {
        // Without weights, bounds and relaxation a step from zero duals, or zero primals, is the operator or its
        // adjoint.
        const VolumeF no_weight(grid, 0.0F);
        const TgvSolver::Settings bare{.alpha1 = 1e9, .alpha0 = 1e9, .relaxation = 1.0};
        TgvSolver forward(mask, b, no_weight, bare), backward(mask, b, no_weight, bare);
        unsigned seed = 1;
        std::array<VolumeF, 5> x;
        std::array<VolumeF, 10> y;
        for (std::size_t j = 0; j < 5; ++j) {
            x[j] = noise(grid, 1.0, seed++);
            for (std::size_t i = 0; i < mask.size(); ++i)
                if (mask[i] == 0) x[j][i] = 0.0F;
            *forward.primal()[j] = x[j].clone();
        }
        for (std::size_t j = 0; j < 10; ++j) {
            y[j] = noise(grid, 1.0, seed++);
            for (std::size_t i = 0; i < mask.size(); ++i)
                if (!backward.is_free(j, i)) y[j][i] = 0.0F;
            *backward.dual()[j] = y[j].clone();
        }
        (void)forward.step(false);   // dual = sigma K x
        (void)backward.step(false);  // primal = -tau K^T y
        const auto& s = forward.steps();
        const std::array<float, 10> sigma{s.eta, s.p, s.p, s.p, s.q, s.q, s.q, s.q, s.q, s.q};
        // Primal order is chi, psi, v.
        const std::array<float, 5> tau{s.chi, s.psi, s.v, s.v, s.v};
        double kx_y = 0.0, x_kty = 0.0, size = 0.0;
        for (std::size_t j = 0; j < 10; ++j) {
            const double part = numerics::dot(*forward.dual()[j], y[j]) / static_cast<double>(sigma[j]);
            kx_y += part;
            size += std::abs(part);
        }
        for (std::size_t j = 0; j < 5; ++j)
            x_kty -= numerics::dot(*backward.primal()[j], x[j]) / static_cast<double>(tau[j]);
        EXPECT_GT(size, 10.0);
        EXPECT_NEAR(kx_y, x_kty, 1e-4 * size);
    }
}

TEST(Tgv, IterationsMeetTheConstraint)
{
    // Box chi - Lap psi - data is what moves eta: its norm must fall.
    const HeadWithAir head(oblique_b0);
    const Mask& mask = head.mask;
    const VolumeF weight(head.grid, 1.0F);
    TgvSolver solver(mask, head.b0, weight, {.alpha1 = 2e-5, .alpha0 = 6e-5});
    solver.set_field(head.total);
    const auto eta_change = [&] {
        const VolumeF before = solver.dual()[0]->clone();
        (void)solver.step(false);
        double sum = 0.0;
        for (std::size_t i = 0; i < before.size(); ++i)
            sum += std::pow(static_cast<double>((*solver.dual()[0])[i] - before[i]), 2.0);
        return std::sqrt(sum);
    };
    const double first = eta_change();
    for (int i = 0; i < 1000; ++i) (void)solver.step(false);
    EXPECT_LT(eta_change(), 0.05 * first);
    EXPECT_LT(solver.step(true), 1e-2);
}

TEST(Tgv, TheMapDoesNotDependOnTheUnitOfPhase)
{
    // Field and weights in units of half the size: the same minimum, half the size, and powers of 2 leave every bit
    // alone.
    const Grid grid = grid_of(20, 18, 16);
    const Mask mask = ball_mask(grid, 7.5);
    VolumeF field = sphere_field_volume(grid, 3.0, 1.0, oblique_b0);
    TgvOptions options{.max_iterations = 50};
    VolumeF whole = tgv(field, mask, oblique_b0, options).chi_ppm;
    for (float& v : field) v *= 0.5F;
    for (float& v : whole) v *= 0.5F;
    options.alpha1 *= 0.5;
    options.alpha0 *= 0.5;
    expect_same_bits(tgv(field, mask, oblique_b0, options).chi_ppm, whole);
}

TEST(Tgv, TheMapDoesNotDependOnTheVoxelSize)
{
    // The same numbers on voxels that are called larger or smaller are the same problem, also before the minimum is reached: only
    // round-off differs. Powers of 2 leave that alone too.
    const Vec3 shape_mm{1.0, 1.2, 0.8};
    const auto invert = [&](double size) {
        const Grid grid = grid_of(22, 20, 24, {size * shape_mm[0], size * shape_mm[1], size * shape_mm[2]});
        TgvOptions options = tgv_defaults(grid);
        options.max_iterations = 100;
        options.tolerance = 0.0;
        return tgv(sphere_field_volume(grid, 3.5 * size, 0.1, oblique_b0), ball_mask(grid, 8.0 * size), oblique_b0, options).chi_ppm;
    };
    const VolumeF expected = invert(1.0);
    const auto largest = static_cast<double>(*std::max_element(expected.begin(), expected.end()));
    EXPECT_GT(largest, 0.02);
    for (const double size : {0.5, 0.7, 2.0, 4.0}) EXPECT_THAT(invert(size), VolumeNear(&expected, 1e-4 * largest)) << size;
}

TEST(Tgv, WeightsOfThePaperAreInRadians)
{
    const TgvOptions at_paper = tgv_defaults(grid_of(4, 4, 4)), twice = tgv_defaults(grid_of(4, 4, 4), 2 * 21.67);
    EXPECT_NEAR(at_paper.alpha0 / at_paper.alpha1, 3.0, 1e-9);
    EXPECT_NEAR(at_paper.alpha1 / twice.alpha1, 2.0, 1e-9);
    const TgvOptions coarse = tgv_defaults(grid_of(4, 4, 4, {2, 2, 2}));
    EXPECT_NEAR(coarse.alpha1 / at_paper.alpha1, 2.0, 1e-9);
    EXPECT_NEAR(coarse.alpha0 / at_paper.alpha0, 4.0, 1e-9);
}

TEST(Tgv, BearsEveryMask)
{
    const auto brief = [](const VolumeF& field, const Mask& mask, const UnitVector& b) {
        return tgv(field, mask, b, {.max_iterations = 25});
    };
    expect_an_empty_mask_gives_zero(brief);
    expect_a_single_voxel_is_finite(brief);
    expect_one_slice_is_finite(brief);
    expect_nan_stays_away(brief);
    expect_same_bits_for_any_number_of_threads(brief);
    expect_translation_moves_the_map(brief);
}

TEST(Tgv, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)tgv(field, mask, b0_along_z, {.alpha1 = 0.0}), InputError);
    EXPECT_THROW((void)tgv(field, mask, b0_along_z, {.alpha0 = -1.0}), InputError);
    EXPECT_THROW((void)tgv(field, mask, b0_along_z, {.relaxation = 2.0}), InputError);
    EXPECT_THROW((void)tgv(field, mask, b0_along_z, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)tgv(field, mask, {0, 0, 0}), InputError);
    VolumeF weight(grid, 1.0F);
    weight[3] = -1.0F;
    EXPECT_THROW((void)tgv(field, mask, b0_along_z, {}, &weight), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
