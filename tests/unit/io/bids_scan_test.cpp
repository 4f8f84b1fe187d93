#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "bids_tree_builder.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::io
{
namespace
{

using test::BidsBuilder;
using test::decision_of;
using test::lines_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(BidsScan, GroupsEchoesToScansAndSortsThem)
{
    const BidsBuilder bids;
    bids.scan("02", 2, "acq-b_run-2_");
    bids.scan("01", 3, "acq-a_run-1_", "pre");
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "");
    ASSERT_EQ(report.acquisitions.size(), 2u);
    const Acquisition& a = report.acquisitions[0];
    EXPECT_EQ(a.key, "sub-01_ses-pre_acq-a_run-1");
    EXPECT_EQ(a.prefix(), a.key);
    EXPECT_EQ(a.folder(), "sub-01/ses-pre/anat");
    EXPECT_EQ(a.suffix, "MEGRE");
    EXPECT_EQ(a.b0_tesla, 3.0);
    ASSERT_EQ(a.echoes.size(), 3u);
    EXPECT_DOUBLE_EQ(a.echoes[2].echo_time_s, 0.015);
    EXPECT_EQ(a.echoes[2].number, 3);
    EXPECT_EQ(a.echoes[1].phase.file,
              bids.root() / BidsBuilder::name("01", 2, "phase", "acq-a_run-1_", "pre").append(".nii.gz"));
    EXPECT_EQ(a.geometry.grid.dims, (Dims{3, 4, 5}));
    EXPECT_EQ(a.files().size(), 6u);
    EXPECT_EQ(report.acquisitions[1].key, "sub-02_acq-b_run-2");
    EXPECT_EQ(report.images.size(), 10u);
    EXPECT_TRUE(std::is_sorted(report.images.begin(), report.images.end(),
                               [](auto& x, auto& y) { return x.file < y.file; }));
    EXPECT_THAT(report.images[0].reason, HasSubstr("magnitude of echo 1 (5 ms)"));
}

TEST(BidsScan, SaysForEveryImageWhatBecomesOfItAndWhy)
{
    const BidsBuilder bids;
    bids.scan("01", 1);
    for (const char* name :
         {"anat/sub-01_T1w.nii.gz", "anat/sub-01_run-2_T1w.nii.gz", "func/sub-01_task-rest_bold.nii.gz",
          "anat/strange.nii", "anat/sub-01_T2starw.nii.gz", "anat/sub-02_part-mag_GRE.nii.gz",
          "anat/sub-01_QSM.nii", "anat/sub-01_T2w.nii.gz"}) {
        bids.image(std::string("sub-01/") + name, {}, BidsBuilder::ramp(0, 1));
    }
    const ScanReport report = scan_bids(bids.root());
    const auto reason = [&](const std::string& file) {
        const ImageDecision* d = decision_of(report, "sub-01/" + file);
        return d == nullptr ? "nothing said"
                            : (d->use == Use::used      ? "used: "
                               : d->use == Use::ignored ? "ignored: "
                                                        : "refused: ") +
                                  d->reason;
    };
    EXPECT_EQ(report.images.size(), 10u);
    EXPECT_EQ(reason("anat/sub-01_T1w.nii.gz"), "used: T1w of this subject");
    EXPECT_EQ(reason("anat/sub-01_run-2_T1w.nii.gz"), "ignored: another T1w is used");
    EXPECT_THAT(reason("func/sub-01_task-rest_bold.nii.gz"),
                HasSubstr("ignored: bold is not a gradient-echo suffix"));
    EXPECT_EQ(reason("anat/strange.nii"), "ignored: not a BIDS name");
    EXPECT_THAT(reason("anat/sub-01_T2starw.nii.gz"), HasSubstr("ignored: T2starw without a phase"));
    EXPECT_THAT(reason("anat/sub-02_part-mag_GRE.nii.gz"), HasSubstr("refused: the name does not fit"));
    EXPECT_THAT(reason("anat/sub-01_QSM.nii"), HasSubstr("ignored: QSM without part-"));
    EXPECT_THAT(reason("anat/sub-01_echo-1_part-mag_MEGRE.nii.gz"), HasSubstr("used: magnitude of echo 1"));
    ASSERT_EQ(report.acquisitions.size(), 1u);
    EXPECT_EQ(report.acquisitions[0].t1w.filename(), "sub-01_T1w.nii.gz");
}

TEST(BidsScan, SidecarsAreInheritedAndTheClosestWins)
{
    const BidsBuilder bids;
    bids.scan("01", 1, "acq-x_", "a");
    const std::string phase = BidsBuilder::name("01", 1, "phase", "acq-x_", "a"),
                      mag = BidsBuilder::name("01", 1, "mag", "acq-x_", "a");
    bids.remove(phase + ".json");
    bids.remove(mag + ".json");
    const auto scan_of = [&] {
        ScanReport report = scan_bids(bids.root());
        EXPECT_EQ(lines_of(report.findings), "");
        return report.acquisitions.at(0);
    };
    bids.json("MEGRE.json", {{"MagneticFieldStrength", 7}, {"EchoTime", 0.001}});
    bids.json("part-phase_MEGRE.json", {{"Units", "rad"}});
    EXPECT_DOUBLE_EQ(scan_of().echoes[0].echo_time_s, 0.001);
    bids.json("acq-x_MEGRE.json", {{"EchoTime", 0.002}});       // more entities: closer
    bids.json("acq-y_echo-1_MEGRE.json", {{"EchoTime", 0.9}});  // another scan
    EXPECT_DOUBLE_EQ(scan_of().echoes[0].echo_time_s, 0.002);
    bids.json("sub-01/sub-01_MEGRE.json", {{"EchoTime", 0.003}});
    EXPECT_DOUBLE_EQ(scan_of().echoes[0].echo_time_s, 0.003);
    bids.json("sub-01/ses-a/sub-01_ses-a_echo-1_MEGRE.json", {{"EchoTime", 0.004}});
    EXPECT_DOUBLE_EQ(scan_of().echoes[0].echo_time_s, 0.004);
    bids.json(phase + ".json", {{"EchoTime", 0.005}, {"MagneticFieldStrength", 1.5}});
    bids.json(mag + ".json", {{"EchoTime", 0.005}});
    const Acquisition closest = scan_of();
    EXPECT_DOUBLE_EQ(closest.echoes[0].echo_time_s, 0.005);
    EXPECT_EQ(closest.b0_tesla, 1.5);
    EXPECT_EQ(closest.echoes[0].phase_scaling.reason, "Units is rad");
}

TEST(BidsScan, AcceptsAStackWithTheEchoesAlongTime)
{
    const BidsBuilder bids;
    const test::NiftiSpec stack{.dim = {3, 4, 5, 3}, .pixdim = {1, 1, 1, 1}};
    bids.image("sub-01/anat/sub-01_part-mag_GRE.nii", stack, BidsBuilder::ramp(1, 9, 180));
    bids.image("sub-01/anat/sub-01_part-phase_GRE.nii.gz", stack, BidsBuilder::ramp(-3.14, 3.14, 180));
    bids.json("sub-01/anat/sub-01_GRE.json",
              {{"EchoTime", {0.004, 0.008, 0.012}}, {"MagneticFieldStrength", 3}, {"Units", "rad"}});
    ScanReport report = scan_bids(bids.root());
    ASSERT_EQ(lines_of(report.findings), "");
    Acquisition& a = report.acquisitions.at(0);
    ASSERT_EQ(a.echoes.size(), 3u);
    EXPECT_DOUBLE_EQ(a.echoes[1].echo_time_s, 0.008);
    EXPECT_EQ(a.echoes[2].phase.i_volume, 2u);
    EXPECT_EQ(a.files().size(), 2u);
    const auto echoes = read_echoes(a);
    EXPECT_FLOAT_EQ(echoes[2].magnitude[59], 9.0f);
    EXPECT_EQ(echoes[1].phase_rad[0], BidsBuilder::ramp(-3.14, 3.14, 180)[60]);
    EXPECT_EQ(scan_bids(bids.root(), {.n_echoes = 2}).acquisitions.at(0).echoes.size(), 2u);
    // Too few and too many echo times.
    for (const nlohmann::json& times :
         {nlohmann::json{0.004, 0.008}, nlohmann::json{0.004, 0.008, 0.012, 0.016}, nlohmann::json(0.004)}) {
        bids.json("sub-01/anat/sub-01_GRE.json",
                  {{"EchoTime", times}, {"MagneticFieldStrength", 3}, {"Units", "rad"}});
        const ScanReport bad = scan_bids(bids.root());
        EXPECT_THAT(lines_of(bad.findings), HasSubstr("EchoTime = " + times.dump()));
        EXPECT_THAT(bad.acquisitions, IsEmpty());
    }
    // Unopened, the sidecar's array tells the number of volumes.
    bids.json("sub-01/anat/sub-01_GRE.json",
              {{"EchoTime", {0.004, 0.008, 0.012}}, {"MagneticFieldStrength", 3}});
    EXPECT_EQ(scan_bids(bids.root(), {.open_images = false}).acquisitions.at(0).echoes.size(), 3u);
}

TEST(BidsScan, AcceptsRealAndImaginaryPairsAndPhaseAlone)
{
    const BidsBuilder bids;
    bids.image("sub-01/anat/sub-01_part-real_T2starw.nii", {}, BidsBuilder::ramp(-3, 3));
    bids.image("sub-01/anat/sub-01_part-imag_T2starw.nii", {}, BidsBuilder::ramp(4, 4.5));
    bids.image("sub-02/anat/sub-02_part-phase_T2starw.nii", {}, BidsBuilder::ramp(-3.1415, 3.1415));
    bids.json("T2starw.json", {{"EchoTime", 0.02}, {"MagneticFieldStrength", 3}});
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "");
    EXPECT_THAT(lines_of(report.findings, Severity::warning), HasSubstr("sub-02: part: no magnitude images"));
    ASSERT_EQ(report.acquisitions.size(), 2u);
    EXPECT_TRUE(report.acquisitions[0].echoes[0].real.present());
    EXPECT_TRUE(report.acquisitions[0].echoes[0].phase_scaling.settled);
    const EchoData data = read_echo(report.acquisitions[0], 0);
    EXPECT_FLOAT_EQ(data.magnitude[0], 5.0f);  // 3, 4, 5
    EXPECT_FLOAT_EQ(data.phase_rad[0], std::atan2(4.0f, -3.0f));
    bids.remove("sub-01/anat/sub-01_part-imag_T2starw.nii");
    EXPECT_THAT(lines_of(scan_bids(bids.root()).findings),
                HasSubstr("sub-01/anat/sub-01_part-imag_T2starw.nii is missing"));
}

TEST(BidsScan, KeepsScansApartThatDifferInSuffixOnly)
{
    const BidsBuilder bids;
    bids.scan("01", 1);
    bids.image("sub-01/anat/sub-01_part-phase_T2starw.nii", {}, BidsBuilder::ramp(-3.1415, 3.1415));
    bids.json("T2starw.json", {{"EchoTime", 0.02}, {"MagneticFieldStrength", 3}});
    const ScanReport report = scan_bids(bids.root());
    ASSERT_EQ(report.acquisitions.size(), 2u);
    EXPECT_EQ(report.acquisitions[0].key, "sub-01_MEGRE");
    EXPECT_EQ(report.acquisitions[1].key, "sub-01_T2starw");
    EXPECT_NE(report.acquisitions[0].prefix(), report.acquisitions[1].prefix());
}

TEST(BidsScan, SelectsByLabelsAndByFilterFile)
{
    const BidsBuilder bids;
    for (const char* subject : {"01", "02"}) {
        for (const char* run : {"acq-hi_run-1_", "acq-hi_run-02_", "acq-lo_run-1_"})
            bids.scan(subject, 1, run, "a");
    }
    const auto keys = [&](const ScanOptions& options) {
        std::vector<std::string> out;
        for (const Acquisition& a : scan_bids(bids.root(), options).acquisitions) out.push_back(a.key);
        return out;
    };
    EXPECT_EQ(keys({}).size(), 6u);
    EXPECT_EQ(keys({.subjects = {"sub-02"}}).size(), 3u);
    EXPECT_THAT(keys({.subjects = {"02"}, .runs = {"2"}}), ElementsAre("sub-02_ses-a_acq-hi_run-02"));
    EXPECT_EQ(keys({.acquisitions = {"lo"}}).size(), 2u);
    EXPECT_EQ(keys({.sessions = {"b"}}).size(), 0u);

    const ScanReport wrong = scan_bids(bids.root(), {.subjects = {"03"}});
    EXPECT_THAT(lines_of(wrong.findings), HasSubstr("--participant-label = 03: no such subject"));
    EXPECT_THAT(wrong.images.at(0).reason, HasSubstr("--participant-label"));

    bids.json("filter.json",
              {{"megre", {{"acquisition", {"hi", "mid"}}, {"run", 1}, {"reconstruction", nullptr}}},
               {"bold", {{"task", "rest"}}}});
    const ScanOptions filter{.filter_file = bids.root() / "filter.json"};
    EXPECT_THAT(keys(filter), ElementsAre("sub-01_ses-a_acq-hi_run-1", "sub-02_ses-a_acq-hi_run-1"));
    const ScanReport filtered = scan_bids(bids.root(), filter);
    EXPECT_THAT(lines_of(filtered.findings, Severity::warning), HasSubstr("bold"));
    EXPECT_THAT(filtered.images.back().reason, HasSubstr("filter file"));
    test::write_bytes(bids.root() / "filter.json", "{ no json");
    EXPECT_THAT(lines_of(scan_bids(bids.root(), filter).findings), HasSubstr("not valid JSON"));
    EXPECT_THAT(lines_of(scan_bids(bids.root(), {.filter_file = "/none.json"}).findings),
                HasSubstr("cannot read"));
}

TEST(BidsScan, UsesTheFirstEchoesWhenAsked)
{
    const BidsBuilder bids;
    bids.scan("01", 4);
    test::write_bytes(bids.root() / (BidsBuilder::name("01", 4, "phase") + ".nii.gz"),
                      "broken, but not asked for");
    const ScanReport report = scan_bids(bids.root(), {.n_echoes = 2});
    ASSERT_EQ(report.acquisitions.size(), 1u) << lines_of(report.findings);
    EXPECT_EQ(report.acquisitions[0].echoes.size(), 2u);
    EXPECT_THAT(decision_of(report, BidsBuilder::name("01", 3, "mag") + ".nii.gz")->reason,
                HasSubstr("beyond --n-echoes 2"));
    EXPECT_THAT(lines_of(scan_bids(bids.root(), {.n_echoes = 5}).findings),
                HasSubstr("--n-echoes = 5: this scan has 4 echoes"));
}

TEST(BidsScan, PlansTheEmptyExamplesWithoutOpeningThem)
{
    const std::string examples = QSMPI_SHARED_DATA "/data/bids-examples/";
    if (!fs::exists(examples)) GTEST_SKIP() << "no shared data here";
    const ScanReport qsm = scan_bids(examples + "qmri_qsm", {.open_images = false});
    ASSERT_EQ(qsm.acquisitions.size(), 1u) << lines_of(qsm.findings);
    EXPECT_EQ(qsm.acquisitions[0].key, "sub-01");
    EXPECT_DOUBLE_EQ(qsm.acquisitions[0].echoes.at(0).echo_time_s, 0.0081);
    EXPECT_EQ(qsm.images.size(), 2u) << "derivatives are not walked";

    const ScanReport megre = scan_bids(examples + "qmri_megre", {.open_images = false});
    EXPECT_THAT(megre.acquisitions, IsEmpty());
    EXPECT_THAT(lines_of(megre.findings), HasSubstr("magnitude only"));
    EXPECT_EQ(megre.images.size(), 8u);
    EXPECT_EQ(megre.images[0].use, Use::refused);

    const ScanReport mp2rage = scan_bids(examples + "qmri_mp2rage", {.open_images = false});
    EXPECT_EQ(lines_of(mp2rage.findings), "");
    EXPECT_THAT(mp2rage.images.at(0).reason, HasSubstr("not a gradient-echo suffix"));

    const ScanReport opened = scan_bids(examples + "qmri_qsm");
    EXPECT_THAT(lines_of(opened.findings),
                HasSubstr("sub-01/anat/sub-01_part-phase_T1w.nii: the file is empty"));
    EXPECT_EQ(opened.images.at(1).use, Use::refused);
}

TEST(BidsScan, TakesRealDataOfTwoVendors)
{
    const std::string data = QSMPI_SHARED_DATA "/data/";
    if (!fs::exists(data)) GTEST_SKIP() << "no shared data here";
    const BidsBuilder bids;
    fs::create_directories(bids.root() / "sub-ph/anat");
    fs::create_directories(bids.root() / "sub-si/anat");
    for (const std::string e : {"1", "2"}) {
        for (const bool phase : {false, true}) {
            const std::string philips =
                data + "dicom-philips-classic-brain-2echo/Ref/2001_WIP_fcMRI_Field_Mapping_cl_e" + e +
                (phase ? "_ph" : "");
            const std::string siemens =
                data + "gre-2echo-phantom-fmap/sub-fieldmap_" + (phase ? "phase" : "magnitude") + e;
            for (const char* extension : {".nii.gz", ".json"}) {
                const std::string part = std::string(phase ? "phase" : "mag");
                fs::copy_file(philips + extension,
                              bids.root() / (BidsBuilder::name("ph", std::stoi(e), part) + extension));
                fs::copy_file(siemens + extension,
                              bids.root() / (BidsBuilder::name("si", std::stoi(e), part) + extension));
            }
        }
    }
    ScanReport report = scan_bids(bids.root());
    ASSERT_EQ(report.acquisitions.size(), 2u) << lines_of(report.findings);
    Acquisition &philips = report.acquisitions[0], &siemens = report.acquisitions[1];
    EXPECT_EQ(philips.echoes[0].phase_scaling.convention, "rad");
    EXPECT_THAT(philips.echoes[0].phase_scaling.reason, HasSubstr("slope"));
    EXPECT_EQ(philips.b0_tesla, 3.0);  // ImagingFrequency agrees to 1e-4
    EXPECT_THAT(philips.geometry.affine()[0][1], ::testing::DoubleNear(-0.1158, 1e-4));
    EXPECT_EQ(lines_of(check_contents(philips)), "");
    // Siemens without slope: 0..4095, settled by the vendor and the values together; then 2.895 T, not 3.
    EXPECT_FALSE(siemens.echoes[0].phase_scaling.settled);
    EXPECT_THROW((void)read_echo(siemens, 0), InputError);
    EXPECT_EQ(lines_of(check_contents(siemens)), "");
    EXPECT_EQ(siemens.echoes[1].phase_scaling.convention, "siemens-unsigned");
    EXPECT_NEAR(siemens.b0_tesla, 2.89493, 1e-5);
    const EchoData echo = read_echo(siemens, 1);
    const auto [low, high] = std::minmax_element(echo.phase_rad.begin(), echo.phase_rad.end());
    EXPECT_NEAR(*low, -std::numbers::pi, 1e-6);
    EXPECT_NEAR(*high, std::numbers::pi, 2 * std::numbers::pi / 4096 + 1e-6);
}

TEST(BidsScan, WalksAndPlansManySubjectsInTime)
{
    // The promise is 10,000 subjects of 8 empty images within 10 s; 40 of them here, with room for a busy
    // machine.
    const BidsBuilder bids;
    bids.json("part-phase_MEGRE.json", {{"Units", "rad"}});
    for (int s = 0; s < 40; ++s) {
        const std::string subject = std::to_string(1000 + s);
        for (int e = 1; e <= 4; ++e) {
            for (const std::string part : {"mag", "phase"}) {
                const std::string base = BidsBuilder::name(subject, e, part);
                test::write_bytes(bids.root() / (base + ".nii.gz"), "");
                bids.json(base + ".json", {{"EchoTime", 0.004 * e}, {"MagneticFieldStrength", 3}});
            }
        }
    }
    const auto start = std::chrono::steady_clock::now();
    const ScanReport report = scan_bids(bids.root(), {.open_images = false});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    EXPECT_EQ(report.acquisitions.size(), 40u);
    EXPECT_EQ(report.images.size(), 320u);
    EXPECT_LT(seconds, 0.5);
    RecordProperty("seconds", std::to_string(seconds));
}

TEST(BidsScan, GivesTheSameReportForAnyNumberOfThreads)
{
    const BidsBuilder bids;
    for (int s = 10; s < 30; ++s) bids.scan(std::to_string(s), s % 3 + 1);
    const auto text_with = [&](int n_threads) {
        parallel::set_threads(n_threads);
        const ScanReport report = scan_bids(bids.root());
        const nlohmann::json j{{"a", report.acquisitions}, {"i", report.images}, {"f", report.findings}};
        return j.dump();
    };
    const std::string one = text_with(1);
    EXPECT_EQ(text_with(4), one);
}

TEST(BidsScan, RefusesAFolderThatIsNoDataSet)
{
    const BidsBuilder bids;
    EXPECT_THAT(lines_of(scan_bids(bids.root()).findings), HasSubstr("no folder named sub-*"));
    EXPECT_THROW((void)scan_bids(bids.root() / "none"), IoError);
}

TEST(Acquisition, SurvivesJson)
{
    const BidsBuilder bids;
    bids.scan("01", 2, "acq-a_", "x");
    Acquisition a = scan_bids(bids.root()).acquisitions.at(0);
    a.warnings = {"a warning"};
    a.t1w = "/some/where.nii";
    a.geometry.sform[0][3] = -0.1f;
    a.geometry.qform[0] = -0.0f;
    a.echoes[0].phase_scaling.slope = 0.1;
    const nlohmann::json j = a;
    const Acquisition b = nlohmann::json::parse(j.dump()).get<Acquisition>();
    EXPECT_EQ(b.geometry, a.geometry);
    EXPECT_TRUE(std::signbit(b.geometry.qform[0]));
    EXPECT_EQ(b.echoes[0].phase_scaling.slope, 0.1);
    EXPECT_EQ(nlohmann::json(b).dump(), j.dump());
    EXPECT_EQ(b.files(), a.files());
}

}  // namespace
}  // namespace qsmpi::io
