#include "qsmpi/inversion/registry.hpp"

#include "inversion_cases.hpp"
#include "qsmpi/inversion/reference.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

TEST(InversionRegistry, EveryMethodFindsASphere)
{
    ASSERT_GE(methods().size(), 3U);
    for (const Method* m : methods()) {
        EXPECT_EQ(&method(m->name), m);
        EXPECT_FALSE(m->help.empty() || m->parameters.empty() || m->sentence.empty() || m->citation.empty()) << m->name;
        const double error = sphere_error_percent([&](const VolumeF& f, const Mask& mask, const UnitVector& b) {
            return m->run({.field_ppm = &f, .mask = &mask, .b0_direction_ijk = b});
        }, grid_of(32, 32, 32), 6.0, oblique_b0);
        EXPECT_LT(error, 50.0) << m->name;
    }
}

TEST(InversionRegistry, LambdaChangesTheResultOfEveryMethod)
{
    const Grid grid = grid_of(20, 18, 16);
    const Mask mask = ball_mask(grid, 7.0);
    const VolumeF field = sphere_field_volume(grid, 3.0, 1.0, b0_along_z);
    for (const Method* m : methods()) {
        const VolumeF plain = m->run({.field_ppm = &field, .mask = &mask}).chi_ppm;
        const VolumeF strong = m->run({.field_ppm = &field, .mask = &mask, .lambda = 0.3}).chi_ppm;
        EXPECT_GT(relative_error_percent(strong, plain, mask), 1.0) << m->name;
    }
}

// A sphere of 0.1 ppm in noise of 10 ppb, which is known. Trust of mean 1 hides how much noise there is; that of separation,
// 2 ppb over the standard deviation of noise and 2 ppb, tells it.
struct NoisySphere {
    Grid grid = grid_of(36, 34, 32);
    Mask mask = ball_mask(grid, 14.0);
    VolumeF truth = sphere_chi(grid, 5.0, 0.1), field = sphere_field_volume(grid, 5.0, 0.1, b0_along_z);
    VolumeF sigma_ppm = VolumeF(grid, 0.01F), mean_one = VolumeF(grid, 1.0F), of_two_ppb = VolumeF(grid, 0.196F);
    NoisySphere()
    {
        const VolumeF error = noise(grid, 0.01, 7);
        for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    }
    Result run(std::string_view name, const VolumeF* weight, const VolumeF* sigma) const
    {
        return method(name).run({.field_ppm = &field, .mask = &mask, .weight = weight, .sigma_ppm = sigma});
    }
};

TEST(InversionRegistry, NoiseRegularisesWhateverTheSizeOfWeights)
{
    const NoisySphere s;
    for (const std::string_view name : {"tv", "medi"}) {
        const Result even = s.run(name, &s.mean_one, &s.sigma_ppm), small = s.run(name, &s.of_two_ppb, &s.sigma_ppm);
        const Result not_told = s.run(name, &s.mean_one, nullptr);
        // Squared misfits should weigh (2 / 10)^2 as much, or lambda 25 times. The smaller weights have it done already.
        EXPECT_NEAR(even.lambda / small.lambda, 25.0, 1e-3) << name;
        EXPECT_DOUBLE_EQ(small.lambda, s.run(name, &s.of_two_ppb, nullptr).lambda) << name;
        EXPECT_LT(relative_error_percent(even.chi_ppm, s.truth, s.mask),
                  0.5 * relative_error_percent(not_told.chi_ppm, s.truth, s.mask))
            << name;
    }
}

TEST(InversionRegistry, WeightsDoNotHideTheNoiseFromMethodsWithoutWeights)
{
    const NoisySphere s;
    for (const std::string_view name : {"tikhonov", "tsvd"}) {
        const Result plain = s.run(name, nullptr, &s.sigma_ppm);
        for (const VolumeF* weight : {&s.mean_one, &s.of_two_ppb}) {
            const Result weighted = s.run(name, weight, &s.sigma_ppm);
            EXPECT_EQ(weighted.lambda, plain.lambda) << name;
            expect_same_bits(weighted.chi_ppm, plain.chi_ppm);
        }
    }
}

TEST(InversionRegistry, ExplainsAnUnknownName)
{
    EXPECT_EQ(&method("default"), methods().front());
    EXPECT_EQ(method_names().size(), methods().size());
    try {
        (void)method("tkdd");
        FAIL() << "an unknown name was taken";
    } catch (const InputError& e) {
        EXPECT_THAT(e.what(), testing::HasSubstr("did you mean 'tkd'"));
        EXPECT_THAT(e.what(), testing::HasSubstr("tv, rts"));
    }
}

TEST(Reference, SubtractsTheMeanOfTheWeightedVoxels)
{
    const Grid grid = grid_of(3, 2, 1);
    VolumeF chi(grid), weight(grid, 1.0F);
    Mask mask(grid, 1);
    for (std::size_t i = 0; i < 6; ++i) chi[i] = static_cast<float>(i);
    mask[5] = 0;
    weight[4] = 0.0F;
    EXPECT_DOUBLE_EQ(set_reference(chi, mask, Reference::mean, &weight), 1.5);
    VolumeF expected(grid);
    for (std::size_t i = 0; i < 5; ++i) expected[i] = static_cast<float>(i) - 1.5F;
    expected[5] = 0.0F;
    EXPECT_THAT(chi, VolumeNear(&expected, 0.0));
}

TEST(Reference, NoneOnlyClearsTheOutside)
{
    const Grid grid = grid_of(2, 2, 1);
    VolumeF chi(grid, 3.0F);
    Mask mask(grid, 1);
    mask[0] = 0;
    EXPECT_EQ(set_reference(chi, mask, Reference::none), 0.0);
    EXPECT_EQ(chi[0], 0.0F);
    EXPECT_EQ(chi[1], 3.0F);
}

TEST(Reference, BearsAnEmptyMaskAndRefusesUnknownWords)
{
    const Grid grid = grid_of(2, 2, 1);
    VolumeF chi(grid, 3.0F);
    EXPECT_EQ(set_reference(chi, Mask(grid, 0), Reference::mean), 0.0);
    EXPECT_EQ(chi[3], 0.0F);
    EXPECT_EQ(reference_from("mean"), Reference::mean);
    EXPECT_EQ(reference_from("none"), Reference::none);
    EXPECT_THROW((void)reference_from("csf"), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
