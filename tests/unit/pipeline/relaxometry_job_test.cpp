// What a job makes of the magnitude: R2*, S0, susceptibility-weighted images, and references found or given.
#include <algorithm>
#include <cmath>

#include "job_support.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::pipeline {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

double mean_in(const VolumeF& v, const Mask& mask)
{
    double sum = 0, n = 0;
    for (std::size_t i = 0; i < v.size(); ++i)
        if (mask[i]) sum += static_cast<double>(v[i]), n += 1;
    return sum / n;
}

double value_in_head(const JobSpec& spec, const char* suffix)
{
    const VolumeF v = io::read_image(image_of(spec, suffix)).data;
    EXPECT_TRUE(test::all_finite(v)) << suffix;
    return mean_in(v, test::ball_mask(v.grid(), TinyScan::head_radius_mm - 2.0));
}

}  // namespace

TEST_F(Job, MapsTheDecayOfTheMagnitude)
{
    // The scan decays with 25 1/s from 1000, with noise of 1 %: 8000 voxels know the means to a thousandth.
    const TinyScan scan;
    for (const char* method : {"nlls", "arlo", "loglinear"}) {
        JobSpec spec = scan.job();
        spec.options.r2star = method;
        stages_run(spec);
        EXPECT_NEAR(value_in_head(spec, "R2starmap"), 25.0, 0.25) << method;
        EXPECT_NEAR(value_in_head(spec, "T2starmap"), 0.040, 0.001) << method;
        EXPECT_NEAR(value_in_head(spec, "S0map"), 1000.0, 10.0) << method;
        EXPECT_EQ(sidecar_of(spec, "R2starmap").at("Units"), "1/s");
        EXPECT_EQ(sidecar_of(spec, "T2starmap").at("Units"), "s");
        EXPECT_EQ(sidecar_of(spec, "R2starmap").at("Method").at("r2star"), json({method}));
        EXPECT_FALSE(sidecar_of(spec, "R2starmap").at("Parameters").contains("inversion"));
        const VolumeF r2star = io::read_image(image_of(spec, "R2starmap")).data;
        EXPECT_EQ(r2star[0], 0.0f) << "air";
    }
}

TEST_F(Job, MapsNoDecayOfOneEchoOrWithoutMagnitudeOrOnRequest)
{
    const TinyScan one({.n_echoes = 1}), two({.n_echoes = 2}), three;
    JobSpec spec = one.job();
    stages_run(spec);
    EXPECT_FALSE(fs::exists(image_of(spec, "R2starmap")));

    spec = two.job();
    stages_run(spec);
    EXPECT_NEAR(value_in_head(spec, "R2starmap"), 25.0, 0.5);
    EXPECT_EQ(sidecar_of(spec, "R2starmap").at("Method").at("r2star"), json({"loglinear"}));

    spec = three.job();
    stages_run(spec);
    EXPECT_TRUE(fs::exists(image_of(spec, "S0map")));
    spec.options.r2star = "off";
    stages_run(spec);
    EXPECT_TRUE(outputs_complete(spec));
    for (const char* suffix : {"R2starmap", "T2starmap", "S0map"}) {
        EXPECT_FALSE(fs::exists(image_of(spec, suffix))) << suffix << " of other options";
    }
}

TEST_F(Job, WeightsTheMagnitudeBySusceptibilityWithoutStartingAnew)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    for (const char* method : {"clear", "classic"}) {
        spec.options.swi = method;
        JobResult result;
        EXPECT_THAT(stages_run(spec, &result), ElementsAre("swi")) << method;
        const VolumeF swi = io::read_image(image_of(spec, "swi")).data, lowest = io::read_image(image_of(spec, "minIP")).data;
        EXPECT_TRUE(test::all_finite(swi));
        const Grid& grid = swi.grid();
        // The ball is darkest at its poles, where its field is positive outside.
        const double poles = mean_in(swi, test::mask_from(grid, [](const Vec3& r) {
            return std::hypot(r[0], r[1]) < 2.0 && std::abs(r[2]) > 5.5 && std::abs(r[2]) < 8.0;
        }));
        const double equator = mean_in(swi, test::mask_from(grid, [](const Vec3& r) {
            return std::abs(r[2]) < 1.5 && std::hypot(r[0], r[1]) > 5.5 && std::hypot(r[0], r[1]) < 8.0;
        }));
        EXPECT_LT(poles, 0.85 * equator) << method;
        for (std::size_t i = 0; i < swi.size(); ++i) ASSERT_LE(lowest[i], swi[i]) << method;
        EXPECT_EQ(sidecar_of(spec, "minIP").at("Parameters").at("swi"), method);
        EXPECT_TRUE(fs::exists(image_of(spec, "R2starmap"))) << "read again from the record";
    }
    spec.options.swi = "off";
    EXPECT_THAT(stages_run(spec), ElementsAre("swi"));
    EXPECT_FALSE(fs::exists(image_of(spec, "swi"))) << "of other options";
}

TEST_F(Job, TakesARegionForItsReference)
{
    const TinyScan scan;
    const io::Geometry& geometry = scan.acquisition().geometry;
    VolumeF labels(geometry.grid, 0.0f);
    const Mask ball = test::ball_mask(geometry.grid, 3.0);
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = ball[i] ? 43.0f : 7.0f;
    io::write_nifti(scan.folder() / "dseg-01.nii.gz", labels, geometry);
    JobSpec spec = scan.job();
    spec.options.reference = (scan.folder() / "dseg-{sub}.nii.gz:4,43").string();
    stages_run(spec);
    EXPECT_NEAR(mean_in(io::read_image(image_of(spec, "Chimap")).data, ball), 0.0, 1e-5);

    // The file counts, not its name.
    for (float& label : labels) label = 7.0f;
    io::write_nifti(scan.folder() / "dseg-01.nii.gz", labels, geometry);
    JobResult result;
    EXPECT_THAT(stages_run(spec, &result), ElementsAre("chi", "swi"));
    EXPECT_THAT(result.warnings, Contains(HasSubstr("no voxel in the map")));

    spec.options.reference = "/nowhere/{sub}.nii.gz";
    EXPECT_THAT(run_job(spec).message, HasSubstr("/nowhere/01.nii.gz"));
}

TEST_F(Job, SettlesTheNullSpaceOnRequestAndSaysSo)
{
    // Two tissues of one R2*: it tells them not apart, the map's modes do.
    const auto two_tissues = [](const Vec3& r) { return test::sphere_field(r, 14.0, 0.2, test::b0_along_z); };
    const TinyScan scan({.dims = {48, 48, 48}, .ball_ppm = 0.0, .noise = 0.002, .head = [](const Vec3& r) {
                             return r[0] * r[0] + r[1] * r[1] + r[2] * r[2] < 22.0 * 22.0;
                         }, .more_field_ppm = two_tissues});
    JobSpec spec = scan.job();
    spec.options.background = "separation";
    spec.options.inversion = "tv";
    spec.options.null_space = "off";
    stages_run(spec);
    const VolumeF kept = io::read_image(image_of(spec, "Chimap")).data;
    EXPECT_THAT(sidecar_of(spec, "Chimap").at("Method").at("chi"), Not(Contains(json("null space"))));

    spec.options.null_space = "on";
    EXPECT_THAT(stages_run(spec), ElementsAre("chi", "swi"));
    const VolumeF settled = io::read_image(image_of(spec, "Chimap")).data;
    EXPECT_THAT(sidecar_of(spec, "Chimap").at("Method").at("chi"), Contains(json("null space")));
    EXPECT_TRUE(test::all_finite(settled));
    EXPECT_FALSE(std::equal(kept.begin(), kept.end(), settled.begin()));
}

TEST_F(Job, FallsBackToTheMeanWithoutFluid)
{
    const TinyScan scan;
    JobSpec mean = scan.job(), csf = scan.job();
    mean.output_dir = scan.folder() / "mean";
    csf.options.reference = "csf";
    stages_run(mean);
    JobResult result;
    stages_run(csf, &result);
    EXPECT_THAT(result.warnings, Contains(HasSubstr("no cerebrospinal fluid")));
    const VolumeF a = io::read_image(image_of(mean, "Chimap")).data, b = io::read_image(image_of(csf, "Chimap")).data;
    EXPECT_THAT(b, test::VolumeNear(&a, 0.0));
}

}  // namespace qsmpi::pipeline
