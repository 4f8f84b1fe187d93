#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "bids_tree_builder.hpp"

namespace qsmpi::io
{
namespace
{

using test::BidsBuilder;
using test::decision_of;
using test::lines_of;
using test::mag;
using test::NiftiSpec;
using test::phase;
using test::set_times;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// A good scan with one thing broken, and what the one line must say: scan, file or field, value, problem,
/// remedy.
struct Breakage {
    const char* name;
    std::function<void(const BidsBuilder&)> damage;
    std::vector<std::string> words;
};
void PrintTo(const Breakage& breakage, std::ostream* out)
{
    *out << breakage.name;
}

std::vector<float> any_phase()
{
    return BidsBuilder::ramp(-3.141, 3.141);
}

void set_fields(const BidsBuilder& b, const nlohmann::json& extra)
{
    for (int e = 1; e <= 3; ++e) {
        nlohmann::json j{{"EchoTime", 0.005 * e}, {"Units", "rad"}};
        j.update(extra);
        b.json(phase(e) + ".json", j);
        b.json(mag(e) + ".json", j);
    }
}

class BidsFindings : public ::testing::TestWithParam<Breakage>
{
};

TEST_P(BidsFindings, OneLineNamesScanFileFieldValueAndRemedy)
{
    const BidsBuilder bids;
    bids.scan("07");
    bids.scan("08");
    GetParam().damage(bids);
    const ScanReport report = scan_bids(bids.root());
    const std::string lines = lines_of(report.findings);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 1) << lines;
    EXPECT_THAT(lines, StartsWith("sub-07: "));
    EXPECT_THAT(lines, HasSubstr("; ")) << "a remedy";
    for (const std::string& word : GetParam().words) EXPECT_THAT(lines, HasSubstr(word));
    ASSERT_EQ(report.acquisitions.size(), 1u) << "the other scan is fit to run";
    EXPECT_EQ(report.acquisitions[0].key, "sub-08");
    EXPECT_EQ(report.refused, std::vector<std::string>{"sub-07"});
    for (const ImageDecision& d : report.images) {
        const bool broken = d.file.starts_with("sub-07");
        EXPECT_EQ(d.use, broken ? Use::refused : Use::used) << d.file;
        EXPECT_FALSE(d.reason.empty());
    }
}

const std::vector<Breakage> breakages{
    {"NoPhaseAtAll",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e) b.remove(phase(e) + ".nii.gz");
     },
     {"magnitude only", "sub-07/anat/sub-07_echo-1_part-phase_MEGRE.nii.gz and those of the other echoes are missing"}},
    {"TheOnlyEchoHasNoTime",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e) {
             b.remove(mag(e) + ".nii.gz");
             if (e > 1) b.remove(phase(e) + ".nii.gz");
         }
         b.image(mag(1) + ".nii.gz", {}, any_phase());
         set_times(b, {nullptr, .010, .015});
     },
     {"EchoTime = missing", "write EchoTime in seconds"}},
    {"SecondImageOfAnEcho",
     [](const BidsBuilder& b) {
         b.image("sub-07/anat/sub-07_echo-02_part-mag_MEGRE.nii", {}, any_phase());
         b.json("sub-07/anat/sub-07_echo-02_part-mag_MEGRE.json", {{"EchoTime", .01}});
     },
     {"echo = 2", "a second magnitude"}},
    {"AllEchoTimesMissing",
     [](const BidsBuilder& b) {
         set_times(b, {nullptr, nullptr, nullptr});
     },
     {"EchoTime = missing", "(and 2 more)"}},
    {"EchoTimeAsText",
     [](const BidsBuilder& b) {
         set_times(b, {.005, "0.01", .015});
     },
     {"EchoTime = \"0.01\""}},
    {"EchoTimesEqual",
     [](const BidsBuilder& b) {
         set_times(b, {.005, .005, .015});
     },
     {"echo-2", "EchoTime = 0.005", "same echo time"}},
    {"EchoTimesUnsorted",
     [](const BidsBuilder& b) {
         set_times(b, {.005, .015, .010});
     },
     {"echo-3", "EchoTime = 0.01", "unsorted"}},
    {"EchoTimesInMilliseconds",
     [](const BidsBuilder& b) {
         set_times(b, {5, 10, 15});
     },
     {"EchoTime = 5", "milliseconds", "seconds", "divide it by 1000"}},
    {"EchoTimesInMicroseconds",
     [](const BidsBuilder& b) {
         set_times(b, {5e-6, 10e-6, 15e-6});
     },
     {"EchoTime = 5e-06", "(and 2 more)", "earlier than any gradient echo", "seconds"}},
    {"EchoTimeNoDoubleHolds",
     [](const BidsBuilder& b) { test::write_bytes(b.root() / (phase(2) + ".json"), "{\"EchoTime\": 1e999}"); },
     {"echo-2_part-phase_MEGRE.json: JSON that cannot be used: number overflow parsing '1e999'"}},
    {"VoxelOfAMetre",
     [](const BidsBuilder& b) { b.image(mag(1) + ".nii.gz", {.pixdim = {1000, 1, 1}}, any_phase()); },
     {"pixdim[1] = 1000", "xyzt_units"}},
    {"EchoTimeNegative",
     [](const BidsBuilder& b) {
         set_times(b, {-.005, .01, .015});
     },
     {"EchoTime = -0.005", "above zero"}},
    {"EchoTimeOfPartnersDiffers",
     [](const BidsBuilder& b) {
         b.json(mag(2) + ".json", {{"EchoTime", .011}});
     },
     {"EchoTime = 0.011", "differs from 0.01"}},
    {"EchoTimeOfThePhaseInMilliseconds",
     [](const BidsBuilder& b) {
         b.json(phase(2) + ".json", {{"EchoTime", 10}, {"MagneticFieldStrength", 3}, {"Units", "rad"}});
     },
     {"echo-2_part-phase", "EchoTime = 10: looks like milliseconds"}},
    {"EchoTimeOfTheMagnitudeInMilliseconds",
     [](const BidsBuilder& b) { b.json(mag(2) + ".json", {{"EchoTime", 10}}); },
     {"echo-2_part-mag", "EchoTime = 10: looks like milliseconds"}},
    {"FieldStrengthMissing",
     [](const BidsBuilder& b) { set_fields(b, nlohmann::json::object()); },
     {"MagneticFieldStrength = missing", "--b0-tesla"}},
    {"FieldStrengthAbsurd",
     [](const BidsBuilder& b) {
         set_fields(b, {{"MagneticFieldStrength", 30000}});
     },
     {"MagneticFieldStrength = 30000", "tesla"}},
    {"FieldStrengthContradicted",
     [](const BidsBuilder& b) {
         set_fields(b, {{"MagneticFieldStrength", 1.5}, {"ImagingFrequency", 123.2}});
     },
     {"MagneticFieldStrength = 1.5", "contradicts ImagingFrequency"}},
    {"FieldStrengthDiffers",
     [](const BidsBuilder& b) {
         b.json(phase(3) + ".json", {{"EchoTime", .015}, {"Units", "rad"}, {"MagneticFieldStrength", 7}});
     },
     {"MagneticFieldStrength = 7", "differs from 3 T"}},
    {"ShapeDiffers",
     [](const BidsBuilder& b) {
         b.image(mag(3) + ".nii.gz", {.dim = {3, 4, 4}}, BidsBuilder::ramp(1, 2, 48));
     },
     {"echo-3_part-mag", "dim = 3x4x4", "shape differs from 3x4x5"}},
    {"AffineDiffers",
     [](const BidsBuilder& b) {
         b.image(phase(2) + ".nii.gz", {.sform = {1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 1, 0}}, any_phase());
     },
     {"echo-2_part-phase", "affine = 2 mm"}},
    {"Truncated",
     [](const BidsBuilder& b) { fs::resize_file(b.root() / (phase(2) + ".nii.gz"), 150); },
     {"echo-2_part-phase", "size = 150 bytes", "truncated", "592"}},
    {"Empty",
     [](const BidsBuilder& b) { test::write_bytes(b.root() / (mag(2) + ".nii.gz"), ""); },
     {"echo-2_part-mag", "the file is empty (0 bytes)"}},
    {"StartOfAGzipFile",
     [](const BidsBuilder& b) { fs::resize_file(b.root() / (mag(2) + ".nii.gz"), 10); },
     {"echo-2_part-mag", "truncated or damaged: 10 bytes"}},
    {"NoNifti",
     [](const BidsBuilder& b) { test::write_bytes(b.root() / (mag(2) + ".nii.gz"), std::string(5000, 'x')); },
     {"echo-2_part-mag", "not a NIfTI file"}},
    {"ZeroVoxelSize",
     [](const BidsBuilder& b) {
         b.image(phase(1) + ".nii.gz", {.pixdim = {1, 0, 1}}, any_phase());
     },
     {"echo-1_part-phase", "pixdim[2] = 0", "above zero"}},
    {"NegativeVoxelSize",
     [](const BidsBuilder& b) {
         b.image(mag(1) + ".nii.gz", {.pixdim = {1, 1, -1}}, any_phase());
     },
     {"pixdim[3] = -1"}},
    {"VoxelSizeContradictsAffine",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e) {
             b.image(phase(e) + ".nii.gz", {.pixdim = {1, 1, 2}}, any_phase());
         }
     },
     {"pixdim[3] = 2", "sform says 1 mm"}},
    {"AffinesContradict",
     [](const BidsBuilder& b) {
         b.image(phase(1) + ".nii.gz", {.qform_code = 1, .qform = {0.1, 0, 0, 0, 0, 0}}, any_phase());
     },
     {"sform = code 1", "sform and qform disagree", "B0"}},
    {"AffineIsSheared",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e)
             for (const auto& file : {phase(e), mag(e)})
                 b.image(file + ".nii.gz", {.sform = {0.96, 0, 0, 0, 0, 1, 0, 0, 0.28, 0, 1, 0}}, any_phase());
         for (int e = 2; e <= 3; ++e)
             for (const auto& file : {phase(e), mag(e)}) b.remove(file + ".nii.gz");
         b.remove(mag(1) + ".nii.gz");
     },
     {"echo-1_part-phase", "sform (srow_x, y, z) = axes 1 and 3 at 73.7", "right angle"}},
    {"SeveralVolumesInOneEcho",
     [](const BidsBuilder& b) {
         b.image(phase(2) + ".nii.gz", {.dim = {3, 4, 5, 2}, .pixdim = {1, 1, 1, 1}},
                 BidsBuilder::ramp(-3, 3, 120));
         b.remove(mag(2) + ".nii.gz");
         b.remove(mag(3) + ".nii.gz");
         b.remove(phase(3) + ".nii.gz");
     },
     {"dim[4] = 2", "several volumes"}},
    {"UnknownUnits",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e)
             b.json(phase(e) + ".json",
                    {{"EchoTime", .005 * e}, {"MagneticFieldStrength", 3}, {"Units", "degC"}});
     },
     {"Units = degC", "unknown unit", "--phase-units"}},
    {"UnitsOfNoText",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e)
             b.json(phase(e) + ".json", {{"EchoTime", .005 * e}, {"MagneticFieldStrength", 3}, {"Units", 5}});
     },
     {"Units = 5", "unknown unit"}},
    {"IntegersCalledRadians",
     [](const BidsBuilder& b) {
         b.integers(phase(2) + ".nii.gz", {}, BidsBuilder::ramp<std::int16_t>(-4096, 4095));
     },
     {"echo-2_part-phase", "Units = rad", "integers without a slope"}},
    {"SidecarIsNoJson",
     [](const BidsBuilder& b) {
         test::write_bytes(b.root() / (phase(2) + ".json"), "{\"EchoTime\": 0.01,");
         b.json(mag(2) + ".json", {{"EchoTime", .01}, {"MagneticFieldStrength", 3}, {"Units", "rad"}});
     },
     {"echo-2_part-phase_MEGRE.json", "not valid JSON at byte"}},
    {"LinkToNothing",
     [](const BidsBuilder& b) {
         b.remove(mag(2) + ".nii.gz");
         fs::create_symlink("/none/annex", b.root() / (mag(2) + ".nii.gz"));
     },
     {"echo-2_part-mag", "symbolic link to nothing", "datalad get"}},
    {"SidecarIsALinkToNothing",
     [](const BidsBuilder& b) {
         for (const auto& file : {phase(2), mag(2)}) b.remove(file + ".json");
         fs::create_symlink("/none/annex", b.root() / (phase(2) + ".json"));
     },
     {"echo-2_part-phase_MEGRE.json", "symbolic link to nothing", "datalad get"}},
    {"OneSlice",
     [](const BidsBuilder& b) {
         for (int e = 1; e <= 3; ++e)
             for (const auto& file : {phase(e), mag(e)})
                 b.image(file + ".nii.gz", {.dim = {8, 8}}, BidsBuilder::ramp(-3, 3, 64));
     },
     {"dim = 8x8x1", "single slice"}},
};
INSTANTIATE_TEST_SUITE_P(Each, BidsFindings, ::testing::ValuesIn(breakages),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(BidsScan, ReportsAllFindingsTogether)
{
    const BidsBuilder bids;
    bids.scan("07");
    set_times(bids, {5, 10, 15});
    bids.image(mag(3) + ".nii.gz", {.dim = {3, 4, 4}}, BidsBuilder::ramp(1, 2, 48));
    test::write_bytes(bids.root() / (mag(1) + ".nii.gz"), "");
    const std::string lines = lines_of(scan_bids(bids.root()).findings);
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 3) << lines;
}

TEST(BidsScan, ReportsEverythingThatAnEmptySidecarLacks)
{
    const BidsBuilder bids;
    bids.scan("07");
    for (int e = 1; e <= 3; ++e) {
        bids.remove(mag(e) + ".json");
        bids.json(phase(e) + ".json", nlohmann::json::object());
    }
    const ScanReport report = scan_bids(bids.root());
    const std::string lines = lines_of(report.findings);
    EXPECT_THAT(lines, HasSubstr("EchoTime = missing"));
    EXPECT_THAT(lines, HasSubstr("MagneticFieldStrength = missing"));
    EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 2) << lines;
    EXPECT_THAT(lines_of(report.findings, Severity::warning), HasSubstr("Units = missing"));
}

TEST(BidsScan, LabelsThatBidsForbidsAreRefusedAndOtherOddNamesAreNot)
{
    for (const char* label : {"a b", "\u00e91", "x_y", "x-y"}) {
        const BidsBuilder bids;
        bids.scan("07");
        bids.scan(label);
        const std::string folder = str("sub-", label, "/anat/sub-", label);
        for (const char* name : {"_T1w.nii.gz", "_run-2_T2starw.nii.gz", "_desc-a b_bold.nii.gz"})
            bids.image(folder + name, {}, any_phase());
        bids.image("sub-07/anat/notes_of_MEGRE.nii.gz", {}, any_phase());
        const ScanReport report = scan_bids(bids.root());
        EXPECT_EQ(lines_of(report.findings),
                  str("sub-", label, ": ", folder, "_echo-1_part-mag_MEGRE.nii.gz: sub = ", label,
                      ": a label that BIDS does not allow; rename files and folders: letters and digits only\n"));
        EXPECT_EQ(report.refused, std::vector<std::string>{str("sub-", label)});
        ASSERT_EQ(report.acquisitions.size(), 1u);
        EXPECT_EQ(decision_of(report, folder + "_T1w.nii.gz")->reason, "not a BIDS name");
        EXPECT_EQ(decision_of(report, folder + "_echo-2_part-phase_MEGRE.nii.gz")->use, Use::refused);
        EXPECT_EQ(lines_of(scan_bids(bids.root(), {.subjects = {"07"}}).findings), "") << "not asked for";
    }
    const BidsBuilder bids;
    bids.scan("07", 3, "acq-a b_");
    EXPECT_THAT(lines_of(scan_bids(bids.root()).findings), HasSubstr("acq = a b: a label"));
}

TEST(BidsScan, AFolderLinkThatLeadsBackShowsNoImageTwice)
{
    const BidsBuilder bids;
    bids.scan("07");
    fs::create_directory_symlink("..", bids.root() / "sub-07/anat/loop");
    fs::create_directory_symlink("..", bids.root() / "sub-07/ses-a");
    fs::create_directory_symlink("../..", bids.root() / "sub-07/anat/all");
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "");
    EXPECT_EQ(report.acquisitions.size(), 1u);
    EXPECT_EQ(report.images.size(), 6u);
    // Any other link is followed.
    fs::rename(bids.root() / "sub-07/anat", bids.root() / "elsewhere");
    fs::create_directory_symlink("../elsewhere", bids.root() / "sub-07/anat");
    EXPECT_EQ(scan_bids(bids.root()).acquisitions.size(), 1u);
}

TEST(BidsScan, TakesTheFieldFromFrequencyOrOption)
{
    const BidsBuilder bids;
    bids.scan("07");
    const auto b0 = [&](const ScanOptions& options) {
        return scan_bids(bids.root(), options).acquisitions.at(0).b0_tesla;
    };
    set_fields(bids, {{"ImagingFrequency", 127.732435554}});
    EXPECT_DOUBLE_EQ(b0({}), 3.0);
    set_fields(bids, {{"ImagingFrequency", 127732435.554}});  // hertz
    EXPECT_NEAR(b0({}), 3.0, 1e-9);
    // A "3 T" magnet at 123.259 MHz has 2.895 T, and susceptibility scales with it.
    set_fields(bids, {{"MagneticFieldStrength", 3}, {"ImagingFrequency", 123.259}});
    EXPECT_NEAR(b0({}), 2.89493, 1e-5);
    EXPECT_THAT(scan_bids(bids.root()).acquisitions.at(0).warnings.at(0), HasSubstr("ImagingFrequency"));
    EXPECT_EQ(b0({.b0_tesla = 3.0}), 3.0);
    set_fields(bids, nlohmann::json::object());
    EXPECT_EQ(b0({.b0_tesla = 7.0}), 7.0);
}

TEST(BidsScan, WarnsWhereItCanGoOn)
{
    const BidsBuilder bids;
    for (const char* subject : {"07", "08", "09", "10"})
        bids.scan(subject, subject == std::string("10") ? 2 : 3);
    bids.image(phase(1) + ".nii.gz", {.qform_code = 1, .qform = {0, 0, 0, 5, 0, 0}}, any_phase());
    for (const auto& file : {BidsBuilder::name("08", 1, "phase"), BidsBuilder::name("08", 1, "mag")}) {
        bids.image(file + ".nii.gz", {.sform_code = 0}, any_phase());
    }
    bids.image("sub-11/anat/sub-11_T2w.nii.gz", {}, any_phase());
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "");
    const std::string warnings = lines_of(report.findings, Severity::warning);
    EXPECT_THAT(warnings, HasSubstr("sub-07: sub-07/anat/sub-07_echo-1_part-phase_MEGRE.nii.gz: sform = code "
                                    "1: sform and qform disagree by a shift of 5 mm"));
    EXPECT_THAT(
        warnings,
        HasSubstr(
            "sub-08: sub-08/anat/sub-08_echo-1_part-phase_MEGRE.nii.gz: sform_code = 0: no orientation"));
    EXPECT_THAT(warnings, HasSubstr("sub-10: echo = 2: echo missing? most scans of this kind have 3 echoes"));
    EXPECT_THAT(warnings, HasSubstr("sub-11: no gradient-echo scan"));
    EXPECT_EQ(report.acquisitions.size(), 4u);
    EXPECT_THAT(report.acquisitions[3].warnings.at(0), HasSubstr("echo missing?"));
}

}  // namespace
}  // namespace qsmpi::io
