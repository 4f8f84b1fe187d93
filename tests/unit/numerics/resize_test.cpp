#include "qsmpi/numerics/resize.hpp"

#include <gtest/gtest.h>

#include "qsmpi/core/error.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;

TEST(BoundingBox, HoldsEveryInsideVoxelAndNoMore)
{
    Mask mask(grid_of(9, 8, 7), 0);
    mask(2, 5, 3) = mask(6, 1, 4) = 1;
    const Box box = bounding_box(mask);
    EXPECT_EQ(box.first, (Dims{2, 1, 3}));
    EXPECT_EQ(box.dims, (Dims{5, 5, 2}));
}

TEST(BoundingBox, IsWidenedByTheMarginAndClippedToTheGrid)
{
    Mask mask(grid_of(9, 8, 7), 0);
    mask(1, 5, 3) = 255;
    const Box box = bounding_box(mask, {3, 3, 3});
    EXPECT_EQ(box.first, (Dims{0, 2, 0}));
    EXPECT_EQ(box.dims, (Dims{5, 6, 7}));
    const Box slim = bounding_box(mask, {3, 0, 1});
    EXPECT_EQ(slim.first, (Dims{0, 5, 2}));
    EXPECT_EQ(slim.dims, (Dims{5, 1, 3}));
}

TEST(VoxelsAlong, HoldALengthOnEachAxis)
{
    EXPECT_EQ(voxels_along(grid_of(9, 8, 7, {1.0, 0.2, 3.0}), 16.0), (Dims{16, 80, 6}));
    EXPECT_EQ(voxels_along(grid_of(9, 8, 7), 0.0), Dims{});
    EXPECT_THROW((void)voxels_along(grid_of(9, 8, 7), -1.0), InputError);
    EXPECT_THROW((void)voxels_along(grid_of(9, 8, 7, {1.0, 1.0, 1e-6}), 16.0), InputError);
}

TEST(BoundingBox, OfAnEmptyMaskIsTheWholeGrid)
{
    const Box box = bounding_box(Mask(grid_of(5, 4, 3), 0), {2, 2, 2});
    EXPECT_EQ(box.first, Dims{});
    EXPECT_EQ(box.dims, (Dims{5, 4, 3}));
}

TEST(Crop, AndUncropRestoreTheBoxAndZeroTheRest)
{
    const VolumeF v = test::noise(grid_of(9, 8, 7, {1, 2, 3}), 1.0, 1);
    const Box box{{2, 1, 3}, {5, 6, 2}};
    const VolumeF part = crop(v, box);
    EXPECT_EQ(part.dims(), box.dims);
    EXPECT_EQ(part.grid().voxel_mm, v.grid().voxel_mm);
    EXPECT_EQ(part(4, 5, 1), v(6, 6, 4));
    const VolumeF back = uncrop(part, box, v.grid());
    for (std::size_t z = 0; z < 7; ++z)
        for (std::size_t y = 0; y < 8; ++y)
            for (std::size_t x = 0; x < 9; ++x) {
                const bool in = x >= 2 && x < 7 && y >= 1 && y < 7 && z >= 3 && z < 5;
                ASSERT_EQ(back(x, y, z), in ? v(x, y, z) : 0.0F);
            }
}

TEST(Crop, RefusesABoxThatLeavesTheGrid)
{
    const Mask mask(grid_of(5, 5, 5), 1);
    EXPECT_THROW(static_cast<void>(crop(mask, {{1, 0, 0}, {5, 5, 5}})), InputError);
    EXPECT_THROW(static_cast<void>(uncrop(mask, {{0, 0, 0}, {4, 5, 5}}, mask.grid())), InputError);
}

TEST(Coarsened, CellsHoldWholeVoxelsAndTheLastMayBeSmaller)
{
    // 2.5 mm: two voxels of 1 mm, five of 0.5 mm, one of 3 mm; 7 voxels make 4 cells.
    const Coarse coarse = coarsened(grid_of(7, 10, 4, {1.0, 0.5, 3.0}), 2.5);
    EXPECT_EQ(coarse.voxels, (std::array<std::size_t, 3>{2, 5, 1}));
    EXPECT_EQ(coarse.grid.dims, (Dims{4, 2, 4}));
    EXPECT_EQ(coarse.grid.voxel_mm, (Vec3{2.0, 2.5, 3.0}));
}

TEST(PaddedGrid, HoldsTheLargerPaddingInAFastLength)
{
    // 100 + max(8 mm / 1 mm, 25) = 125 -> 126; 60 + max(8 / 0.5, 15) = 76 -> 80; 50 + max(4, 12.5) = 63 -> 64
    const Grid padded = padded_grid(grid_of(100, 60, 50, {1.0, 0.5, 2.0}), 8.0, 0.25);
    EXPECT_EQ(padded.dims, (Dims{126, 80, 64}));
    EXPECT_EQ(padded.voxel_mm, (Vec3{1.0, 0.5, 2.0}));
    EXPECT_EQ(padded_grid(grid_of(96, 64, 32), 0.0).dims, (Dims{96, 64, 32}));
    EXPECT_THROW(static_cast<void>(padded_grid(grid_of(9, 9, 9), -1.0)), InputError);
}

}  // namespace
}  // namespace qsmpi::numerics
