#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bids_tree_builder.hpp"
#include "qsmpi/io/bids.hpp"

namespace qsmpi::io
{
namespace
{

using test::BidsBuilder;
using test::lines_of;
using test::NiftiSpec;
using ::testing::HasSubstr;

TEST(Contents, MagnitudesOfAnyScaleAreReadAsTheSameTimesAPowerOfTwo)
{
    const BidsBuilder bids;
    bids.scan("01", 2);
    const auto magnitude = [&](float scale) {
        for (int e = 1; e <= 2; ++e) {
            std::vector<float> voxels = BidsBuilder::ramp(1, 100 / e);
            for (float& v : voxels) v *= scale;
            bids.image(BidsBuilder::name("01", e, "mag") + ".nii.gz", {}, voxels);
        }
        ScanReport report = scan_bids(bids.root());
        auto echoes = read_echoes(report.acquisitions.at(0));
        const bool said = !report.acquisitions[0].warnings.empty();
        EXPECT_EQ(said, scale != 1.0f) << scale;
        return echoes;
    };
    const auto usual = magnitude(1.0f);
    EXPECT_EQ(usual[0].magnitude[59], 100.0f);
    for (const float scale : {0x1p100f, 0x1p-100f, 0x1p-30f}) {
        const auto echoes = magnitude(scale);
        const float factor = echoes[0].magnitude[59] / 100.0f;
        EXPECT_EQ(std::exp2(std::round(std::log2(factor))), factor);
        EXPECT_GE(echoes[0].magnitude[59], 1e-6f);
        EXPECT_LE(echoes[0].magnitude[59], 1e9f);
        for (std::size_t e = 0; e < 2; ++e)
            for (std::size_t i = 0; i < 60; ++i) ASSERT_EQ(echoes[e].magnitude[i], factor * usual[e].magnitude[i]);
    }
}

TEST(Contents, OneVoxelFarAboveAllOthersIsNoScale)
{
    const BidsBuilder bids;
    bids.scan("01", 1);
    std::vector<float> voxels = BidsBuilder::ramp(1, 100);
    voxels[30] = 1e37f;
    bids.image(BidsBuilder::name("01", 1, "mag") + ".nii.gz", {}, voxels);
    ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(read_echoes(report.acquisitions.at(0))[0].magnitude[59], 100.0f);
}

TEST(Contents, AMagnitudeBelowZeroIsRefused)
{
    const BidsBuilder bids;
    bids.scan("01", 1);
    bids.image(BidsBuilder::name("01", 1, "mag") + ".nii.gz", {}, BidsBuilder::ramp(-100, -1));
    ScanReport report = scan_bids(bids.root());
    EXPECT_THAT(lines_of(check_contents(report.acquisitions.at(0))), HasSubstr("magnitude = -100..-1: no voxel is above zero"));
    // Interpolation makes values a little below zero.
    bids.image(BidsBuilder::name("01", 1, "mag") + ".nii.gz", {}, BidsBuilder::ramp(-1, 100));
    report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(check_contents(report.acquisitions.at(0))), "");
}

TEST(Contents, VoxelSizesThatDifferInTheLastDigitAreTheSame)
{
    const BidsBuilder bids;
    bids.scan("01", 2);
    NiftiSpec rounded;
    for (double& size : rounded.pixdim) size = static_cast<double>(std::nextafter(static_cast<float>(size), 10.0f));
    bids.image(BidsBuilder::name("01", 2, "phase") + ".nii.gz", rounded, BidsBuilder::ramp(-3, 3));
    ScanReport report = scan_bids(bids.root());
    const auto echoes = read_echoes(report.acquisitions.at(0));
    for (const EchoData& echo : echoes) {
        EXPECT_EQ(echo.phase_rad.grid(), echoes[0].phase_rad.grid());
        EXPECT_EQ(echo.magnitude.grid(), echoes[0].phase_rad.grid());
    }
}

}  // namespace
}  // namespace qsmpi::io
