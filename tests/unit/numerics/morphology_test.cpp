#include "qsmpi/numerics/morphology.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <queue>

#include <gtest/gtest.h>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;

/// Blobs and specks: noise against a threshold.
Mask random_mask(const Grid& grid, double threshold, unsigned seed)
{
    const VolumeF n = test::noise(grid, 1.0, seed);
    Mask mask(grid);
    for (std::size_t i = 0; i < n.size(); ++i) mask[i] = static_cast<double>(n[i]) > threshold ? 3 : 0;
    return mask;
}

/// Distance from (x, y, z) to the nearest voxel of the given kind, over all voxels; the border is one voxel beyond.
double nearest_mm(const Mask& mask, std::size_t x, std::size_t y, std::size_t z, bool inside,
                  bool with_border)
{
    const auto& d = mask.dims();
    const auto& h = mask.grid().voxel_mm;
    double best = std::numeric_limits<double>::infinity();
    const auto delta = [](std::size_t a, std::size_t b) {
        return static_cast<double>(a) - static_cast<double>(b);
    };
    for (std::size_t c = 0; c < d.nz; ++c)
        for (std::size_t b = 0; b < d.ny; ++b)
            for (std::size_t a = 0; a < d.nx; ++a)
                if ((mask(a, b, c) != 0) == inside)
                    best = std::min(best,
                                    std::hypot(delta(a, x) * h[0], delta(b, y) * h[1], delta(c, z) * h[2]));
    if (with_border)
        for (const double border : {delta(x + 1, 0) * h[0], delta(d.nx, x) * h[0], delta(y + 1, 0) * h[1],
                                    delta(d.ny, y) * h[1], delta(z + 1, 0) * h[2], delta(d.nz, z) * h[2]})
            best = std::min(best, border);
    return best;
}

template <typename Body>
void for_all(const Dims& d, Body&& body)
{
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) body(x, y, z);
}

TEST(DistanceInside, EqualsTheSearchOverAllVoxels)
{
    for (const auto& grid : {grid_of(13, 12, 11), grid_of(14, 9, 8, {0.7, 1.3, 2.9}), grid_of(1, 7, 9)})
        for (const double threshold : {-1.5, -3.0, -9.0})
            for (const bool border : {true, false}) {
                const Mask mask = random_mask(grid, threshold, 1);
                const VolumeF distance = distance_inside_mm(mask, border);
                for_all(grid.dims, [&](std::size_t x, std::size_t y, std::size_t z) {
                    const double expected =
                        mask(x, y, z) == 0 ? 0.0 : nearest_mm(mask, x, y, z, false, border);
                    if (std::isinf(expected))
                        ASSERT_TRUE(std::isinf(distance(x, y, z)));
                    else
                        ASSERT_NEAR(distance(x, y, z), expected, 2e-6 * (1.0 + expected));
                });
            }
}

TEST(DistanceInside, OfABallIsTheDepthBelowItsSurface)
{
    const Mask ball = test::ball_mask(grid_of(45, 45, 45), 20.0);
    const VolumeF distance = distance_inside_mm(ball);
    EXPECT_NEAR(distance(22, 22, 22), 20.5,
                0.6);  // the surface lies between the last voxel in and the first out
    EXPECT_EQ(distance(0, 0, 0), 0.0F);
}

TEST(ErodeAndDilate, EqualTheSearchOverTheBall)
{
    for (const auto& grid : {grid_of(15, 12, 9), grid_of(11, 13, 9, {0.7, 1.1, 2.0})})
        for (const double radius : {0.5, 1.0, 1.5, 2.0, 2.1, 4.0})
            for (const bool border : {true, false}) {
                const Mask dense = random_mask(grid, -2.2, 2), sparse = random_mask(grid, 2.2, 3);
                const Mask eroded = erode(dense, radius, border), dilated = dilate(sparse, radius);
                for_all(grid.dims, [&](std::size_t x, std::size_t y, std::size_t z) {
                    ASSERT_EQ(eroded(x, y, z),
                              nearest_mm(dense, x, y, z, false, border) > radius * (1 + 1e-9));
                    ASSERT_EQ(dilated(x, y, z),
                              nearest_mm(sparse, x, y, z, true, false) <= radius * (1 + 1e-9));
                });
            }
}

TEST(ErodeAndDilate, OfEmptyAndFullMasksStaySo)
{
    const Grid grid = grid_of(7, 6, 5);
    EXPECT_EQ(count(erode(Mask(grid, 0), 2.0)), 0U);
    EXPECT_EQ(count(dilate(Mask(grid, 0), 2.0)), 0U);
    EXPECT_EQ(count(dilate(Mask(grid, 1), 2.0)), grid.size());
    EXPECT_EQ(count(erode(Mask(grid, 1), 2.0, false)), grid.size());
    EXPECT_EQ(count(erode(Mask(grid, 1), 1.0)), 5U * 4U * 3U);
    EXPECT_EQ(count(erode(Mask(grid, 9), 0.0)), grid.size());
}

TEST(CloseAndOpen, AreIdempotentAndOrdered)
{
    const Grid grid = grid_of(24, 20, 16, {1, 1, 1.5});
    const Mask mask = random_mask(grid, 0.5, 4);
    const Mask closed = close(mask, 1.6), opened = open(closed, 1.6);
    const Mask closed_twice = close(closed, 1.6), opened_twice = open(opened, 1.6);
    EXPECT_EQ(std::memcmp(closed.data(), closed_twice.data(), closed.size()), 0);
    EXPECT_EQ(std::memcmp(opened.data(), opened_twice.data(), opened.size()), 0);
    for (std::size_t i = 0; i < mask.size(); ++i) {
        ASSERT_GE(closed[i], mask[i] != 0);
        ASSERT_LE(opened[i], closed[i]);
    }
    EXPECT_GT(count(closed), count(mask));
    EXPECT_LT(count(opened), count(closed));
}

TEST(FillHoles, FillsWhatTheBorderCannotReach)
{
    Mask mask = test::ball_mask(grid_of(21, 20, 19), 8.0);
    const std::size_t solid = count(mask);
    const Mask hollow_part = test::ball_mask(mask.grid(), 4.0);
    for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = mask[i] != 0 && hollow_part[i] == 0;
    EXPECT_EQ(count(fill_holes(mask)), solid);
    EXPECT_EQ(count(fill_holes(mask, count(hollow_part) - 1)), count(mask));
    EXPECT_EQ(count(fill_holes(mask, count(hollow_part))), solid);
    for (std::size_t x = 0; x < 11; ++x) mask(x, 10, 9) = 0;  // a tunnel to the border: no hole any more
    EXPECT_EQ(count(fill_holes(mask)), count(mask));
}

/// Flood fill, voxel by voxel.
Components flood(const Mask& mask)
{
    const auto& d = mask.dims();
    Components c{Volume<std::uint32_t>(mask.grid(), 0U), {mask.size()}};
    for (std::size_t seed = 0; seed < mask.size(); ++seed) {
        if (mask[seed] == 0 || c.labels[seed] != 0) continue;
        const auto label = static_cast<std::uint32_t>(c.sizes.size());
        c.sizes.push_back(0);
        std::queue<std::size_t> front;
        const auto visit = [&](std::size_t i) {
            if (mask[i] == 0 || c.labels[i] != 0) return;
            c.labels[i] = label;
            ++c.sizes[label];
            --c.sizes[0];
            front.push(i);
        };
        for (visit(seed); !front.empty();) {
            const std::size_t i = front.front(), x = i % d.nx, y = i / d.nx % d.ny, z = i / d.nx / d.ny;
            front.pop();
            if (x > 0) visit(i - 1);
            if (x + 1 < d.nx) visit(i + 1);
            if (y > 0) visit(i - d.nx);
            if (y + 1 < d.ny) visit(i + d.nx);
            if (z > 0) visit(i - d.nx * d.ny);
            if (z + 1 < d.nz) visit(i + d.nx * d.ny);
        }
    }
    return c;
}

TEST(LabelComponents, EqualsFloodFillInScanOrder)
{
    for (const double threshold : {-0.5, 0.3, 0.5, 1.5}) {
        const Mask mask = random_mask(grid_of(23, 17, 14), threshold, 5);
        const Components labelled = label_components(mask), expected = flood(mask);
        EXPECT_EQ(labelled.sizes, expected.sizes);
        EXPECT_EQ(std::memcmp(labelled.labels.data(), expected.labels.data(), mask.size() * 4), 0);
    }
}

TEST(LabelComponents, DoesNotDependOnThreads)
{
    const Mask mask = random_mask(grid_of(23, 17, 14), 0.4, 6);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const Components one = label_components(mask);
    const VolumeF distance = distance_inside_mm(mask);
    parallel::set_threads(4);
    const Components four = label_components(mask);
    const VolumeF distance_four = distance_inside_mm(mask);
    parallel::set_threads(before);
    EXPECT_EQ(std::memcmp(one.labels.data(), four.labels.data(), mask.size() * 4), 0);
    EXPECT_EQ(std::memcmp(distance.data(), distance_four.data(), mask.size() * 4), 0);
}

TEST(LargestComponent, KeepsOnlyTheLargestAndTheFirstOfEquals)
{
    Mask mask(grid_of(12, 6, 5), 0);
    mask(1, 1, 1) = mask(2, 1, 1) = 1;  // two voxels, first in scan order
    mask(5, 1, 1) = mask(5, 2, 1) = 1;  // two voxels
    mask(8, 3, 3) = 1;                  // touches the next only by an edge
    mask(9, 4, 3) = 1;
    const Mask first = largest_component(mask);
    EXPECT_EQ(count(first), 2U);
    EXPECT_EQ(first(1, 1, 1), 1);
    mask(5, 3, 1) = 1;
    EXPECT_EQ(largest_component(mask)(5, 3, 1), 1);
    EXPECT_EQ(count(largest_component(Mask(mask.grid(), 0))), 0U);
}

}  // namespace
}  // namespace qsmpi::numerics
