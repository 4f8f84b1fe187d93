#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bids_tree_builder.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::io
{
namespace
{

using test::BidsBuilder;
using test::lines_of;
using test::NiftiSpec;
using ::testing::HasSubstr;

constexpr double pi = std::numbers::pi;

/// A scan of one or more echoes whose phase is stored in some way.
class PhaseScalingTest : public ::testing::Test
{
protected:
    void floats(int echo, const std::vector<float>& voxels) { bids_.image(phase(echo), {}, voxels); }
    void integers(int echo, const std::vector<std::int16_t>& voxels, double slope = 0, double inter = 0)
    {
        bids_.integers(phase(echo), {.slope = slope, .inter = inter}, voxels);
    }
    void sidecar(nlohmann::json extra)
    {
        for (int e = 1; e <= 3; ++e) {
            nlohmann::json j{{"EchoTime", 0.005 * e}, {"MagneticFieldStrength", 3}};
            j.update(extra);
            bids_.json("sub-01/anat/sub-01_echo-" + std::to_string(e) + "_MEGRE.json", j);
        }
    }
    static std::string phase(int echo) { return BidsBuilder::name("01", echo, "phase") + ".nii.gz"; }
    /// Scan and contents; errors of both in errors_.
    Acquisition settle(const std::string& phase_units = "auto")
    {
        ScanReport report = scan_bids(bids_.root(), {.phase_units = phase_units});
        errors_ = lines_of(report.findings);
        warnings_ = lines_of(report.findings, Severity::warning);
        if (report.acquisitions.empty()) return {};
        const auto findings = check_contents(report.acquisitions[0]);
        errors_ += lines_of(findings);
        warnings_ += lines_of(findings, Severity::warning);
        return std::move(report.acquisitions[0]);
    }
    BidsBuilder bids_;
    std::string errors_, warnings_;
};

TEST_F(PhaseScalingTest, UnitsInTheSidecarDecide)
{
    floats(1, BidsBuilder::ramp(-180, 179));
    sidecar({{"Units", "degrees"}});
    Acquisition a = settle();
    EXPECT_EQ(errors_, "");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], -pi, 1e-6);
    EXPECT_NEAR(read_echo(a, 0).phase_rad[59], 179 * pi / 180, 1e-6);
    EXPECT_FALSE(a.echoes[0].phase_scaling.assumed);
    floats(1, BidsBuilder::ramp(-3141, 3141));
    sidecar({{"Units", "mrad"}});
    EXPECT_NEAR(read_echo(settle(), 0).phase_rad[59], 3.141, 1e-6);
}

TEST_F(PhaseScalingTest, RadiansInRangeKeepTheirBitsAndOthersAreWrapped)
{
    const auto in = BidsBuilder::ramp(-3.14, 3.14);
    floats(1, in);
    sidecar({{"Units", "rad"}});
    EchoData data = read_echo(settle(), 0);
    for (std::size_t i = 0; i < in.size(); ++i) ASSERT_EQ(data.phase_rad[i], in[i]);

    const auto wide = BidsBuilder::ramp(-20, 20);
    floats(1, wide);
    data = read_echo(settle(), 0);
    EXPECT_THAT(warnings_, HasSubstr("radians beyond one turn"));
    for (std::size_t i = 0; i < wide.size(); ++i) {
        ASSERT_GE(data.phase_rad[i], -static_cast<float>(pi));
        ASSERT_LT(data.phase_rad[i], static_cast<float>(pi));
        // Wrapping keeps the phasor; floats at 20 rad have steps of 2e-6.
        ASSERT_NEAR(std::cos(data.phase_rad[i]), std::cos(wide[i]), 4e-6);
        ASSERT_NEAR(std::sin(data.phase_rad[i]), std::sin(wide[i]), 4e-6);
    }
    // Exactly pi belongs to the other end.
    auto ends = BidsBuilder::ramp(-pi, pi);
    floats(1, ends);
    data = read_echo(settle(), 0);
    EXPECT_EQ(data.phase_rad[59], -static_cast<float>(pi));
    EXPECT_EQ(data.phase_rad[0], -static_cast<float>(pi));
}

TEST_F(PhaseScalingTest, SiemensIntegersAreToldApartByVendorAndSign)
{
    sidecar({{"Manufacturer", "Siemens"}});
    integers(1, BidsBuilder::ramp<std::int16_t>(-4096, 4095));
    Acquisition a = settle();
    EXPECT_EQ(errors_, "");
    EXPECT_EQ(a.echoes[0].phase_scaling.convention, "siemens");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[59], 4095 * pi / 4096, 1e-6);
    // round(angle / pi * 4096) may reach +4096, which is -pi.
    integers(1, BidsBuilder::ramp<std::int16_t>(-4096, 4096));
    a = settle();
    EXPECT_EQ(a.echoes[0].phase_scaling.convention, "siemens");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[59], -pi, 1e-6);

    integers(1, BidsBuilder::ramp<std::int16_t>(0, 4095));
    a = settle();
    EXPECT_EQ(a.echoes[0].phase_scaling.convention, "siemens-unsigned");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], -pi, 1e-6);
    EXPECT_NEAR(read_echo(a, 0).phase_rad[59], 2047 * pi / 2048, 1e-6);

    // A few hundred at the bottom of the range could be either.
    integers(1, BidsBuilder::ramp<std::int16_t>(0, 400));
    settle();
    EXPECT_THAT(errors_, HasSubstr("phase in an unknown unit: values 0..400"));
    EXPECT_THAT(errors_, HasSubstr("--phase-units"));
}

TEST_F(PhaseScalingTest, SlopeAndInterceptDecideWhatTwelveBitsStandFor)
{
    sidecar({{"Manufacturer", "Siemens"}});
    integers(1, BidsBuilder::ramp<std::int16_t>(100, 3000), 2, -4096);
    Acquisition a = settle();
    EXPECT_EQ(errors_, "");
    EXPECT_EQ(a.echoes[0].phase_scaling.convention, "siemens");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], (200 - 4096) * pi / 4096, 1e-6);

    sidecar({{"Manufacturer", "Philips"}});
    integers(1, BidsBuilder::ramp<std::int16_t>(100, 3000), 1.53455, -3142);
    a = settle();
    EXPECT_EQ(a.echoes[0].phase_scaling.convention, "milliradian");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], (153.455 - 3142) / 1000, 1e-6);
    integers(1, BidsBuilder::ramp<std::int16_t>(100, 3000), 2 * pi / 4095, -pi);
    EXPECT_EQ(settle().echoes[0].phase_scaling.convention, "rad");
    EXPECT_FALSE(settle().echoes[0].phase_scaling.assumed);
}

TEST_F(PhaseScalingTest, GePhaseIsTurnedAndSaidToBe)
{
    sidecar({{"Manufacturer", "GE MEDICAL SYSTEMS"}});
    integers(1, BidsBuilder::ramp<std::int16_t>(-3142, 3142));
    const Acquisition a = settle();
    EXPECT_EQ(errors_, "");
    EXPECT_THAT(warnings_, HasSubstr("GE"));
    EXPECT_DOUBLE_EQ(a.echoes[0].phase_scaling.slope, -1e-3);
    EXPECT_NEAR(read_echo(a, 0).phase_rad[10], -(-3142 + 6284 * 10 / 59) / 1000.0, 2e-3);
}

TEST_F(PhaseScalingTest, WithoutFactsOnlyAFullTurnIsTaken)
{
    sidecar(nlohmann::json::object());
    const auto convention = [&](double low, double high) {
        floats(1, BidsBuilder::ramp(low, high));
        const Acquisition a = settle();
        return errors_.empty() ? a.echoes.at(0).phase_scaling.convention : "refused";
    };
    EXPECT_EQ(convention(-pi, pi), "rad");
    EXPECT_THAT(warnings_, HasSubstr("phase taken as rad"));
    EXPECT_EQ(convention(0, 2 * pi), "rad");
    EXPECT_EQ(convention(-3141.6, 3141.6), "milliradian");
    EXPECT_EQ(convention(-4096, 4094), "siemens");
    EXPECT_EQ(convention(0, 4095), "siemens-unsigned");
    for (const auto& [low, high] :
         {std::pair{-0.003674, 0.003674}, std::pair{-1.0, 1.0}, std::pair{-2.0, 2.0},
          std::pair{-180.0, 180.0}, std::pair{0.0, 65535.0}, std::pair{-4.0, 4.0}}) {
        EXPECT_EQ(convention(low, high), "refused") << low;
    }
}

TEST_F(PhaseScalingTest, TheRangeIsThatOfAllEchoesTogether)
{
    // No echo by itself spans a turn; together they do, and minmax maps both extremes of all echoes.
    sidecar(nlohmann::json::object());
    floats(1, BidsBuilder::ramp(-0.5, 0.25));
    floats(2, BidsBuilder::ramp(-1, 0));
    floats(3, BidsBuilder::ramp(0, 1));
    settle();
    EXPECT_THAT(errors_, HasSubstr("values -1..1 fit no convention"));
    Acquisition a = settle("minmax");
    EXPECT_EQ(errors_, "");
    EXPECT_TRUE(a.echoes[0].phase_scaling.assumed);
    EXPECT_NEAR(a.echoes[0].phase_scaling.slope, pi, 1e-12);
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], -0.5 * pi, 1e-6);
    EXPECT_NEAR(read_echo(a, 1).phase_rad[59], 0.0, 1e-6);
}

TEST_F(PhaseScalingTest, IntegersOfAnotherTurnThanTheVendorsAreSaidToBeNarrow)
{
    sidecar({{"Manufacturer", "Siemens"}});
    for (int e = 1; e <= 3; ++e) integers(e, BidsBuilder::ramp<std::int16_t>(-3143 + e, 3142));
    settle();
    EXPECT_EQ(errors_, "");
    // 6284 of 8192 levels of a circle of 6.28.
    EXPECT_THAT(warnings_, HasSubstr("phase = -3142..3142: spans 4.81977 rad as siemens, not a full circle of 6.28"));
    EXPECT_THAT(warnings_, HasSubstr("--phase-units"));
    for (int e = 1; e <= 3; ++e) integers(e, BidsBuilder::ramp<std::int16_t>(-4090, 4095));
    settle();
    EXPECT_EQ(warnings_.find("circle"), std::string::npos) << warnings_;
}

TEST_F(PhaseScalingTest, EchoesStoredInDifferentWaysAreRefused)
{
    for (const char* manufacturer : {"Siemens", ""}) {
        sidecar({{"Manufacturer", manufacturer}});
        integers(1, BidsBuilder::ramp<std::int16_t>(-3142, 3142));
        integers(2, BidsBuilder::ramp<std::int16_t>(-4096, 4095));
        integers(3, BidsBuilder::ramp<std::int16_t>(-4096, 4094));
        settle();
        EXPECT_THAT(errors_, HasSubstr("echo-1_part-phase_MEGRE.nii.gz: phase = -3142..3142: a full turn as milliradian"));
        EXPECT_EQ(errors_.find("echo-2"), std::string::npos) << errors_;
        // A first echo of a masked head may reach less of the circle; it fits no other convention.
        integers(1, BidsBuilder::ramp<std::int16_t>(-2500, 2700));
        settle();
        EXPECT_EQ(errors_, "");
    }
}

TEST_F(PhaseScalingTest, AnExplicitOptionOverridesTheSidecar)
{
    sidecar({{"Units", "degC"}});
    integers(1, BidsBuilder::ramp<std::int16_t>(0, 400));
    Acquisition a = settle("siemens-unsigned");
    EXPECT_EQ(errors_, "");
    EXPECT_NEAR(read_echo(a, 0).phase_rad[0], -pi, 1e-6);
    EXPECT_THAT(a.echoes[0].phase_scaling.reason, HasSubstr("--phase-units"));
    settle("radian");
    EXPECT_THAT(errors_, HasSubstr("--phase-units = radian"));
}

TEST_F(PhaseScalingTest, ValuesThatContradictTheDecisionAreRefused)
{
    sidecar({{"Units", "rad"}});
    floats(1, BidsBuilder::ramp(-4096, 4095));
    settle();
    EXPECT_THAT(errors_, HasSubstr("contradict the scaling (Units is rad)"));
    sidecar({{"Units", "mrad"}});
    settle();
    EXPECT_EQ(errors_, "");  // 4.096 rad: a little more than half a turn, wrapped
    sidecar({{"Units", "deg"}});
    settle();
    EXPECT_THAT(errors_, HasSubstr("contradict"));
    sidecar({{"Units", "rad"}});
    floats(1, BidsBuilder::ramp(-0.003, 0.003));
    settle();
    EXPECT_THAT(warnings_, HasSubstr("spans only"));
}

TEST_F(PhaseScalingTest, TheRealCropIsRefusedUntilTheUserDecides)
{
    const std::string crop = QSMPI_SHARED_DATA "/data/gre-3echo-brain-crop/";
    if (!fs::exists(crop)) GTEST_SKIP() << "no shared data here";
    const BidsBuilder bids;
    fs::create_directories(bids.root() / "sub-01/anat");
    fs::copy_file(crop + "Mag.nii", bids.root() / "sub-01/anat/sub-01_part-mag_MEGRE.nii");
    fs::copy_file(crop + "Phase.nii", bids.root() / "sub-01/anat/sub-01_part-phase_MEGRE.nii");
    bids.json("MEGRE.json", {{"EchoTime", {0.004, 0.008, 0.012}}, {"MagneticFieldStrength", 7}});
    ScanReport report = scan_bids(bids.root());
    ASSERT_EQ(lines_of(report.findings), "");
    EXPECT_THROW((void)read_echoes(report.acquisitions.at(0)), InputError);
    EXPECT_THAT(lines_of(check_contents(report.acquisitions.at(0))), HasSubstr("phase in an unknown unit"));

    Acquisition a = scan_bids(bids.root(), {.phase_units = "minmax"}).acquisitions.at(0);
    const auto echoes = read_echoes(a);
    ASSERT_EQ(echoes.size(), 3u);
    EXPECT_NEAR(a.echoes[2].phase_scaling.slope, pi / 0.0036743771, 1e-3);
    EXPECT_EQ(echoes[1].phase_rad.dims(), (Dims{51, 51, 41}));
    for (const EchoData& e : echoes) EXPECT_TRUE(test::all_finite(e.phase_rad));
}

TEST_F(PhaseScalingTest, NanAndConstantImagesAreJudged)
{
    sidecar({{"Units", "rad"}});
    const auto good = BidsBuilder::ramp(-3, 3);
    const auto with = [&](const std::vector<float>& phase_voxels, const std::vector<float>& mag_voxels) {
        floats(1, phase_voxels);
        bids_.image(BidsBuilder::name("01", 1, "mag") + ".nii.gz", {}, mag_voxels);
        return settle();
    };
    auto corner = good;
    corner[0] = std::nanf("");
    corner[1] = INFINITY;
    auto mag = BidsBuilder::ramp(1, 9);
    mag[2] = -INFINITY;
    const Acquisition a = with(corner, mag);
    EXPECT_EQ(errors_, "");
    EXPECT_THAT(warnings_,
                HasSubstr("phase = 2 of 60 voxels: 3.3 % of the voxels are NaN or infinite: set to 0"));
    EXPECT_THAT(a.warnings, ::testing::Contains(HasSubstr("NaN")));
    const EchoData data = read_echo(a, 0);
    for (const std::size_t i : {0u, 1u, 2u}) {
        EXPECT_EQ(data.phase_rad[i], 0.0f) << i;
        EXPECT_EQ(data.magnitude[i], 0.0f) << i;
    }
    EXPECT_EQ(data.phase_rad[3], good[3]);

    with(std::vector<float>(60, std::nanf("")), mag);
    EXPECT_THAT(errors_, HasSubstr("100 % of the voxels are NaN"));
    with(std::vector<float>(60, 0.0f), mag);
    EXPECT_THAT(errors_, HasSubstr("phase = 0: all voxels are zero"));
    with(std::vector<float>(60, 1.5f), mag);
    EXPECT_THAT(errors_, HasSubstr("phase = 1.5: all voxels are equal"));
    with(good, std::vector<float>(60, 0.0f));
    EXPECT_THAT(errors_, HasSubstr("magnitude = 0: all voxels are zero"));
    EXPECT_THAT(errors_, HasSubstr("echo-1_part-mag"));
    with(good, std::vector<float>(60, 7.0f));
    EXPECT_EQ(errors_, "") << "a magnitude without contrast is poor, not wrong";
}

TEST_F(PhaseScalingTest, DamageAfterTheScanIsAFindingNotAnException)
{
    sidecar({{"Units", "rad"}});
    floats(1, BidsBuilder::ramp(-3, 3));
    floats(2, BidsBuilder::ramp(-3, 3));
    Acquisition a = scan_bids(bids_.root()).acquisitions.at(0);
    bids_.remove(phase(1));
    fs::resize_file(bids_.root() / phase(2), 100);
    const std::string lines = lines_of(check_contents(a));
    EXPECT_THAT(lines, HasSubstr("No such file"));
    EXPECT_THAT(lines, HasSubstr("truncated"));
    EXPECT_THROW((void)read_echo(a, 0), Error);
    EXPECT_THROW((void)read_echo(a, 9), InputError);
}

TEST_F(PhaseScalingTest, EchoesAreTheSameBitsOneByOneAllTogetherAndWithAnyThreads)
{
    sidecar({{"Units", "mrad"}});
    for (int e = 1; e <= 3; ++e) {
        floats(e, BidsBuilder::ramp(-2000 * e, 4000));
        bids_.image(BidsBuilder::name("01", e, "mag") + ".nii.gz", {}, BidsBuilder::ramp(1, e + 1));
    }
    Acquisition a = scan_bids(bids_.root()).acquisitions.at(0);
    a.echoes[0].phase_scaling.intercept = 0.1;
    parallel::set_threads(1);
    const auto one = read_echoes(a);
    parallel::set_threads(4);
    const auto four = read_echoes(a);
    for (std::size_t e = 0; e < 3; ++e) {
        const EchoData single = read_echo(a, e);
        EXPECT_TRUE(std::equal(one[e].phase_rad.begin(), one[e].phase_rad.end(), four[e].phase_rad.begin()));
        EXPECT_TRUE(std::equal(one[e].phase_rad.begin(), one[e].phase_rad.end(), single.phase_rad.begin()));
        EXPECT_TRUE(std::equal(one[e].magnitude.begin(), one[e].magnitude.end(), single.magnitude.begin()));
    }
}

}  // namespace
}  // namespace qsmpi::io
