#pragma once
#include <cmath>

#include "job_support.hpp"
#include "qsmpi/io/nifti.hpp"

/// What the tests of scans share that are not what they should be.
namespace qsmpi::pipeline {

using ::testing::Contains;
using ::testing::HasSubstr;

/// The images of one echo of a scan, edited in place.
inline void edit(const TinyScan& scan, std::size_t i_echo, const std::function<void(VolumeF& phase, VolumeF& magnitude)>& change)
{
    const io::Echo& echo = scan.acquisition().echoes.at(i_echo);
    const bool has_magnitude = echo.magnitude.present();
    VolumeF phase = io::read_image(echo.phase.file).data;
    VolumeF magnitude = has_magnitude ? io::read_image(echo.magnitude.file).data : VolumeF(phase.grid(), 1.0f);
    change(phase, magnitude);
    io::write_nifti(echo.phase.file, phase, scan.acquisition().geometry);
    if (has_magnitude) io::write_nifti(echo.magnitude.file, magnitude, scan.acquisition().geometry);
}

/// Phase and magnitude of noise alone.
inline void fill_with_noise(VolumeF& phase, VolumeF& magnitude, unsigned seed)
{
    const VolumeF re = test::noise(phase.grid(), 1.0, seed), im = test::noise(phase.grid(), 1.0, seed + 100);
    for (std::size_t i = 0; i < phase.size(); ++i) {
        phase[i] = std::atan2(im[i], re[i]);
        magnitude[i] = std::hypot(re[i], im[i]);
    }
}

class BadData : public Job {
protected:
    /// Runs the job; every image that it publishes is finite.
    static JobResult run(const JobSpec& spec)
    {
        JobResult result = run_job(spec);
        for (const std::string& file : result.outputs) {
            if (!file.ends_with(".nii.gz")) continue;
            EXPECT_TRUE(test::all_finite(io::read_image(spec.output_dir / file).data)) << file;
        }
        EXPECT_EQ(result.outputs.empty(), result.state == "failed");
        return result;
    }

    /// The job gives a map and says why it may be bad.
    static void expect_map(const JobSpec& spec, const char* warning)
    {
        const JobResult result = run(spec);
        EXPECT_EQ(result.state, "done") << result.message;
        EXPECT_THAT(result.warnings, Contains(HasSubstr(warning)));
    }

    static void expect_refusal(const JobSpec& spec, const char* message)
    {
        const JobResult result = run(spec);
        EXPECT_EQ(result.state, "failed");
        EXPECT_THAT(result.message, HasSubstr(message));
    }

    /// Contrast of the ball against the tissue around it in the published map, as a part of the true one.
    static double contrast(const JobSpec& spec)
    {
        const VolumeF chi = io::read_image(image_of(spec, "Chimap")).data;
        double ball = 0, n_ball = 0, tissue = 0, n_tissue = 0;
        for (std::size_t i = 0; i < chi.size(); ++i) {
            const std::size_t x = i % chi.dims().nx, y = i / chi.dims().nx % chi.dims().ny, z = i / (chi.dims().nx * chi.dims().ny);
            const Vec3 r = test::position_mm(chi.grid(), x, y, z);
            const double d = std::hypot(r[0], r[1], r[2]);
            if (d < TinyScan::ball_radius_mm - 1.0) ball += static_cast<double>(chi[i]), n_ball += 1;
            if (d > TinyScan::ball_radius_mm + 1.0 && d < TinyScan::head_radius_mm - 4.0)
                tissue += static_cast<double>(chi[i]), n_tissue += 1;
        }
        return (ball / n_ball - tissue / n_tissue) / TinyScan::dchi_ppm;
    }
};

}  // namespace qsmpi::pipeline
