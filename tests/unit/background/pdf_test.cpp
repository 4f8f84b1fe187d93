#include "qsmpi/background/pdf.hpp"

#include "background_cases.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

LocalField with_defaults(const VolumeF& field, const Mask& mask, const UnitVector& b) { return pdf(field, mask, b); }

TEST(Pdf, RemovesTheFieldOfOuterSources)
{
    // Anisotropic voxels, oblique B0: both sources lie outside the mask but near it.
    struct Case {
        Grid grid;
        UnitVector b;
    };
    for (const auto& [grid, b] : {Case{grid_of(48, 50, 46), b0_along_z}, Case{grid_of(48, 50, 23, {1, 1, 2}), oblique_b0}}) {
        const Mask mask = ball_mask(grid, 15.0);
        const VolumeF field = sum_of(sphere_field_volume(grid, 4.0, 9.0, b, {0, 8, -20}),
                                     sphere_field_volume(grid, 3.0, -5.0, b, {21, 0, 4}));
        const double before = rms(field, mask);
        const LocalField early = pdf(field, mask, b), late = pdf(field, mask, b, {.max_iterations = 200, .tolerance = 0.0});
        EXPECT_LT(rms(early.local_field_ppm, mask), 0.05 * before);
        EXPECT_LT(rms(late.local_field_ppm, mask), 0.01 * before);
    }
}

TEST(Pdf, KeepsTheFieldOfInnerSources)
{
    for (const UnitVector& b : {b0_along_z, oblique_b0}) {
        const Head head(grid_of(52, 50, 51), 18.0, b);
        const LocalField local = with_defaults(head.total, head.mask, b);
        const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 13.0));
        EXPECT_GT(a.correlation, 0.95);
        EXPECT_NEAR(a.slope, 1.0, 0.1);
        EXPECT_TRUE(std::equal(local.mask.begin(), local.mask.end(), head.mask.begin()));
    }
}

TEST(Pdf, AnOffsetOfTheCentreFrequencyIsBackground)
{
    // No source makes a constant: the kernel is 0 at k = 0. Round-off of field + 1 may end the iterations one sooner or later.
    for (const UnitVector& b : {b0_along_z, oblique_b0}) {
        const Head head(grid_of(40, 38, 36, {1, 1, 1.2}), 13.0, b);
        VolumeF sigma(head.grid, 0.01F);
        for (std::size_t i = 0; i < sigma.size(); i += 3) sigma[i] = 0.02F;
        const VolumeF one(head.grid, 1.0F);
        for (const VolumeF* s : {static_cast<const VolumeF*>(nullptr), static_cast<const VolumeF*>(&sigma)}) {
            const VolumeF expected = pdf(head.total, head.mask, b, {}, s).local_field_ppm;
            const VolumeF found = pdf(sum_of(head.total, one), head.mask, b, {}, s).local_field_ppm;
            EXPECT_LT(relative_error_percent(found, expected, head.mask), 1.0);
            EXPECT_LT(rms(pdf(one, head.mask, b, {}, s).local_field_ppm, head.mask), 1e-6);
        }
    }
}

TEST(Pdf, GivesNoWeightToUnknownVoxels)
{
    Head head(grid_of(36, 34, 35), 12.0, b0_along_z);
    VolumeF sigma(head.grid, 0.01F);
    sigma(18, 17, 17) = std::numeric_limits<float>::infinity();
    const LocalField before = pdf(head.total, head.mask, b0_along_z, {}, &sigma);
    head.total(18, 17, 17) = 50.0F;
    const LocalField after = pdf(head.total, head.mask, b0_along_z, {}, &sigma);
    expect_same_bits(after.local_field_ppm, before.local_field_ppm);
    EXPECT_EQ(after.local_field_ppm(18, 17, 17), 0.0F);
}

TEST(Pdf, BearsEveryMask)
{
    expect_an_empty_mask_gives_zero(with_defaults);
    expect_a_single_voxel_is_finite(with_defaults);
    expect_nan_stays_away(with_defaults);
    expect_any_shape_is_defined(with_defaults);
    expect_same_bits_for_any_number_of_threads(with_defaults);
    expect_no_unit(with_defaults);
    expect_translation_moves_the_field(with_defaults);
}

TEST(Pdf, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)pdf(field, mask, b0_along_z, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)pdf(field, mask, b0_along_z, {.tolerance = -1.0}), InputError);
    EXPECT_THROW((void)pdf(field, mask, {0, 0, 0.5}), InputError);
    EXPECT_THROW((void)pdf(field, full_mask(grid_of(8, 8, 9)), b0_along_z), InputError);
    const VolumeF sigma(grid_of(9, 8, 8), 1.0F);
    EXPECT_THROW((void)pdf(field, mask, b0_along_z, {}, &sigma), InputError);
}

}  // namespace
}  // namespace qsmpi::background
