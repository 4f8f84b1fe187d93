#pragma once
#include <filesystem>
#include <functional>

#include "qsmpi/pipeline/job.hpp"
#include "volumes.hpp"

/// A scan small enough for unit tests, with a truth in closed form, on disk as NIfTI.
namespace qsmpi::test {

struct TinyScanOptions {
    Dims dims{32, 30, 28};
    std::size_t n_echoes = 3;
    bool magnitude = true;
    double ball_ppm = 0.3;    ///< what the ball is of
    bool ball_signal = true;  ///< false: it is a void
    Vec3 voxel_mm{1.0, 1.0, 1.0};
    double echo_spacing_s = 0.006;
    double noise = 0.01;                           ///< of real and imaginary part; the head has a signal of 1 at TE 0
    std::function<bool(const Vec3& r_mm)> head{};  ///< where there is signal; empty: a ball
    std::function<double(const Vec3& r_mm)> more_field_ppm{};
    std::function<double(const Vec3& r_mm)> more_offset_rad{};  ///< phase at TE 0 besides 0.7 rad
};

/// A ball of 5 mm (by default of 0.3 ppm) in a head of 13 mm, with a linear background field and a coil phase; 3 T.
class TinyScan {
public:
    explicit TinyScan(const TinyScanOptions& options = {});
    /// A job on it that writes to `<folder>/out`, with the fastest methods and a small radius, for the head is small.
    [[nodiscard]] pipeline::JobSpec job() const;
    [[nodiscard]] std::filesystem::path folder() const { return folder_.path(); }
    [[nodiscard]] const io::Acquisition& acquisition() const { return acquisition_; }

    static constexpr double dchi_ppm = 0.3, ball_radius_mm = 5.0, head_radius_mm = 13.0;

private:
    TemporaryFolder folder_;
    io::Acquisition acquisition_;
};

}  // namespace qsmpi::test
