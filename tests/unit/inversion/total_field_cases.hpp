#pragma once
#include "inversion_cases.hpp"
#include "qsmpi/numerics/statistics.hpp"

/// What inversions of the total field must bear besides inversion_cases.hpp.
namespace qsmpi::test {

/// A sphere of 1 ppm and radius 4 mm in a ball of 12 mm, and two strong sources outside: their field is part of the
/// data.
struct HeadWithAir {
    Grid grid = grid_of(30, 30, 30);
    Mask mask = ball_mask(grid, 12.0);
    UnitVector b0;
    VolumeF local, total;
    explicit HeadWithAir(const UnitVector& b)
        : b0(b), local(sphere_field_volume(grid, 4.0, 1.0, b)), total(local.clone())
    {
        const VolumeF air = sphere_field_volume(grid, 6.0, 9.0, b, {0, 10, -19});
        const VolumeF bone = sphere_field_volume(grid, 3.0, -4.0, b, {-16, 0, 4});
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += air[i] + bone[i];
    }
};

/// The contrast of the sphere from the total field is near that from the local field alone, and near the truth.
inline void expect_sources_outside_do_not_matter(const Inversion& invert, const UnitVector& b, double lowest,
                                                 double highest, double tolerance)
{
    const HeadWithAir head(b);
    const VolumeF with = invert(head.total, head.mask, b).chi_ppm, without = invert(head.local, head.mask, b).chi_ppm;
    const double c = contrast(with, 2.5, 6.0, 10.0);
    EXPECT_GT(c, lowest);
    EXPECT_LT(c, highest);
    EXPECT_NEAR(c, contrast(without, 2.5, 6.0, 10.0), tolerance);
}

inline void expect_two_objects_are_told_apart(const Inversion& invert, double tolerance)
{
    const Grid grid = grid_of(40, 28, 28);
    const Mask mask = mask_from(grid, [](const Vec3& p) { return std::hypot(p[0] / 1.4, p[1], p[2]) < 12.5; });
    VolumeF field = sphere_field_volume(grid, 4.0, 0.5, b0_along_z, {-8, 0, 0});
    const VolumeF other = sphere_field_volume(grid, 4.0, -0.3, b0_along_z, {8, 0, 0});
    for (std::size_t i = 0; i < field.size(); ++i) field[i] += other[i];
    const VolumeF chi = invert(field, mask, b0_along_z).chi_ppm;
    const double plus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {-8, 0, 0}));
    const double minus = numerics::mean_inside(chi, ball_mask(grid, 2.5, {8, 0, 0}));
    EXPECT_NEAR(plus - minus, 0.8, tolerance);
}

}  // namespace qsmpi::test
