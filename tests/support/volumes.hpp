#pragma once
#include <functional>
#include <string>

#include <gmock/gmock.h>

#include "qsmpi/core/volume.hpp"

/// Small volumes and analytic fields that tests share. The truths here are closed forms (algorithms.md 0.7),
/// written independently of the code under test.
namespace qsmpi::test {

inline constexpr UnitVector b0_along_z{0.0, 0.0, 1.0};

[[nodiscard]] Grid grid_of(std::size_t nx, std::size_t ny, std::size_t nz, Vec3 voxel_mm = {1, 1, 1});
/// Position of a voxel's centre in mm, origin at the grid's centre.
[[nodiscard]] Vec3 position_mm(const Grid& grid, std::size_t x, std::size_t y, std::size_t z);
/// Fills from a function of position [mm] relative to the grid's centre.
[[nodiscard]] VolumeF from_function(const Grid& grid, const std::function<double(const Vec3&)>& value);
[[nodiscard]] Mask mask_from(const Grid& grid, const std::function<bool(const Vec3&)>& inside);
[[nodiscard]] Mask ball_mask(const Grid& grid, double radius_mm, Vec3 centre_mm = {0, 0, 0});
[[nodiscard]] Mask full_mask(const Grid& grid);
/// Relative field [ppm] of a sphere of dchi [ppm] (Lorentz corrected): dchi/3 (a/r)^3 (3 cos^2 - 1) outside, 0 inside.
[[nodiscard]] double sphere_field(const Vec3& r_mm, double radius_mm, double dchi_ppm, const UnitVector& b);
/// Partial-volume sphere: 4^3 sub-samples a voxel.
[[nodiscard]] VolumeF sphere_chi(const Grid& grid, double radius_mm, double dchi_ppm, Vec3 centre_mm = {0, 0, 0});
/// Deterministic white noise of the given standard deviation.
[[nodiscard]] VolumeF noise(const Grid& grid, double standard_deviation, unsigned seed);
/// 100 ||a - b|| / ||b|| inside the mask, without demeaning.
[[nodiscard]] double relative_error_percent(const VolumeF& a, const VolumeF& b, const Mask& mask);
[[nodiscard]] bool all_finite(const VolumeF& v);

/// True if every voxel differs by at most `tolerance`; prints the worst voxel and both values.
MATCHER_P2(VolumeNear, expected, tolerance, "is near the expected volume")
{
    const auto& want = *expected;
    if (arg.size() != want.size()) {
        *result_listener << "sizes differ";
        return false;
    }
    std::size_t worst = 0;
    double largest = -1.0;
    for (std::size_t i = 0; i < arg.size(); ++i) {
        const double difference = std::abs(static_cast<double>(arg[i]) - static_cast<double>(want[i]));
        if (!(difference <= largest)) {
            largest = difference;
            worst = i;
        }
    }
    const auto& d = arg.dims();
    *result_listener << "worst voxel (" << worst % d.nx << ", " << worst / d.nx % d.ny << ", "
                     << worst / d.nx / d.ny << "): " << arg[worst] << " against " << want[worst];
    return largest <= tolerance;
}

/// A folder that disappears with the test.
class TemporaryFolder {
public:
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

}  // namespace qsmpi::test
