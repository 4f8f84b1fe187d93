#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/geometry.hpp"

namespace qsmpi::io
{
namespace
{

constexpr double degree = std::numbers::pi / 180.0;

Geometry with_sform(const Affine& a)
{
    Geometry g;
    g.sform_code = 1;
    for (std::size_t r = 0; r < 3; ++r) {
        for (std::size_t c = 0; c < 4; ++c) g.sform[r][c] = static_cast<float>(a[r][c]);
    }
    return g;
}

void expect_direction(const Geometry& g, const UnitVector& expected)
{
    const UnitVector b = g.b0_direction_ijk();
    // Header floats carry 24 bits: 6e-8 relative.
    for (std::size_t i = 0; i < 3; ++i) EXPECT_NEAR(b[i], expected[i], 2e-7) << "axis " << i;
}

TEST(B0Direction, IsTheThirdRowOfTheRotation)
{
    // Slices turned by 20 degrees about the scanner's x axis: j = (0, cos, sin), k = (0, -sin, cos), so b =
    // (0, sin, cos).
    const double c = std::cos(20 * degree), s = std::sin(20 * degree);
    const Geometry oblique =
        with_sform({{{0.5, 0, 0, -90}, {0, c * 0.5, -s * 2, -100}, {0, s * 0.5, c * 2, -60}}});
    expect_direction(oblique, {0, s, c});
    expect_direction(with_sform({{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}), {0, 0, 1});
}

TEST(B0Direction, FollowsFlippedAndPermutedAxes)
{
    // Sagittal storage: i = anterior-posterior, j = inferior-superior, k = left-right.
    expect_direction(with_sform({{{0, 0, 3, 0}, {-1, 0, 0, 0}, {0, 2, 0, 0}}}), {0, 1, 0});
    expect_direction(with_sform({{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, -4, 0}}}), {0, 0, -1});
    // Coronal, radiological: k runs towards posterior, j upwards.
    expect_direction(with_sform({{{-1, 0, 0, 0}, {0, 0, -5, 0}, {0, 1, 0, 0}}}), {0, 1, 0});
}

TEST(B0Direction, UsesTheNearestRotationOfAShearedAffine)
{
    // Columns x and z, z tilted to (sin t, 0, cos t). Symmetry: the nearest orthogonal frame turns each
    // column by t/2 (away from each other), so the third row is (-sin(t/2), 0, cos(t/2)).
    const double t = 6 * degree;
    const Geometry sheared = with_sform({{{1, 0, std::sin(t), 0}, {0, 1, 0, 0}, {0, 0, std::cos(t), 0}}});
    expect_direction(sheared, {-std::sin(t / 2), 0, std::cos(t / 2)});
}

TEST(B0Direction, ComesFromTheQuaternionWhenThereIsNoSform)
{
    // Rotation by angle a about the unit axis u is the quaternion (cos(a/2), u sin(a/2)): here 30 degrees
    // about x.
    Geometry g;
    g.qform_code = 1;
    g.qform = {static_cast<float>(std::sin(15 * degree)), 0, 0, 10, 20, 30};
    g.pixdim_mm = {2, 3, 4};
    expect_direction(g, {0, 0.5, std::cos(30 * degree)});
    const Affine a = g.affine();
    EXPECT_NEAR(a[1][1], 3 * std::cos(30 * degree), 1e-6);
    EXPECT_NEAR(a[1][2], -4 * 0.5, 1e-6);
    EXPECT_EQ(a[2][3], 30.0);
    // qfac -1 flips the third axis; qfac 0 counts as 1.
    g.qfac = -1;
    expect_direction(g, {0, 0.5, -std::cos(30 * degree)});
    g.qfac = 0;
    expect_direction(g, {0, 0.5, std::cos(30 * degree)});
    // Half a turn: a = 0, and b^2 + c^2 + d^2 may be a little above 1.
    g.qform = {0, 1.0000001f, 0, 0, 0, 0};
    g.qfac = 1;
    expect_direction(g, {0, 0, -1});
}

TEST(Geometry, PrefersTheSformThenTheQformThenTheVoxelSizes)
{
    Geometry g = with_sform({{{-2, 0, 0, 5}, {0, 2, 0, 6}, {0, 0, 2, 7}}});
    g.qform_code = 1;
    g.pixdim_mm = {2, 2, 2};
    EXPECT_EQ(g.affine()[0][0], -2.0);
    g.sform_code = 0;
    EXPECT_EQ(g.affine()[0][0], 2.0);
    EXPECT_EQ(g.affine()[0][3], 0.0);
    g.qform_code = 0;
    g.qform = {0.5, 0.5, 0.5, 1, 2, 3};
    EXPECT_EQ(g.affine(), (Affine{{{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}}}));
}

TEST(Geometry, CountsInMillimetresWhateverTheHeaderCountsIn)
{
    Geometry g;
    g.pixdim_mm = {20, 20, 40};
    g.xyzt_units = 3 + 8;  // micrometres, seconds
    EXPECT_DOUBLE_EQ(g.affine()[2][2], 0.04);
    g.xyzt_units = 1;
    EXPECT_DOUBLE_EQ(g.affine()[2][2], 40000.0);
}

TEST(Geometry, MeasuresHowFarTwoAffinesDisagree)
{
    const Affine a{{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
    Affine b = a;
    b[0][3] = 3.0;
    EXPECT_DOUBLE_EQ(largest_corner_distance_mm(a, b, {11, 11, 11}), 3.0);
    EXPECT_DOUBLE_EQ(largest_corner_distance_mm(a, b, {11, 11, 11}, true), 0.0);
    b[0][2] = 0.1;  // at k = 10 another millimetre
    EXPECT_DOUBLE_EQ(largest_corner_distance_mm(a, b, {11, 11, 11}), 4.0);
    b[1][1] = std::nan("");
    EXPECT_TRUE(std::isnan(largest_corner_distance_mm(a, b, {11, 11, 11})));
}

TEST(Geometry, ASingularAffineHasNoB0Direction)
{
    EXPECT_THROW((void)with_sform({{{1, 1, 0, 0}, {0, 0, 0, 0}, {0, 0, 1, 0}}}).b0_direction_ijk(),
                 InputError);
    EXPECT_THROW((void)with_sform({{{1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 1, 0}}}).b0_direction_ijk(),
                 InputError);
}

}  // namespace
}  // namespace qsmpi::io
