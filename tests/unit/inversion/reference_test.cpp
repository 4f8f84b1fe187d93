#include "qsmpi/inversion/reference.hpp"

#include <cmath>
#include <limits>

#include "qsmpi/numerics/morphology.hpp"
#include "volumes.hpp"

namespace qsmpi::inversion {
namespace {

using namespace test;

/// A head of 60 mm with two ventricles beside its centre and fluid at its surface; R2* 1 1/s in fluid, 20 in tissue.
bool in_ventricle(const Vec3& r) { return std::hypot(std::abs(r[0]) - 8.0, 0.5 * r[1], r[2]) < 5.0; }
bool in_head(const Vec3& r) { return std::hypot(r[0], r[1], r[2]) < 60.0; }
bool at_surface(const Vec3& r) { return std::hypot(r[0], r[1], r[2]) > 54.0; }

struct Head {
    Grid grid;
    VolumeF r2star_per_s, magnitude;
    Mask mask;
    explicit Head(const Grid& g, double noise_per_s = 2.0)
        : grid(g),
          r2star_per_s(from_function(g, [](const Vec3& r) { return in_ventricle(r) || at_surface(r) ? 1.0 : 20.0; })),
          magnitude(from_function(g, [](const Vec3& r) { return in_ventricle(r) ? 150.0 : 100.0; })),
          mask(mask_from(g, in_head))
    {
        const VolumeF n = noise(g, noise_per_s, 3);
        for (std::size_t i = 0; i < n.size(); ++i) r2star_per_s[i] = std::max(0.0f, r2star_per_s[i] + n[i]);
    }
};

TEST(Csf, IsFoundInTheVentriclesAndNotAtTheSurface)
{
    for (const Grid& grid : {grid_of(64, 64, 64, {2, 2, 2}), grid_of(65, 63, 43, {2, 2, 3})}) {
        const Head head(grid);
        const Mask csf = csf_mask(head.r2star_per_s, head.magnitude, head.mask);
        std::size_t inside = 0, truth = 0;
        for (std::size_t z = 0; z < grid.dims.nz; ++z)
            for (std::size_t y = 0; y < grid.dims.ny; ++y)
                for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                    const bool ventricle = in_ventricle(position_mm(grid, x, y, z));
                    truth += ventricle ? 1 : 0;
                    ASSERT_LE(csf(x, y, z), ventricle ? 1 : 0) << x << " " << y << " " << z;
                    inside += csf(x, y, z);
                }
        EXPECT_GT(static_cast<double>(inside), 0.8 * static_cast<double>(truth));
    }
}

TEST(Csf, IsNeitherAVoidNorAbsentFluid)
{
    Head head(grid_of(64, 64, 64, {2, 2, 2}));
    for (std::size_t i = 0; i < head.magnitude.size(); ++i)
        if (head.magnitude[i] > 120.0f) head.magnitude[i] = 10.0f;
    EXPECT_EQ(numerics::count(csf_mask(head.r2star_per_s, head.magnitude, head.mask)), 0U) << "dark";
    head.r2star_per_s.fill(20.0f);
    EXPECT_EQ(numerics::count(csf_mask(head.r2star_per_s, VolumeF(head.grid, 1.0f), head.mask)), 0U);
}

TEST(Csf, BearsEmptyMasksAndNaN)
{
    const Head head(grid_of(32, 32, 32, {4, 4, 4}));
    EXPECT_EQ(numerics::count(csf_mask(head.r2star_per_s, head.magnitude, Mask(head.grid, 0))), 0U);
    const VolumeF unknown(head.grid, std::numeric_limits<float>::quiet_NaN());
    EXPECT_EQ(numerics::count(csf_mask(unknown, head.magnitude, head.mask)), 0U);
    EXPECT_THROW((void)csf_mask(head.r2star_per_s, head.magnitude, Mask(grid_of(2, 2, 2), 1)), InputError);
}

TEST(Reference, SubtractsTheWeightedMeanOfARegion)
{
    const Grid grid = grid_of(6, 1, 1);
    VolumeF chi(grid), region(grid, 0.0F), weight(grid, 1.0F);
    Mask mask(grid, 1);
    for (std::size_t i = 0; i < 6; ++i) chi[i] = static_cast<float>(i);
    region[1] = 1.0F;
    region[2] = 3.0F;
    region[3] = region[4] = 5.0F;
    region[0] = std::numeric_limits<float>::quiet_NaN();
    mask[3] = 0;
    weight[4] = 0.0F;
    const auto shift = set_reference(chi, mask, region, &weight);
    ASSERT_TRUE(shift.has_value());
    EXPECT_DOUBLE_EQ(*shift, (1.0 * 1.0 + 3.0 * 2.0) / 4.0);
    EXPECT_FLOAT_EQ(chi[5], 5.0F - 1.75F);
    EXPECT_EQ(chi[3], 0.0F) << "outside the mask";
}

TEST(Reference, SaysThatARegionIsEmpty)
{
    const Grid grid = grid_of(4, 1, 1);
    VolumeF chi(grid, 2.0F);
    Mask mask(grid, 1);
    mask[0] = 0;
    EXPECT_FALSE(set_reference(chi, mask, VolumeF(grid, 0.0F)).has_value());
    EXPECT_EQ(chi[0], 0.0F);
    EXPECT_EQ(chi[1], 2.0F);
}

TEST(Reference, SelectsLabels)
{
    const Grid grid = grid_of(4, 1, 1);
    VolumeF labels(grid, 0.0F);
    labels[1] = 4.0F;
    labels[2] = 42.9999F;
    labels[3] = 44.0F;
    const std::vector<int> wanted{4, 43};
    const VolumeF region = region_of_labels(labels, wanted);
    EXPECT_EQ(region[0], 0.0F);
    EXPECT_EQ(region[1], 1.0F);
    EXPECT_EQ(region[2], 1.0F);
    EXPECT_EQ(region[3], 0.0F);
}

}  // namespace
}  // namespace qsmpi::inversion
