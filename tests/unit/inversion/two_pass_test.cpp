#include "qsmpi/inversion/two_pass.hpp"

#include "volumes.hpp"

namespace qsmpi::inversion {
namespace {

using namespace test;

TEST(TwoPasses, TakeReliableVoxelsFromTheFirst)
{
    const Grid grid = grid_of(12, 11, 10);
    const Mask reliable = ball_mask(grid, 4.0);
    VolumeF filled = noise(grid, 1.0, 1), first = noise(grid, 1.0, 2);
    const VolumeF before = filled.clone();
    for (std::size_t i = 0; i < grid.size(); ++i)
        if (reliable[i] == 0) first[i] = 0.0f;
    combine_passes(filled, first, reliable);
    for (std::size_t i = 0; i < grid.size(); ++i) EXPECT_EQ(filled[i], reliable[i] ? first[i] : before[i]);
}

TEST(TwoPasses, OfTheSameMaskAreOne)
{
    const Grid grid = grid_of(12, 11, 10);
    const Mask mask = ball_mask(grid, 4.0);
    VolumeF chi = noise(grid, 1.0, 1);
    for (std::size_t i = 0; i < grid.size(); ++i)
        if (mask[i] == 0) chi[i] = 0.0f;
    const VolumeF same = chi.clone();
    combine_passes(chi, same, mask);
    EXPECT_THAT(chi, VolumeNear(&same, 0.0));
    EXPECT_THROW(combine_passes(chi, same, Mask(grid_of(2, 2, 2), 1)), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
