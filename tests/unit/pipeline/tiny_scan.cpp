#include "tiny_scan.hpp"

#include <cmath>
#include <cstdlib>

#include <unistd.h>

#include "qsmpi/core/units.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::test {
namespace {

// Every published file is flushed to disk. That is not what these tests wait for: their folders are in memory.
[[maybe_unused]] const bool folders_in_memory = [] {
    return access("/dev/shm", W_OK) == 0 && setenv("TMPDIR", "/dev/shm", 0) == 0;
}();

io::Geometry geometry_of(const Dims& dims, const Vec3& h)
{
    io::Geometry g;
    g.grid = {dims, h};
    // Turned by 0.1 rad about x: an oblique slab, so that B0 is not along k.
    const auto c = static_cast<float>(std::cos(0.1)), s = static_cast<float>(std::sin(0.1));
    const auto hx = static_cast<float>(h[0]), hy = static_cast<float>(h[1]), hz = static_cast<float>(h[2]);
    g.sform = {{{hx, 0.0f, 0.0f, -15.5f}, {0.0f, c * hy, -s * hz, 7.25f}, {0.0f, s * hy, c * hz, -3.125f}}};
    g.pixdim_mm = {hx, hy, hz};
    g.qform = {std::sin(0.05f), 0.0f, 0.0f, -15.5f, 7.25f, -3.125f};
    g.sform_code = g.qform_code = 1;
    return g;
}

}  // namespace

TinyScan::TinyScan(const TinyScanOptions& options)
{
    io::Acquisition& a = acquisition_;
    a.key = "sub-01_run-2";
    a.subject = "01";
    a.suffix = "MEGRE";
    a.entities["run"] = "2";
    a.b0_tesla = 3.0;
    a.geometry = geometry_of(options.dims, options.voxel_mm);
    a.warnings = {"a warning of the scan"};

    const Grid& grid = a.geometry.grid;
    const UnitVector b = a.geometry.b0_direction_ijk();
    const double hz_per_ppm = units::hz_per_ppm(a.b0_tesla);
    const VolumeF field_hz = from_function(grid, [&](const Vec3& r) {
        return hz_per_ppm * (sphere_field(r, ball_radius_mm, options.ball_ppm, b) + 0.02 * r[0] - 0.01 * r[2] +
                             (options.more_field_ppm ? options.more_field_ppm(r) : 0.0));
    });
    const VolumeF offset_rad =
        from_function(grid, [&](const Vec3& r) { return 0.7 + (options.more_offset_rad ? options.more_offset_rad(r) : 0.0); });
    const Mask head = options.head ? mask_from(grid, options.head) : ball_mask(grid, head_radius_mm);
    const Mask ball = ball_mask(grid, ball_radius_mm);
    const std::filesystem::path anat = folder() / "bids/sub-01/anat";
    std::filesystem::create_directories(anat);
    for (std::size_t e = 0; e < options.n_echoes; ++e) {
        io::Echo echo;
        echo.number = static_cast<int>(e) + 1;
        echo.echo_time_s = 0.004 + options.echo_spacing_s * static_cast<double>(e);
        echo.phase_scaling.reason = "made in radians";
        const double decay = std::exp(-echo.echo_time_s / 0.04);
        VolumeF magnitude(grid), phase(grid);
        const VolumeF real = noise(grid, options.noise, 10 + static_cast<unsigned>(e));
        const VolumeF imaginary = noise(grid, options.noise, 20 + static_cast<unsigned>(e));
        for (std::size_t i = 0; i < grid.size(); ++i) {
            const double angle = static_cast<double>(offset_rad[i]) + units::rad_from_hz(static_cast<double>(field_hz[i]), echo.echo_time_s);
            const double signal = head[i] && (options.ball_signal || !ball[i]) ? decay : 0.0;
            const double re = signal * std::cos(angle) + static_cast<double>(real[i]);
            const double im = signal * std::sin(angle) + static_cast<double>(imaginary[i]);
            magnitude[i] = static_cast<float>(1000.0 * std::hypot(re, im));
            phase[i] = static_cast<float>(std::atan2(im, re));
        }
        const std::string name = str("sub-01_run-2_echo-", e + 1, "_part-");
        echo.phase.file = anat / (name + "phase_MEGRE.nii.gz");
        io::write_nifti(echo.phase.file, phase, a.geometry);
        if (options.magnitude) {
            echo.magnitude.file = anat / (name + "mag_MEGRE.nii.gz");
            io::write_nifti(echo.magnitude.file, magnitude, a.geometry);
        }
        a.echoes.push_back(echo);
    }
}

pipeline::JobSpec TinyScan::job() const
{
    pipeline::JobSpec spec;
    spec.acquisition = acquisition_;
    spec.options.background = "vsharp";
    spec.options.background_radius_mm = 4.0;
    spec.options.inversion = "tkd";
    spec.output_dir = folder() / "out";
    spec.input_hash = "0123456789abcdef0123456789abcdef";
    spec.threads = 1;
    return spec;
}

}  // namespace qsmpi::test
