#pragma once
#include <cmath>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/inversion/inversion.hpp"
#include "volumes.hpp"

/// What every inversion must bear, whatever its method.
namespace qsmpi::test {

using Inversion = std::function<inversion::Result(const VolumeF& field_ppm, const Mask& mask, const UnitVector& b)>;

inline const UnitVector oblique_b0{0.0, std::sin(20.0 * units::pi / 180.0), std::cos(20.0 * units::pi / 180.0)};

/// Field of a sphere [ppm] from the closed form, averaged over 3^3 points of each voxel.
inline VolumeF sphere_field_volume(const Grid& grid, double radius_mm, double dchi_ppm, const UnitVector& b,
                                   Vec3 centre_mm = {0, 0, 0})
{
    return from_function(grid, [&](const Vec3& p) {
        double sum = 0.0;
        for (int i = -1; i <= 1; ++i)
            for (int j = -1; j <= 1; ++j)
                for (int k = -1; k <= 1; ++k)
                    sum += sphere_field({p[0] - centre_mm[0] + i * grid.voxel_mm[0] / 3,
                                         p[1] - centre_mm[1] + j * grid.voxel_mm[1] / 3,
                                         p[2] - centre_mm[2] + k * grid.voxel_mm[2] / 3},
                                        radius_mm, dchi_ppm, b);
        return sum / 27.0;
    });
}

/// Mean of `v` within `inner_mm` of the centre minus its mean from `from_mm` to `to_mm`.
inline double contrast(const VolumeF& v, double inner_mm, double from_mm, double to_mm)
{
    double inside = 0.0, around = 0.0;
    int n_inside = 0, n_around = 0;
    for (std::size_t z = 0, i = 0; z < v.dims().nz; ++z)
        for (std::size_t y = 0; y < v.dims().ny; ++y)
            for (std::size_t x = 0; x < v.dims().nx; ++x, ++i) {
                const Vec3 p = position_mm(v.grid(), x, y, z);
                const double r = std::hypot(p[0], p[1], p[2]);
                if (r <= inner_mm) {
                    inside += static_cast<double>(v[i]);
                    ++n_inside;
                } else if (r >= from_mm && r <= to_mm) {
                    around += static_cast<double>(v[i]);
                    ++n_around;
                }
            }
    return inside / n_inside - around / n_around;
}

inline void expect_same_bits(const VolumeF& a, const VolumeF& b)
{
    ASSERT_EQ(a.size(), b.size());
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
}

inline void expect_an_empty_mask_gives_zero(const Inversion& invert)
{
    const Grid grid = grid_of(12, 9, 10);
    const inversion::Result result = invert(noise(grid, 0.1, 3), Mask(grid, 0), b0_along_z);
    const VolumeF zero(grid, 0.0F);
    EXPECT_THAT(result.chi_ppm, VolumeNear(&zero, 0.0));
    EXPECT_TRUE(result.converged);
}

inline void expect_a_single_voxel_is_finite(const Inversion& invert)
{
    const Grid grid = grid_of(9, 11, 10, {1, 1, 2});
    Mask mask(grid, 0);
    mask(0, 5, 9) = 1;
    EXPECT_TRUE(all_finite(invert(noise(grid, 0.1, 3), mask, oblique_b0).chi_ppm));
}

inline void expect_one_slice_is_finite(const Inversion& invert)
{
    const Grid grid = grid_of(16, 15, 1, {1, 1, 2});
    EXPECT_TRUE(all_finite(invert(noise(grid, 0.1, 3), Mask(grid, 1), oblique_b0).chi_ppm));
}

/// NaN outside the mask must not matter at all, and inside it must not spread.
inline void expect_nan_stays_away(const Inversion& invert)
{
    const Grid grid = grid_of(21, 18, 16);
    const Mask mask = ball_mask(grid, 6.0);
    VolumeF field = sphere_field_volume(grid, 3.0, 1.0, b0_along_z);
    const VolumeF clean = invert(field, mask, b0_along_z).chi_ppm;
    field(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
    field(20, 17, 15) = std::numeric_limits<float>::infinity();
    expect_same_bits(invert(field, mask, b0_along_z).chi_ppm, clean);
    field(10, 9, 8) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(all_finite(invert(field, mask, b0_along_z).chi_ppm));
}

inline void expect_same_bits_for_any_number_of_threads(const Inversion& invert)
{
    const Grid grid = grid_of(27, 24, 21, {1, 1.2, 1.5});
    const Mask mask = ball_mask(grid, 11.0);
    const VolumeF field = sphere_field_volume(grid, 4.0, 1.0, oblique_b0);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const VolumeF one = invert(field, mask, oblique_b0).chi_ppm;
    parallel::set_threads(3);
    const VolumeF three = invert(field, mask, oblique_b0).chi_ppm;
    parallel::set_threads(before);
    expect_same_bits(one, three);
}

/// A head moved by whole voxels gives the same map, moved. The box is the same, so is every bit.
inline void expect_translation_moves_the_map(const Inversion& invert)
{
    const Grid grid = grid_of(30, 28, 26);
    const Mask mask = ball_mask(grid, 9.0);
    const VolumeF field = sphere_field_volume(grid, 4.0, 1.0, b0_along_z);
    Mask moved_mask(grid, 0);
    VolumeF moved_field(grid, 0.0F);
    const auto for_each_moved = [&](const auto& body) {
        for (std::size_t z = 0; z + 2 < 26; ++z)
            for (std::size_t y = 0; y + 1 < 28; ++y)
                for (std::size_t x = 3; x < 30; ++x) body(grid.dims.index(x, y, z), grid.dims.index(x - 3, y + 1, z + 2));
    };
    for_each_moved([&](std::size_t from, std::size_t to) {
        moved_mask[to] = mask[from];
        moved_field[to] = field[from];
    });
    const VolumeF chi = invert(field, mask, b0_along_z).chi_ppm;
    const VolumeF moved_chi = invert(moved_field, moved_mask, b0_along_z).chi_ppm;
    bool same = true;
    for_each_moved([&](std::size_t from, std::size_t to) { same = same && chi[from] == moved_chi[to]; });
    EXPECT_TRUE(same);
}

/// Error [%] of the map of a sphere in a ball of 2.5 radii against the truth, both with the mean subtracted.
inline double sphere_error_percent(const Inversion& invert, const Grid& grid, double radius_mm, const UnitVector& b)
{
    const Mask mask = ball_mask(grid, 2.5 * radius_mm);
    VolumeF chi = invert(sphere_field_volume(grid, radius_mm, 1.0, b), mask, b).chi_ppm;
    VolumeF truth = sphere_chi(grid, radius_mm, 1.0);
    for (VolumeF* v : {&chi, &truth}) {
        double sum = 0.0, n = 0.0;
        for (std::size_t i = 0; i < mask.size(); ++i) {
            if (mask[i] == 0) continue;
            sum += static_cast<double>((*v)[i]);
            n += 1.0;
        }
        for (float& x : *v) x -= static_cast<float>(sum / n);
    }
    return relative_error_percent(chi, truth, mask);
}

}  // namespace qsmpi::test
