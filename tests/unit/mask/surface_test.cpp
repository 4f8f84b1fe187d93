#include "qsmpi/mask/surface.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "mesh.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::mask {
namespace {

using namespace qsmpi::test;
using detail::Mesh;

/// A bright ellipsoid of 70 x 60 x 55 mm, a dark gap of 6 mm, and a bright shell of 8 mm.
struct Head {
    VolumeF magnitude;
    Mask brain;
};

Head make_head(const Grid& grid, const Vec3& centre_mm = {0, 0, 0}, double gradient = 0.0)
{
    const auto radius = [&](const Vec3& p, double more) {
        return std::hypot((p[0] - centre_mm[0]) / (70 + more), (p[1] - centre_mm[1]) / (60 + more), (p[2] - centre_mm[2]) / (55 + more));
    };
    const VolumeF speckle = noise(grid, 3.0, 9);
    Head head{from_function(grid,
                            [&](const Vec3& p) {
                                const bool scalp = radius(p, 6) > 1.0 && radius(p, 14) <= 1.0;
                                return radius(p, 0) <= 1.0 || scalp ? 100.0 * (1.0 + gradient * p[1] / 60.0) : 5.0;
                            }),
              mask_from(grid, [&](const Vec3& p) { return radius(p, 0) <= 1.0; })};
    for (std::size_t i = 0; i < speckle.size(); ++i) head.magnitude[i] = std::abs(head.magnitude[i] + speckle[i]);
    return head;
}

double dice(const Mask& a, const Mask& b)
{
    double both = 0, sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        both += a[i] && b[i];
        sum += (a[i] != 0) + (b[i] != 0);
    }
    return 2 * both / sum;
}

const Grid coarse = grid_of(66, 60, 54, {2.8, 2.8, 2.8});

}  // namespace

TEST(Icosphere, IsClosedRoundAndOutward)
{
    const Mesh m = detail::icosphere(3, {1, 2, 3}, 10.0);
    EXPECT_EQ(m.vertices_mm.size(), 642u);
    EXPECT_EQ(m.triangles.size(), 1280u);
    double volume = 0.0;
    using namespace detail;
    for (const Triangle& t : m.triangles)
        volume += dot(m.vertices_mm[t[0]], cross(m.vertices_mm[t[1]], m.vertices_mm[t[2]])) / 6.0;
    // The flat faces cut off 1 % of the ball at this fineness; an inward orientation would give the negative.
    EXPECT_NEAR(volume, 4.0 / 3.0 * 3.14159265 * 1000.0, 0.012 * 4189.0);
    for (std::size_t v = 0; v < m.rings.size(); ++v) EXPECT_TRUE(m.rings[v].size == 6 || (m.rings[v].size == 5 && v < 12)) << v;
    EXPECT_FALSE(detail::cuts_itself(m));
}

TEST(Icosphere, AVertexPushedThroughTheOtherSideCuts)
{
    Mesh m = detail::icosphere(3, {0, 0, 0}, 10.0);
    const Vec3 v = m.vertices_mm[100];
    m.vertices_mm[100] = {-1.2 * v[0], -1.2 * v[1], -1.2 * v[2]};
    EXPECT_TRUE(detail::cuts_itself(m));
    m.vertices_mm[100] = {0.5 * v[0], 0.5 * v[1], 0.5 * v[2]};
    EXPECT_FALSE(detail::cuts_itself(m)) << "a dent is no cut";
}

TEST(VoxelsInside, AreThoseOfTheBall)
{
    for (const Grid& grid : {grid_of(30, 31, 32), grid_of(60, 31, 13, {0.5, 1.0, 2.5})}) {
        // The centre on a voxel: rows run exactly through vertices and edges.
        const Vec3 middle{15.0, 15.0, 15.0};
        const Mask inside = detail::voxels_inside(detail::icosphere(4, middle, 11.0), grid);
        std::size_t wrong = 0;
        for (std::size_t z = 0; z < grid.dims.nz; ++z)
            for (std::size_t y = 0; y < grid.dims.ny; ++y)
                for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                    const double r = std::hypot(static_cast<double>(x) * grid.voxel_mm[0] - 15, static_cast<double>(y) * grid.voxel_mm[1] - 15,
                                                static_cast<double>(z) * grid.voxel_mm[2] - 15);
                    // Faces lie up to 0.04 mm below the sphere.
                    if (r < 10.95 && inside(x, y, z) == 0) ++wrong;
                    if (r > 11.0 && inside(x, y, z) != 0) ++wrong;
                }
        EXPECT_EQ(wrong, 0u);
    }
}

TEST(VoxelsInside, WhatTheGridCutsOffIsLeftOut)
{
    const Grid grid = grid_of(20, 20, 20);
    const Mask inside = detail::voxels_inside(detail::icosphere(4, {0, 10, 10}, 8.0), grid);
    const Mask half = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0] + 9.5, p[1] - 0.5, p[2] - 0.5) < 7.97; });
    EXPECT_GT(dice(inside, half), 0.999);
    EXPECT_EQ(numerics::count(detail::voxels_inside(detail::icosphere(2, {-50, 10, 10}, 8.0), grid)), 0u);
    EXPECT_EQ(numerics::count(detail::voxels_inside(detail::icosphere(2, {10, 10, 10}, 100.0), grid)), grid.size());
}

TEST(BrainSurface, FindsTheBrainForUsualFractions)
{
    const Head head = make_head(coarse);
    double largest = 1e9;
    for (const double f : {0.3, 0.45, 0.6}) {
        const BrainSurface s = brain_surface(head.magnitude, {.fractional_intensity = f});
        EXPECT_GT(dice(s.mask, head.brain), 0.97) << f;
        EXPECT_FALSE(s.cuts_itself);
        const auto n = static_cast<double>(numerics::count(s.mask));
        EXPECT_LT(n, largest) << "a larger fraction takes less";
        largest = n;
    }
}

TEST(BrainSurface, WorksOffCentreOnAnisotropicVoxelsAndAlongAGradient)
{
    const Grid grid = grid_of(100, 66, 40, {1.9, 2.7, 4.2});
    for (const double gradient : {0.0, 0.35}) {
        const Head head = make_head(grid, {9, -7, 6}, gradient);
        const BrainSurface s = brain_surface(head.magnitude);
        EXPECT_GT(dice(s.mask, head.brain), 0.97) << gradient;
        EXPECT_EQ(numerics::count(numerics::largest_component(s.mask)), numerics::count(s.mask));
    }
}

TEST(BrainSurface, GoesOnAsASlabOrASliceWhereTheFieldOfViewEnds)
{
    for (const Grid& grid : {grid_of(66, 60, 12, {2.8, 2.8, 3.0}), grid_of(66, 60, 2, {2.8, 2.8, 3.0}), grid_of(66, 60, 1, {2.8, 2.8, 3.0})}) {
        const Head head = make_head(grid);
        EXPECT_GT(dice(brain_surface(head.magnitude).mask, head.brain), 0.96) << grid.dims.nz << " slices";
    }
}

TEST(BrainSurface, DoesNotMindScaleNorNaN)
{
    Head head = make_head(coarse);
    const SurfaceOptions brief{.iterations = 200};
    const Mask before = brain_surface(head.magnitude, brief).mask;
    for (float& v : head.magnitude) v *= 1e-5f;
    EXPECT_GT(dice(brain_surface(head.magnitude, brief).mask, before), 0.999) << "only rounding differs";
    for (std::size_t i = 0; i < 50; ++i) head.magnitude[i] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_GT(dice(brain_surface(head.magnitude, brief).mask, before), 0.998);
}

TEST(BrainSurface, IsEmptyWithoutAHeadAndRefusesNonsense)
{
    const Grid grid = grid_of(12, 12, 12);
    for (const float value : {0.0f, 7.0f, std::numeric_limits<float>::quiet_NaN()})
        EXPECT_EQ(numerics::count(brain_surface(VolumeF(grid, value)).mask), 0u) << value;
    EXPECT_EQ(brain_surface(VolumeF(grid, 0.0f)).passes, 0);
    VolumeF one(grid, 0.0f);
    one(6, 6, 6) = 1.0f;
    EXPECT_LE(numerics::count(brain_surface(one).mask), 1u);
    EXPECT_THROW((void)brain_surface(one, {.fractional_intensity = 1.0}), InputError);
    EXPECT_THROW((void)brain_surface(one, {.iterations = 0}), InputError);
}

TEST(BrainSurface, IsTheSameForAnyNumberOfThreads)
{
    const Head head = make_head(coarse);
    parallel::set_threads(1);
    const Mask one = brain_surface(head.magnitude, {.iterations = 100}).mask;
    parallel::set_threads(3);
    const Mask three = brain_surface(head.magnitude, {.iterations = 100}).mask;
    EXPECT_TRUE(std::equal(one.begin(), one.end(), three.begin()));
    parallel::set_threads(2);
}

}  // namespace qsmpi::mask
