#include "qsmpi/background/registry.hpp"

#include "background_cases.hpp"

namespace qsmpi::background {
namespace {

using namespace qsmpi::test;

TEST(BackgroundRegistry, EveryMethodFindsTheLocalFieldDeepInside)
{
    const Head head(grid_of(40, 38, 39), 18.0, oblique_b0);
    const VolumeF sigma(head.grid, 0.002F);
    ASSERT_GE(methods().size(), 2U);
    for (const Method* m : methods()) {
        if (m->name == no_removal) continue;
        EXPECT_EQ(&method(m->name), m);
        EXPECT_FALSE(m->help.empty() || m->parameters.empty() || m->sentence.empty() || m->citation.empty()) << m->name;
        const LocalField local = m->run({.total_field_ppm = &head.total,
                                         .mask = &head.mask,
                                         .sigma_ppm = &sigma,
                                         .b0_direction_ijk = oblique_b0,
                                         .max_radius_mm = 7.0});
        const Agreement a = agreement(local.local_field_ppm, head.local, ball_mask(head.grid, 11.0));
        EXPECT_GT(a.correlation, 0.9) << m->name;
        EXPECT_NEAR(a.slope, 1.0, 0.15) << m->name;
        for (std::size_t i = 0; i < local.mask.size(); ++i) {
            const bool is_right = local.mask[i] != 0 ? head.mask[i] != 0 : local.local_field_ppm[i] == 0.0F;
            ASSERT_TRUE(is_right) << m->name;
        }
    }
}

TEST(BackgroundRegistry, ExplainsAnUnknownName)
{
    EXPECT_EQ(&method("default"), methods().front());
    EXPECT_EQ(method_names().size(), methods().size());
    try {
        (void)method("v-sharp");
        FAIL() << "an unknown name was taken";
    } catch (const InputError& e) {
        EXPECT_THAT(e.what(), testing::HasSubstr("did you mean 'vsharp'"));
    }
}

}  // namespace
}  // namespace qsmpi::background
