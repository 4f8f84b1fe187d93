#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "nifti_bytes.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/nifti.hpp"
#include "volumes.hpp"

/// Where an image lies and how large its voxels are.
namespace qsmpi::io
{
namespace
{

using test::nifti_file;
using test::nifti_header;
using test::NiftiSpec;
using test::TemporaryFolder;
using test::write_bytes;

TEST(NiftiPlace, VoxelsOfAnotherUnitAreRefused)
{
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii";
    const auto message = [&](double size, int xyzt_units) -> std::string {
        write_bytes(file, nifti_header({.pixdim = {1, size, 1}, .qform_code = 1, .sform_code = 0, .xyzt_units = xyzt_units}).text());
        try {
            (void)read_nifti_header(file);
        } catch (const InputError& e) {
            return e.what();
        }
        return "accepted";
    };
    constexpr int metres = 1, mm = 2, micrometres = 3;
    const auto has = [](const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; };
    for (const double size : {0.001, 0.0099, 20.1, 1000.0, 1e6}) {
        EXPECT_PRED2(has, message(size, mm), "pixdim[2] = ");
        EXPECT_PRED2(has, message(size, mm), "xyzt_units");
    }
    // The other axes are 1: of 1 m or 1 micrometre.
    EXPECT_PRED2(has, message(1, metres), "pixdim[1] = 1: a voxel of 1000 mm");
    EXPECT_PRED2(has, message(1, micrometres), "pixdim[1] = 1: a voxel of 0.001 mm");
    write_bytes(file, nifti_header({.dim = {41, 55, 45}, .pixdim = {0.02, 0.02, 0.02}, .qform_code = 1, .sform_code = 0}).text());
    EXPECT_THROW((void)read_nifti_header(file), InputError) << "1.1 mm wide";
    for (const double size : {0.01, 0.02, 1.0, 20.0}) EXPECT_EQ(message(size, mm), "accepted");
}

TEST(NiftiPlace, AnImageOfAnotherPlaceIsRefusedWhereOneOfThisPlaceIsAskedFor)
{
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii";
    const auto message = [&](const NiftiSpec& spec) -> std::string {
        const auto& d = spec.dim;
        write_bytes(file, nifti_file(spec, std::vector<float>(static_cast<std::size_t>(d[0] * d[1] * d[2]), 2.0f)));
        Geometry scan;
        scan.grid = {{3, 4, 5}, {1, 1, 1}};
        scan.sform = {{{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}};
        scan.sform_code = 1;
        try {
            EXPECT_EQ(read_image_on(file, scan, "the scan")[59], 2.0f);
            EXPECT_EQ(read_mask_on(file, scan, "the scan")[59], 1);
        } catch (const InputError& e) {
            return e.what();
        }
        return "accepted";
    };
    const auto has = [](const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; };
    EXPECT_EQ(message({}), "accepted");
    EXPECT_EQ(message({.sform = {1, 0, 0, 0.01, 0, 1, 0, 0, 0, 0, 1, 0}}), "accepted");
    EXPECT_EQ(message({.qform_code = 1, .sform_code = 0}), "accepted");
    // x runs the other way over the same places: the first corner is 2 mm off.
    EXPECT_PRED2(has, message({.sform = {-1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1, 0}}), "affine differs by 2 mm");
    EXPECT_PRED2(has, message({.sform = {1, 0, 0, 40, 0, 1, 0, 0, 0, 0, 1, 0}}), "affine differs by 40 mm");
    // 2, 3 and 4 voxels that are longer by 1 mm: the last corner is sqrt(4 + 9 + 16) mm off.
    EXPECT_PRED2(has, message({.pixdim = {2, 2, 2}, .sform = {2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0}}), "affine differs by 5.38516 mm");
    EXPECT_PRED2(has, message({.dim = {5, 4, 3}}), "has 5x4x3 voxels, but the scan 3x4x5; resample it");
}

TEST(NiftiPlace, AMaskOfProbabilitiesIsWhereTheyAreAtLeastAHalf)
{
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii";
    const auto voxels_of = [&](const std::vector<float>& values) {
        write_bytes(file, nifti_file({.dim = {5, 1, 1}}, values));
        std::string inside;
        for (const std::uint8_t m : read_mask(file, [](const std::string&) {})) inside += m != 0 ? '1' : '0';
        return inside;
    };
    EXPECT_EQ(voxels_of({0, 0.1f, 0.49f, 0.5f, 1}), "00011");
    EXPECT_EQ(voxels_of({-0.1f, 0.2f, 0.8f, 1.1f, 1}), "00111") << "interpolated";
    EXPECT_EQ(voxels_of({0, 0.3f, 20, 800, 1000}), "01111") << "an image cut to the head";
    EXPECT_EQ(voxels_of({0, 1, 2, 3, 0}), "01110") << "labels";
}

}  // namespace
}  // namespace qsmpi::io
