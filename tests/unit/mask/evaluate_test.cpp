#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/decay.hpp"
#include "qsmpi/mask/expression.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;
using ::testing::HasSubstr;

constexpr double radius_mm = 9.0;

// A ball of reliable phase and, two thirds of it, of magnitude; and a small one apart.
struct Scene {
    Grid grid = grid_of(40, 34, 30);
    Mask ball = ball_mask(grid, radius_mm, {-4, 0, 0});
    Mask small = ball_mask(grid, 3.0, {13, 0, 0});
    Mask bright = mask_from(grid, [](const Vec3& p) { return p[2] > -3.0; });
    VolumeF quality{grid}, magnitude{grid};

    Scene()
    {
        for (std::size_t i = 0; i < quality.size(); ++i) {
            const bool object = ball[i] || small[i];
            quality[i] = object ? 0.8f : 0.1f;
            magnitude[i] = object && bright[i] ? 100.0f : 1.0f;
        }
    }
    [[nodiscard]] Inputs inputs() const
    {
        Inputs in{.grid = grid, .quality = &quality, .magnitude = &magnitude};
        in.read_file = [this](const std::string& file) {
            require(file == "ball.nii", "no such file");
            return ball.clone();
        };
        return in;
    }
    [[nodiscard]] Mask of(const std::string& text) const { return evaluate(parse_expression(text), inputs()).mask; }
};

bool same(const Mask& a, const Mask& b) { return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin()); }

Mask combined(const Mask& a, const Mask& b, bool (*keep)(bool, bool))
{
    Mask out(a.grid());
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = keep(a[i] != 0, b[i] != 0);
    return out;
}

std::string refusal(const std::string& text, const Inputs& inputs)
{
    try {
        (void)evaluate(parse_expression(text), inputs);
    } catch (const InputError& e) {
        return e.what();
    }
    return "accepted";
}

}  // namespace

TEST(EvaluateMask, OperatorsAreThoseOfSets)
{
    const Scene s;
    const Mask objects = combined(s.ball, s.small, [](bool a, bool b) { return a || b; });
    EXPECT_TRUE(same(s.of("quality 0.5"), objects));
    EXPECT_TRUE(same(s.of("quality 0.5 & ball.nii"), s.ball));
    EXPECT_TRUE(same(s.of("quality 0.5 - ball.nii"), s.small));
    EXPECT_TRUE(same(s.of("ball.nii | quality 0.5 - ball.nii"), objects));
    EXPECT_TRUE(same(s.of("!!ball.nii"), s.ball));
    EXPECT_EQ(numerics::count(s.of("ball.nii & !ball.nii")), 0u);
    EXPECT_EQ(numerics::count(s.of("all")), s.grid.size());
    EXPECT_TRUE(same(s.of("otsu"), combined(objects, s.bright, [](bool a, bool b) { return a && b; })));
    EXPECT_TRUE(same(s.of("robust & all"), s.of("magnitude & all")));
}

TEST(EvaluateMask, WordsAloneAreWholeRecipes)
{
    const Scene s;
    const VolumeF none;
    EXPECT_TRUE(same(s.of("auto"), brain_mask(s.quality, s.magnitude)));
    EXPECT_TRUE(same(s.of("compact"), brain_mask(s.quality, s.magnitude)));
    EXPECT_TRUE(same(s.of("quality"), brain_mask(s.quality, none)));
    EXPECT_TRUE(same(s.of("magnitude"), numerics::largest_component(s.of("robust"))));
    EXPECT_GT(numerics::count(s.of("quality, fill")), numerics::count(s.of("quality"))) << "in company both balls are kept";
}

TEST(EvaluateMask, FastDecayAtTheSurfaceBelongsToCompactAlone)
{
    const Scene s;
    const VolumeF good = from_function(s.grid, [](const Vec3& p) { return p[0] * p[0] + p[1] * p[1] + p[2] * p[2] < 196.0 ? 0.8 : 0.1; });
    const VolumeF r2star_per_s = from_function(s.grid, [](const Vec3& p) { return p[0] < -9.5 ? 90.0 : 20.0; });
    Inputs in{.grid = s.grid, .quality = &good};
    in.r2star_per_s = &r2star_per_s;
    const Mask compact = evaluate(parse_expression("compact"), in).mask, automatic = evaluate(parse_expression("auto"), in).mask;
    EXPECT_TRUE(same(compact, brain_mask(good, VolumeF())));
    EXPECT_TRUE(same(automatic, without_fast_rim(compact, r2star_per_s)));
    EXPECT_LT(numerics::count(automatic), numerics::count(compact));
}

TEST(EvaluateMask, KeepsSeparateObjectsUnlessTheLargestIsAskedFor)
{
    const Scene s;
    EXPECT_TRUE(same(s.of("quality 0.5, fill, largest"), s.ball));
    EXPECT_GT(numerics::count(s.of("quality 0.5, fill")), numerics::count(s.ball));
    EXPECT_TRUE(same(s.of("(quality 0.5, largest) | (quality 0.5 - ball.nii)"), s.of("quality 0.5")));
}

TEST(EvaluateMask, StepsAreDoneInTheirOrder)
{
    const Scene s;
    EXPECT_TRUE(same(s.of("ball.nii, erode 2, dilate 3"), numerics::dilate(numerics::erode(s.ball, 2), 3)));
    EXPECT_TRUE(same(s.of("quality 0.5, open 4"), numerics::open(s.of("quality 0.5"), 4)));
    EXPECT_TRUE(same(s.of("quality 0.5, close 4"), numerics::close(s.of("quality 0.5"), 4)));
}

TEST(EvaluateMask, TheBorderOfTheGridIsNoEdge)
{
    const Grid grid = grid_of(20, 20, 1, {1, 1, 3});
    const Inputs inputs{.grid = grid};
    EXPECT_EQ(numerics::count(evaluate(parse_expression("all, erode 2, open 3, peel 1, smooth 2"), inputs).mask), grid.size());
}

TEST(EvaluateMask, CountsWhatEachPartLeft)
{
    const Scene s;
    const Evaluated e = evaluate(parse_expression("ball.nii & otsu, erode 20"), s.inputs());
    ASSERT_EQ(e.parts.size(), 4u);
    EXPECT_EQ(e.parts[0].text, "ball.nii");
    EXPECT_EQ(e.parts[0].voxels, numerics::count(s.ball));
    EXPECT_EQ(e.parts[2].text, "ball.nii & otsu");
    EXPECT_EQ(e.parts[3].text, "erode 20 mm");
    EXPECT_EQ(e.parts[3].voxels, 0u);
}

TEST(EvaluateMask, SaysWhichSourceLacksItsImage)
{
    Scene s;
    Inputs in = s.inputs();
    in.magnitude = nullptr;
    EXPECT_THAT(refusal("quality & otsu 2", in), HasSubstr("'otsu 2' needs a magnitude"));
    EXPECT_EQ(refusal("auto & quality", in), "accepted");
    in = s.inputs();
    in.quality = nullptr;
    EXPECT_THAT(refusal("otsu & quality 0.3", in), HasSubstr("'quality 0.3' needs the phase"));
    EXPECT_THAT(refusal("other.nii", s.inputs()), HasSubstr("no such file"));
    in = s.inputs();
    in.read_file = [](const std::string&) { return Mask(grid_of(2, 2, 2), 1); };
    EXPECT_THAT(refusal("other.nii", in), HasSubstr("another grid"));
}

TEST(EvaluateMask, MagnitudeOfZerosOrNaNIsAnEmptyMask)
{
    const Scene s;
    for (const float value : {0.0f, std::numeric_limits<float>::quiet_NaN()}) {
        const VolumeF flat(s.grid, value);
        Inputs in = s.inputs();
        in.magnitude = &flat;
        for (const char* text : {"robust", "otsu", "gaussian", "corrected", "bet", "signal", "magnitude", "auto"})
            EXPECT_EQ(numerics::count(evaluate(parse_expression(text), in).mask), 0u) << text << " of " << value;
    }
}

TEST(EvaluateMask, IsTheSameForAnyNumberOfThreads)
{
    const Scene s;
    const char* text = "(quality | otsu, close 2, fill, smooth 1) - (robust, open 2, peel 1), patch, dilate 1";
    parallel::set_threads(1);
    const Mask one = s.of(text);
    parallel::set_threads(3);
    EXPECT_TRUE(same(s.of(text), one));
    parallel::set_threads(2);
}

}  // namespace qsmpi::mask
