// Two passes against the streaks of a source that is too strong to be measured.
#include <algorithm>
#include <cmath>

#include "job_support.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// Standard deviation in the head outside the ball, where the truth is 0.
double streaks_ppm(const JobSpec& spec)
{
    const VolumeF chi = io::read_image(image_of(spec, "Chimap")).data;
    const Mask tissue = test::mask_from(chi.grid(), [](const Vec3& r) {
        const double d = std::hypot(r[0], r[1], r[2]);
        return d > TinyScan::ball_radius_mm + 3.0 && d < TinyScan::head_radius_mm - 1.0;
    });
    double sum = 0, squares = 0, n = 0;
    for (std::size_t i = 0; i < chi.size(); ++i) {
        if (tissue[i] == 0) continue;
        const auto x = static_cast<double>(chi[i]);
        sum += x, squares += x * x, n += 1;
    }
    return std::sqrt(squares / n - sum / n * (sum / n));
}

std::size_t voxels(const JobSpec& spec)
{
    const VolumeF chi = io::read_image(image_of(spec, "Chimap")).data;
    return static_cast<std::size_t>(std::count_if(chi.begin(), chi.end(), [](float x) { return x != 0.0f; }));
}

}  // namespace

TEST_F(Job, TwoPassesHalveTheStreaksOfAStrongVoid)
{
    const TinyScan scan({.ball_ppm = 5.0, .ball_signal = false});
    JobSpec one = scan.job();
    one.options.background = "pdf";
    JobSpec two = one;
    two.options.two_pass = "on";
    two.output_dir = scan.folder() / "two";
    stages_run(one);
    stages_run(two);
    EXPECT_LT(streaks_ppm(two), 0.5 * streaks_ppm(one));
    EXPECT_THAT(sidecar_of(two, "Chimap").at("Method").at("chi").dump(), HasSubstr("two passes"));
    EXPECT_GT(sidecar_of(two, "Chimap").at("Findings").at("mask").at("unreliable_fraction").get<double>(), 0.05);

    two.options.reference = "none";
    EXPECT_THAT(stages_run(two), ElementsAre("chi", "swi")) << "both local fields are in the record";
}

TEST_F(Job, ThePassWithHolesLosesNoVoxelsToBallsThatMustFit)
{
    // V-SHARP takes balls of up to 4 mm off around every hole; the pass over reliable phase has separation in its place.
    const TinyScan scan({.ball_ppm = 5.0, .ball_signal = false});
    JobSpec one = scan.job(), two = scan.job();
    two.options.two_pass = "on";
    two.output_dir = scan.folder() / "two";
    stages_run(one);
    stages_run(two);
    EXPECT_GT(voxels(two), voxels(one));
}

TEST_F(Job, TwoPassesOfAWhollyReliableMaskAreOne)
{
    const TinyScan scan;
    JobSpec one = scan.job();
    const io::Geometry& geometry = scan.acquisition().geometry;
    io::write_nifti(scan.folder() / "mask-01.nii.gz", test::ball_mask(geometry.grid, 10.0), geometry);
    one.options.mask = (scan.folder() / "mask-{sub}.nii.gz").string();
    JobSpec two = one;
    two.options.two_pass = "on";
    two.output_dir = scan.folder() / "two";
    stages_run(one);
    stages_run(two);
    const double unreliable = sidecar_of(two, "Chimap").at("Findings").at("mask").at("unreliable_fraction");
    ASSERT_EQ(unreliable, 0.0);
    const VolumeF a = io::read_image(image_of(one, "Chimap")).data, b = io::read_image(image_of(two, "Chimap")).data;
    EXPECT_THAT(b, test::VolumeNear(&a, 0.0));
    EXPECT_THAT(sidecar_of(two, "Chimap").at("Method").at("chi").dump(), ::testing::Not(HasSubstr("two passes")));
}

}  // namespace qsmpi::pipeline
