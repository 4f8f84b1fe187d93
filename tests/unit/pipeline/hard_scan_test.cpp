// Scans whose field or shape is hard: a map all the same, and a warning where it cannot be right.
#include "bad_data.hpp"

namespace qsmpi::pipeline {

using ::testing::Not;
using test::TinyScanOptions;

TEST_F(BadData, ASteepFieldIsSaidToBeBeyondUnwrapping)
{
    // 15 Hz a voxel squared: towards the rim 0.8 turns from voxel to voxel at the first echo, 9 at the last.
    TinyScanOptions options;
    options.echo_spacing_s = 0.02;
    options.more_field_ppm = [](const Vec3& r) { return 0.12 * r[0] * r[1]; };
    const TinyScan scan(options);
    expect_map(scan.job(), "more than half a turn");
}

TEST_F(BadData, LaterEchoesFollowTheFirstWhereTheyAreTooFarApart)
{
    // Up to 0.2 turns from voxel to voxel at the first echo, 1.5 over the 30 ms to the next.
    TinyScanOptions options;
    options.more_field_ppm = [](const Vec3& r) { return 0.03 * r[0] * r[1]; };
    const TinyScan close(options);
    const JobSpec good = close.job();
    ASSERT_EQ(run(good).state, "done");
    options.echo_spacing_s = 0.030;
    const TinyScan far(options);
    expect_map(far.job(), "its wraps are those that echo 1 predicts");
    EXPECT_NEAR(contrast(far.job()), contrast(good), 0.1);
}

TEST_F(BadData, OffsetsThatStayDoNotMisleadTheUnwrappingOfLaterEchoes)
{
    // The template of the first echo would foretell 2.5 times the coil's phase for the second.
    TinyScanOptions options;
    options.more_offset_rad = [](const Vec3& r) { return 0.25 * r[1]; };
    const TinyScan scan(options);
    JobSpec spec = scan.job();
    ASSERT_EQ(run(spec).state, "done");
    const double usual = contrast(spec);
    spec.options.offset_removal = false;
    spec.options.field_map = "linear";
    spec.output_dir = scan.folder() / "offsets";
    ASSERT_EQ(run(spec).state, "done");
    EXPECT_NEAR(contrast(spec), usual, 0.03);
}

TEST_F(BadData, ThinSlabsGiveAMapAndAWarning)
{
    for (const std::size_t n_slices : {1u, 2u}) {
        const TinyScan scan({.dims = {32, 30, n_slices}});
        const JobResult result = run(scan.job());
        if (result.state == "failed")
            EXPECT_THAT(result.message, HasSubstr("mask")) << "a ball finds no room in a slice: a refusal that says so";
        else
            EXPECT_THAT(result.warnings, Contains(HasSubstr("a slab of")));
        JobSpec spec = scan.job();
        spec.options = {};
        spec.output_dir = scan.folder() / "defaults";
        expect_map(spec, "a slab of");
    }
}

TEST_F(BadData, AMaskOfFewSlicesIsSaidToBeASlab)
{
    const TinyScan scan;
    const io::Geometry geometry = scan.acquisition().geometry;
    Mask slices(geometry.grid, 0);
    const Dims& d = slices.dims();
    for (std::size_t z = d.nz / 2; z < d.nz / 2 + 2; ++z)
        for (std::size_t y = 5; y < d.ny - 5; ++y)
            for (std::size_t x = 5; x < d.nx - 5; ++x) slices(x, y, z) = 1;
    JobSpec spec = scan.job();
    spec.options = {};
    spec.options.mask = (scan.folder() / "slices.nii.gz").string();
    io::write_nifti(spec.options.mask, slices, geometry);
    expect_map(spec, "the mask is a slab of 2 slices");
    EXPECT_THAT(run(TinyScan().job()).warnings, Not(Contains(HasSubstr("slab"))));
}

TEST_F(BadData, AnObjectThatGoesOnBeyondTheVolumeIsSaidTo)
{
    TinyScanOptions options;
    options.dims = {32, 30, 20};
    options.head = [](const Vec3& r) { return std::hypot(r[0], r[1]) < TinyScan::head_radius_mm; };  // as high as the volume
    const TinyScan cylinder(options);
    JobSpec spec = cylinder.job();
    spec.options.mask = "robust";
    expect_map(spec, "cut off by the border of the volume on 2 of its 6 sides");

    const TinyScan ball;
    EXPECT_THAT(run(ball.job()).warnings, Not(Contains(HasSubstr("cut off"))));
}

TEST_F(BadData, FineVoxelsInThickSlicesWork)
{
    const TinyScan scan({.dims = {132, 132, 10}, .voxel_mm = {0.2, 0.2, 3.0}});
    JobSpec spec = scan.job();
    spec.options.background_radius_mm = 8.0;  // at least 1.5 voxels along every axis
    const JobResult result = run(spec);
    EXPECT_EQ(result.state, "done") << result.message;
    EXPECT_THAT(result.warnings, Contains(HasSubstr("voxels of 0.2 x 0.2 x 3 mm, 15 times as long as wide")));
    EXPECT_GT(contrast(spec), 0.25);  // a ball of three slices with a rim that is hardly trusted: 0.29 measured
}

TEST_F(BadData, SeparateObjectsAreConsistentWithSeveralEchoesAndNamedWithOne)
{
    TinyScanOptions options;
    options.dims = {64, 30, 28};
    options.head = [](const Vec3& r) { return std::abs(r[0]) > 10.0 && std::abs(r[0]) < 28.0 && std::hypot(r[1], r[2]) < 11.0; };
    // 1.4 ppm apart at 3 T: 0.7 turns at the first echo.
    options.more_field_ppm = [](const Vec3& r) { return r[0] > 0.0 ? 0.7 : -0.7; };
    const TinyScan scan(options);
    JobSpec spec = scan.job();
    ASSERT_EQ(run(spec).state, "done");
    const VolumeF field_hz = io::read_image(image_of(spec, "fieldmap")).data;
    const auto mean_of = [&](bool right) {
        double sum = 0, n = 0;
        for (std::size_t x = right ? 46 : 10; x < (right ? 54u : 18u); ++x)
            for (std::size_t y = 12; y < 18; ++y)
                for (std::size_t z = 11; z < 17; ++z) sum += static_cast<double>(field_hz(x, y, z)), n += 1;
        return sum / n;
    };
    // 1.4 ppm and the slope of 0.02 ppm/mm over 36 mm at 127.7 Hz/ppm; the ball between them adds less than 5 Hz.
    EXPECT_NEAR(mean_of(true) - mean_of(false), 127.73 * (1.4 + 0.72), 10.0);

    options.n_echoes = 1;
    const TinyScan single(options);
    expect_map(single.job(), "2 separate objects");
}

TEST_F(BadData, AMetalVoidLeavesTheRestAlone)
{
    TinyScanOptions options;
    const Vec3 screw{8.0, 0.0, 0.0};
    const auto distance = [screw](const Vec3& r) { return std::hypot(r[0] - screw[0], r[1] - screw[1], r[2] - screw[2]); };
    options.head = [distance](const Vec3& r) { return std::hypot(r[0], r[1], r[2]) < TinyScan::head_radius_mm && distance(r) > 4.0; };
    // 9 ppm at the edge of the void: 3 turns a voxel at the first echo.
    options.more_field_ppm = [screw](const Vec3& r) {
        return test::sphere_field({r[0] - screw[0], r[1] - screw[1], r[2] - screw[2]}, 1.0, 900.0, test::b0_along_z);
    };
    const TinyScan scan(options);
    expect_map(scan.job(), "more than half a turn");
}

TEST_F(BadData, OfTwoObjectsTheAutomaticMaskKeepsOneAndSaysSo)
{
    TinyScanOptions options;
    options.dims = {64, 30, 28};
    options.head = [](const Vec3& r) { return std::hypot(std::abs(r[0]) - 16.0, r[1], r[2]) < TinyScan::head_radius_mm; };
    const TinyScan scan(options);
    JobSpec spec = scan.job();
    spec.options.mask = "auto";
    expect_map(spec, "2 objects in the field of view");
    spec.options.mask = "robust";
    spec.output_dir = scan.folder() / "robust";
    EXPECT_THAT(run(spec).warnings, Not(Contains(HasSubstr("objects in the field of view"))));
}

}  // namespace qsmpi::pipeline
