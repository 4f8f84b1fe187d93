#pragma once
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "qsmpi/background/background.hpp"
#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

/// What every background method must do, whatever its kind.
namespace qsmpi::test {

using Removal =
    std::function<background::LocalField(const VolumeF& field_ppm, const Mask& mask, const UnitVector& b)>;

inline const UnitVector oblique_b0{0.6, 0.0, 0.8};

inline VolumeF sum_of(const VolumeF& a, const VolumeF& b)
{
    VolumeF sum(a.grid());
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] = a[i] + b[i];
    return sum;
}

/// Field [ppm] of a sphere from the closed form, averaged over 3^3 points of each voxel.
inline VolumeF sphere_field_volume(const Grid& grid, double radius_mm, double dchi_ppm, const UnitVector& b,
                                   Vec3 centre_mm)
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

/// A ball-shaped head with a sphere inside and strong sources outside; closed forms throughout.
struct Head {
    Grid grid;
    Mask mask;
    VolumeF local, total;
    Head(const Grid& g, double head_radius_mm, const UnitVector& b)
        : grid(g), mask(ball_mask(g, head_radius_mm)), local(g), total(g)
    {
        const double r = head_radius_mm;
        local = sphere_field_volume(g, 0.2 * r, 0.3, b, {0.15 * r, -0.1 * r, 0.1 * r});
        const VolumeF below = sphere_field_volume(g, 0.3 * r, 9.0, b, {0, 0.5 * r, -1.25 * r});
        const VolumeF side = sphere_field_volume(g, 0.2 * r, -6.0, b, {1.3 * r, 0, 0.4 * r});
        total = sum_of(sum_of(local, below), side);
    }
};

/// Least-squares slope and correlation of `found` against `truth` inside the mask, means removed.
struct Agreement {
    double slope, correlation;
};
inline Agreement agreement(const VolumeF& found, const VolumeF& truth, const Mask& mask)
{
    double n = 0, sf = 0, st = 0, sff = 0, sft = 0, stt = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        const auto f = static_cast<double>(found[i]), t = static_cast<double>(truth[i]);
        n += 1;
        sf += f;
        st += t;
        sff += f * f;
        sft += f * t;
        stt += t * t;
    }
    const double cov = sft - sf * st / n, vf = sff - sf * sf / n, vt = stt - st * st / n;
    return {cov / vt, cov / std::sqrt(vf * vt)};
}

inline double rms(const VolumeF& v, const Mask& mask)
{
    double sum = 0.0, n = 0.0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        sum += static_cast<double>(v[i]) * static_cast<double>(v[i]);
        n += 1.0;
    }
    return std::sqrt(sum / n);
}

inline void expect_same_bits(const VolumeF& a, const VolumeF& b)
{
    ASSERT_EQ(a.size(), b.size());
    EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin()));
}

inline void expect_an_empty_mask_gives_zero(const Removal& remove)
{
    const Grid grid = grid_of(12, 9, 10);
    const auto result = remove(noise(grid, 0.1, 3), Mask(grid, 0), b0_along_z);
    const VolumeF zero(grid, 0.0F);
    EXPECT_THAT(result.local_field_ppm, VolumeNear(&zero, 0.0));
    EXPECT_TRUE(std::all_of(result.mask.begin(), result.mask.end(), [](auto m) { return m == 0; }));
}

inline void expect_a_single_voxel_is_finite(const Removal& remove)
{
    const Grid grid = grid_of(9, 11, 10, {1, 1, 2});
    Mask mask(grid, 0);
    mask(0, 5, 9) = 1;
    EXPECT_TRUE(all_finite(remove(noise(grid, 0.1, 3), mask, oblique_b0).local_field_ppm));
}

inline void expect_nan_stays_away(const Removal& remove)
{
    Head head(grid_of(25, 22, 24), 9.0, b0_along_z);
    const VolumeF clean = remove(head.total, head.mask, b0_along_z).local_field_ppm;
    head.total(0, 0, 0) = std::numeric_limits<float>::quiet_NaN();
    head.total(24, 21, 23) = std::numeric_limits<float>::infinity();
    expect_same_bits(remove(head.total, head.mask, b0_along_z).local_field_ppm, clean);
    head.total(12, 10, 11) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_TRUE(all_finite(remove(head.total, head.mask, b0_along_z).local_field_ppm));
}

inline void expect_same_bits_for_any_number_of_threads(const Removal& remove)
{
    const Head head(grid_of(27, 24, 21, {1, 1.2, 1.4}), 11.0, oblique_b0);
    const int before = parallel::threads();
    parallel::set_threads(1);
    const auto one = remove(head.total, head.mask, oblique_b0);
    parallel::set_threads(3);
    const auto three = remove(head.total, head.mask, oblique_b0);
    parallel::set_threads(before);
    expect_same_bits(one.local_field_ppm, three.local_field_ppm);
    EXPECT_TRUE(std::equal(one.mask.begin(), one.mask.end(), three.mask.begin()));
}

/// Scaled by a large factor (as from ppm to Hz) the result scales too: no tolerance is absolute. A power of two, so
/// that rounding stays the same.
inline void expect_no_unit(const Removal& remove)
{
    const Head head(grid_of(26, 24, 25), 10.0, b0_along_z);
    VolumeF scaled = head.total.clone();
    for (float& v : scaled) v *= 256.0F;
    const auto one = remove(head.total, head.mask, b0_along_z), many = remove(scaled, head.mask, b0_along_z);
    VolumeF expected = one.local_field_ppm.clone();
    for (float& v : expected) v *= 256.0F;
    EXPECT_LT(relative_error_percent(many.local_field_ppm, expected, one.mask), 1e-3);
}

inline void expect_translation_moves_the_field(const Removal& remove)
{
    const Head head(grid_of(30, 28, 29), 10.0, b0_along_z);
    Mask mask(head.grid, 0);
    VolumeF total(head.grid, 0.0F);
    const auto for_each_moved = [&](const auto& body) {
        const auto& d = head.grid.dims;
        for (std::size_t z = 0; z + 2 < d.nz; ++z)
            for (std::size_t y = 1; y < d.ny; ++y)
                for (std::size_t x = 0; x + 3 < d.nx; ++x) body(d.index(x, y, z), d.index(x + 3, y - 1, z + 2));
    };
    for_each_moved([&](std::size_t from, std::size_t to) {
        mask[to] = head.mask[from];
        total[to] = head.total[from];
    });
    const VolumeF here = remove(head.total, head.mask, b0_along_z).local_field_ppm;
    const VolumeF there = remove(total, mask, b0_along_z).local_field_ppm;
    bool same = true;
    for_each_moved([&](std::size_t from, std::size_t to) { same = same && here[from] == there[to]; });
    EXPECT_TRUE(same);
}

/// A value that is not finite makes its voxel unknown: as if the mask had a hole there.
inline void expect_not_finite_is_outside(const Removal& remove)
{
    Head head(grid_of(25, 22, 24), 9.0, b0_along_z);
    Mask with_holes = head.mask.clone();
    const std::size_t a = head.grid.dims.index(12, 10, 19), b = head.grid.dims.index(6, 8, 9);
    with_holes[a] = with_holes[b] = 0;
    const auto expected = remove(head.total, with_holes, b0_along_z);
    head.total[a] = std::numeric_limits<float>::quiet_NaN();
    head.total[b] = -std::numeric_limits<float>::infinity();
    const auto found = remove(head.total, head.mask, b0_along_z);
    expect_same_bits(found.local_field_ppm, expected.local_field_ppm);
    EXPECT_TRUE(std::equal(found.mask.begin(), found.mask.end(), expected.mask.begin()));
}

/// One slice, two slices, a mask that fills the grid, two objects: finite, 0 outside the result's mask, nothing gained.
inline void expect_any_shape_is_defined(const Removal& remove)
{
    const auto check = [&](const Mask& mask) {
        const VolumeF field = noise(mask.grid(), 0.1, 5);
        const auto result = remove(field, mask, oblique_b0);
        ASSERT_TRUE(all_finite(result.local_field_ppm));
        for (std::size_t i = 0; i < mask.size(); ++i)
            ASSERT_TRUE(result.mask[i] != 0 ? mask[i] != 0 : result.local_field_ppm[i] == 0.0F) << i;
    };
    check(full_mask(grid_of(15, 14, 1)));
    check(full_mask(grid_of(1, 14, 15)));
    check(full_mask(grid_of(15, 14, 2, {1, 1, 3})));
    check(full_mask(grid_of(15, 14, 16)));
    const Grid grid = grid_of(29, 14, 15);
    check(mask_from(grid, [](const Vec3& p) { return std::abs(p[0]) > 3.5 && std::abs(p[1]) < 6.0; }));
}

/// Polynomials up to order 3 that are harmonic: fields of sources far outside. Second differences are exact for them.
inline std::vector<std::function<double(const Vec3&)>> harmonic_polynomials()
{
    return {[](const Vec3&) { return 1.0; },
            [](const Vec3& p) { return p[0] - 2 * p[2]; },
            [](const Vec3& p) { return p[0] * p[1]; },
            [](const Vec3& p) { return p[0] * p[0] - p[2] * p[2]; },
            [](const Vec3& p) { return p[2] * p[2] * p[2] - 3 * p[2] * p[0] * p[0]; }};
}

/// Harmonic polynomials go, down to this part of them.
inline void expect_harmonics_vanish(const Removal& remove, const Grid& grid, double radius_mm, double largest_part)
{
    const Mask mask = ball_mask(grid, radius_mm);
    for (std::size_t i = 0; i < harmonic_polynomials().size(); ++i) {
        const VolumeF field = from_function(grid, harmonic_polynomials()[i]);
        const auto local = remove(field, mask, b0_along_z);
        ASSERT_TRUE(std::any_of(local.mask.begin(), local.mask.end(), [](auto m) { return m != 0; }));
        EXPECT_LT(rms(local.local_field_ppm, local.mask), largest_part * rms(field, local.mask)) << "harmonic " << i;
    }
}

/// For methods that take the local field for 0 in a rim: a local field that is 0 there comes back exactly.
inline void expect_what_is_zero_in_the_rim_comes_back(const Removal& remove, const Grid& grid, double radius_mm)
{
    const Mask mask = ball_mask(grid, radius_mm);
    const VolumeF background = from_function(grid, [](const Vec3& p) {
        double sum = 0.0;
        for (const auto& harmonic : harmonic_polynomials()) sum += 0.01 * harmonic(p);
        return sum;
    });
    const auto where = remove(background, mask, b0_along_z).mask;
    VolumeF truth = noise(grid, 0.3, 12);
    for (std::size_t i = 0; i < truth.size(); ++i)
        if (where[i] == 0) truth[i] = 0.0F;
    const auto local = remove(sum_of(background, truth), mask, b0_along_z);
    EXPECT_TRUE(local.converged);
    EXPECT_LT(relative_error_percent(local.local_field_ppm, truth, where), 0.1);
}

}  // namespace qsmpi::test
