// Echoes that lack something.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "bids_tree_builder.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{
namespace
{

using test::BidsBuilder;
using test::lines_of;
using test::mag;
using test::phase;
using test::set_times;
using ::testing::StartsWith;

struct Gap {
    const char* name;
    std::function<void(const BidsBuilder&)> damage;
    int echo;
    std::string lack;
};
void PrintTo(const Gap& gap, std::ostream* out)
{
    *out << gap.name;
}
class BidsGaps : public ::testing::TestWithParam<Gap>
{
};

TEST_P(BidsGaps, LeaveOneEchoToTheOthersAndNameExactlyWhatIsMissing)
{
    const BidsBuilder bids;
    bids.scan("07");
    GetParam().damage(bids);
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "");
    const std::string problem =
        "echo " + std::to_string(GetParam().echo) + " is left out: " + GetParam().lack;
    EXPECT_EQ(lines_of(report.findings, Severity::warning), "sub-07: " + problem + "; add what is missing\n");
    ASSERT_EQ(report.acquisitions.size(), 1u);
    const Acquisition& a = report.acquisitions[0];
    EXPECT_EQ(a.warnings, std::vector<std::string>{problem}) << "for the sidecar of the map";
    ASSERT_EQ(a.echoes.size(), 2u);
    for (const Echo& echo : a.echoes) {
        EXPECT_NE(echo.number, GetParam().echo);
        EXPECT_DOUBLE_EQ(echo.echo_time_s, 0.005 * echo.number);
        EXPECT_EQ(echo.phase.file, bids.root() / (phase(echo.number) + ".nii.gz"));
        EXPECT_EQ(echo.magnitude.file, bids.root() / (mag(echo.number) + ".nii.gz"));
    }
    for (const ImageDecision& d : report.images) {
        const bool left_out = d.file.find(str("echo-", GetParam().echo)) != std::string::npos;
        EXPECT_EQ(d.use, left_out ? Use::ignored : Use::used) << d.file;
        if (left_out) {
            EXPECT_EQ(d.reason, problem);
        }
    }
}

const std::vector<Gap> gaps{
    {"MiddleEcho",
     [](const BidsBuilder& b) {
         b.remove(phase(2) + ".nii.gz");
         b.remove(mag(2) + ".nii.gz");
     },
     2,
     phase(2) + ".nii.gz and " + mag(2) + ".nii.gz are missing"},
    {"FirstEcho",
     [](const BidsBuilder& b) {
         b.remove(phase(1) + ".nii.gz");
         b.remove(mag(1) + ".nii.gz");
     },
     1,
     phase(1) + ".nii.gz and " + mag(1) + ".nii.gz are missing"},
    {"Phase", [](const BidsBuilder& b) { b.remove(phase(2) + ".nii.gz"); }, 2, phase(2) + ".nii.gz is missing"},
    {"Magnitude", [](const BidsBuilder& b) { b.remove(mag(1) + ".nii.gz"); }, 1, mag(1) + ".nii.gz is missing"},
    {"LastPhase", [](const BidsBuilder& b) { b.remove(phase(3) + ".nii.gz"); }, 3, phase(3) + ".nii.gz is missing"},
    {"Sidecars",
     [](const BidsBuilder& b) {
         b.remove(phase(2) + ".json");
         b.remove(mag(2) + ".json");
     },
     2, "there is no EchoTime in " + mag(2) + ".json"},
    {"EchoTime",
     [](const BidsBuilder& b) {
         set_times(b, {.005, nullptr, .015});
     },
     2, "there is no EchoTime in " + mag(2) + ".json"},
    {"PhaseOfADamagedMagnitude",
     [](const BidsBuilder& b) {
         b.remove(phase(2) + ".nii.gz");
         test::write_bytes(b.root() / (mag(2) + ".nii.gz"), "");
     },
     2, phase(2) + ".nii.gz is missing"},
};
INSTANTIATE_TEST_SUITE_P(Each, BidsGaps, ::testing::ValuesIn(gaps),
                         [](const auto& i) { return std::string(i.param.name); });

TEST(BidsScan, NamesTheMissingImagesOfAScanWithoutAWholeEcho)
{
    const BidsBuilder bids;
    bids.scan("07");
    for (const int e : {1, 3}) bids.remove(phase(e) + ".nii.gz");
    bids.remove(mag(2) + ".nii.gz");
    const ScanReport report = scan_bids(bids.root());
    EXPECT_EQ(lines_of(report.findings), "sub-07: echo = 1: " + phase(1) + ".nii.gz is missing; add what is missing\n" +
                                             "sub-07: echo = 2: " + mag(2) + ".nii.gz is missing; add what is missing\n" +
                                             "sub-07: echo = 3: " + phase(3) + ".nii.gz is missing; add what is missing\n");
    for (const ImageDecision& d : report.images) EXPECT_THAT(d.reason, StartsWith("its scan is refused: echo = 1: "));
}

TEST(BidsScan, CountsTheFirstEchoesByTheirNumber)
{
    const BidsBuilder bids;
    bids.scan("07", 4);
    bids.remove(phase(2) + ".nii.gz");
    const ScanReport report = scan_bids(bids.root(), {.n_echoes = 3});
    ASSERT_EQ(report.acquisitions.size(), 1u) << lines_of(report.findings);
    ASSERT_EQ(report.acquisitions[0].echoes.size(), 2u);
    EXPECT_EQ(report.acquisitions[0].echoes[1].number, 3);
}

TEST(BidsScan, NamesTheLastEchoThatIsWantedIfItIsMissing)
{
    const BidsBuilder bids;
    bids.scan("07", 4);
    bids.remove(phase(3) + ".nii.gz");
    bids.remove(mag(3) + ".nii.gz");
    const ScanReport report = scan_bids(bids.root(), {.n_echoes = 3});
    ASSERT_EQ(report.acquisitions.size(), 1u) << lines_of(report.findings);
    EXPECT_EQ(report.acquisitions[0].warnings,
              std::vector<std::string>{"echo 3 is left out: " + phase(3) + ".nii.gz and " + mag(3) + ".nii.gz are missing"});
}

TEST(BidsScan, RefusesNumbersThatAreNoEchoes)
{
    const BidsBuilder bids;
    bids.scan("07");
    for (const char* end : {".nii.gz", ".json"})
        for (const auto& name : {phase(3), mag(3)}) {
            std::string to = name;
            to.replace(to.find("echo-3"), 6, "echo-20240101");
            std::filesystem::rename(bids.root() / (name + end), bids.root() / (to + end));
        }
    const ScanReport report = scan_bids(bids.root());
    EXPECT_TRUE(report.acquisitions.empty());
    EXPECT_THAT(lines_of(report.findings), ::testing::HasSubstr("no scan has so many echoes"));
}

}  // namespace
}  // namespace qsmpi::io
