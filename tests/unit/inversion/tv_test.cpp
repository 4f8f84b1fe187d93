#include "qsmpi/inversion/tv.hpp"

#include "inversion_cases.hpp"
#include "qsmpi/inversion/tkd.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion {
namespace {

using namespace qsmpi::test;

Result unweighted(const VolumeF& field, const Mask& mask, const UnitVector& b) { return tv(field, mask, b); }

Result weighted(const VolumeF& field, const Mask& mask, const UnitVector& b)
{
    const VolumeF weight(field.grid(), 1.0F);
    return tv(field, mask, b, {}, &weight);
}

/// 1/2 ||D x - f||^2 + lambda ||grad x||, the whole grid being periodic.
double objective(const VolumeF& x, const VolumeF& field, const UnitVector& b, double lambda, TvNorm norm)
{
    const auto& d = x.dims();
    const auto& h = x.grid().voxel_mm;
    const numerics::Fft3 fft(x.grid());
    numerics::Spectrum work(d);
    VolumeF model(x.grid());
    fft.filter(x, model, numerics::DipoleKernel(x.grid(), b).multiplier(), work);
    double data = 0.0, variation = 0.0;
    for (std::size_t z = 0, i = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t xx = 0; xx < d.nx; ++xx, ++i) {
                const double misfit = static_cast<double>(model[i] - field[i]);
                data += 0.5 * misfit * misfit;
                const auto here = static_cast<double>(x[i]);
                const double gx = (static_cast<double>(x((xx + 1) % d.nx, y, z)) - here) / h[0];
                const double gy = (static_cast<double>(x(xx, (y + 1) % d.ny, z)) - here) / h[1];
                const double gz = (static_cast<double>(x(xx, y, (z + 1) % d.nz)) - here) / h[2];
                variation += norm == TvNorm::isotropic ? std::hypot(gx, gy, gz)
                                                       : std::abs(gx) + std::abs(gy) + std::abs(gz);
            }
    return data + lambda * variation;
}

TvOptions periodic(double lambda, int iterations)
{
    return {.lambda = lambda, .max_iterations = iterations, .tolerance = 0.0, .pad_voxels = 0, .pad_fraction = 0.0};
}

// A sphere in some noise on a periodic grid with anisotropic voxels and oblique B0.
struct Scene {
    Grid grid = grid_of(32, 30, 24, {1.0, 1.0, 1.4});
    Mask mask = full_mask(grid);
    VolumeF field{grid};
    Scene()
    {
        const VolumeF chi = sphere_chi(grid, 7.0, 1.0), error = noise(grid, 0.01, 11);
        const numerics::Fft3 fft(grid);
        numerics::Spectrum work(grid.dims);
        fft.filter(chi, field, numerics::DipoleKernel(grid, oblique_b0).multiplier(), work);
        for (std::size_t i = 0; i < field.size(); ++i) field[i] += error[i];
    }
};

TEST(Tv, LowersItsObjectiveAndConverges)
{
    const Scene s;
    for (const TvNorm norm : {TvNorm::anisotropic, TvNorm::isotropic}) {
        const auto reached = [&](int iterations) {
            TvOptions o = periodic(2e-3, iterations);
            o.norm = norm;
            return objective(tv(s.field, s.mask, oblique_b0, o).chi_ppm, s.field, oblique_b0, 2e-3, norm);
        };
        const double at_5 = reached(5), at_20 = reached(20), at_60 = reached(60), at_200 = reached(200);
        EXPECT_LT(at_20, at_5);
        EXPECT_LT(at_60, at_20);
        // 60 iterations are within 1 % of the minimum, as far as 200 iterations know it.
        EXPECT_LT(at_60, 1.01 * at_200);
        EXPECT_GT(at_60, 0.999 * at_200);
    }
}

TEST(Tv, MinimisesItsObjective)
{
    // No neighbour of a minimiser is better: tried are TKD, the truth, scalings and small random changes.
    const Scene s;
    const double lambda = 2e-3;
    const VolumeF best = tv(s.field, s.mask, oblique_b0, periodic(lambda, 300)).chi_ppm;
    const auto value = [&](const VolumeF& v) { return objective(v, s.field, oblique_b0, lambda, TvNorm::anisotropic); };
    const double minimum = value(best);
    EXPECT_LT(minimum, value(sphere_chi(s.grid, 7.0, 1.0)));
    EXPECT_LT(minimum, value(tkd(s.field, s.mask, oblique_b0, {.pad_voxels = 0, .pad_fraction = 0.0}).chi_ppm));
    for (const double scale : {0.97, 1.03}) {
        VolumeF other = best.clone();
        for (float& v : other) v *= static_cast<float>(scale);
        EXPECT_LT(minimum, value(other));
    }
    const VolumeF change = noise(s.grid, 1e-3, 4);
    VolumeF other = best.clone();
    for (std::size_t i = 0; i < other.size(); ++i) other[i] += change[i];
    EXPECT_LT(minimum, value(other));
}

TEST(Tv, WeightOneEverywhereSolvesTheSameProblem)
{
    // Two different algorithms for one convex problem: after 250 iterations they agree to 0.5 %.
    const Scene s;
    const VolumeF one(s.grid, 1.0F);
    const VolumeF plain = tv(s.field, s.mask, oblique_b0, periodic(2e-3, 250)).chi_ppm;
    const VolumeF split = tv(s.field, s.mask, oblique_b0, periodic(2e-3, 250), &one).chi_ppm;
    EXPECT_LT(relative_error_percent(split, plain, s.mask), 0.5);
}

TEST(Tv, IgnoresTheFieldWhereTheWeightIsZero)
{
    Scene s;
    VolumeF weight(s.grid, 1.0F);
    weight(10, 10, 10) = weight(11, 10, 10) = 0.0F;
    const VolumeF before = tv(s.field, s.mask, oblique_b0, {.max_iterations = 10}, &weight).chi_ppm;
    s.field(10, 10, 10) = 100.0F;
    s.field(11, 10, 10) = std::numeric_limits<float>::quiet_NaN();
    expect_same_bits(tv(s.field, s.mask, oblique_b0, {.max_iterations = 10}, &weight).chi_ppm, before);
}

TEST(Tv, BeatsTkdOnASphereAndKnowingTheMaskHelps)
{
    const Grid grid = grid_of(28, 28, 28);
    const double direct = sphere_error_percent(
        [](const VolumeF& f, const Mask& m, const UnitVector& b) { return tkd(f, m, b); }, grid, 5.0, b0_along_z);
    const double plain = sphere_error_percent(unweighted, grid, 5.0, b0_along_z);
    const double with_weights = sphere_error_percent(weighted, grid, 5.0, b0_along_z);
    EXPECT_LT(plain, direct);
    EXPECT_LT(with_weights, plain);
    EXPECT_LT(with_weights, 12.0);
}

TEST(Tv, FindsASphereAlsoWithObliqueB0AndAnisotropicVoxels)
{
    const Grid isotropic = grid_of(28, 28, 28), flat = grid_of(28, 28, 18, {1, 1, 1.6});
    // What is left are the errors of a sphere made of voxels: 5 to 10 %, and more for coarse slices.
    for (const auto& invert : {unweighted, weighted}) {
        EXPECT_LT(sphere_error_percent(invert, isotropic, 5.0, b0_along_z), 10.0);
        EXPECT_LT(sphere_error_percent(invert, isotropic, 5.0, oblique_b0), 10.0);
        EXPECT_LT(sphere_error_percent(invert, flat, 5.0, oblique_b0), 14.0);
    }
    // Whoever ignores the tilt of 20 degrees pays for it.
    const auto without_tilt = [](const VolumeF& f, const Mask& m, const UnitVector&) { return unweighted(f, m, b0_along_z); };
    EXPECT_GT(sphere_error_percent(without_tilt, isotropic, 5.0, oblique_b0), 20.0);
}

TEST(Tv, RotatingTheScanByAxesRotatesTheMap)
{
    // x and z change places: only FFT round-off may differ.
    const Grid grid = grid_of(22, 20, 26), turned = grid_of(26, 20, 22);
    const VolumeF field = sphere_field_volume(grid, 4.0, 1.0, b0_along_z, {1, 0, 2});
    VolumeF turned_field(turned);
    const auto turn = [&](const VolumeF& from, VolumeF& to) {
        for (std::size_t z = 0; z < from.dims().nz; ++z)
            for (std::size_t y = 0; y < from.dims().ny; ++y)
                for (std::size_t x = 0; x < from.dims().nx; ++x) to(z, y, x) = from(x, y, z);
    };
    turn(field, turned_field);
    const VolumeF chi = unweighted(field, ball_mask(grid, 9.0), b0_along_z).chi_ppm;
    VolumeF expected(turned);
    turn(chi, expected);
    EXPECT_THAT(unweighted(turned_field, ball_mask(turned, 9.0), {1, 0, 0}).chi_ppm, VolumeNear(&expected, 2e-5));
}

TEST(Tv, BearsEveryMask)
{
    for (const auto& invert : {unweighted, weighted}) {
        expect_an_empty_mask_gives_zero(invert);
        expect_a_single_voxel_is_finite(invert);
        expect_nan_stays_away(invert);
        expect_same_bits_for_any_number_of_threads(invert);
        expect_translation_moves_the_map(invert);
    }
    expect_same_bits_for_any_number_of_threads([](const VolumeF& field, const Mask& mask, const UnitVector& b) {
        return tv(field, mask, b, {.norm = TvNorm::isotropic});
    });
}

TEST(Tv, EdgesOfTheMagnitudeMakeTheMapSharper)
{
    const Grid grid{{48, 44, 40}, {1, 1, 1}};
    const double radius_mm = 7.0, dchi_ppm = 0.2;
    const VolumeF field = sphere_field_volume(grid, radius_mm, dchi_ppm, oblique_b0);
    const Mask mask = ball_mask(grid, 18.0);
    const VolumeF truth = from_function(grid, [&](const Vec3& p) { return std::hypot(p[0], p[1], p[2]) < radius_mm ? dchi_ppm : 0.0; });
    const VolumeF magnitude = from_function(grid, [&](const Vec3& p) { return std::hypot(p[0], p[1], p[2]) < radius_mm ? 60.0 : 100.0; });
    const VolumeF flat(grid, 100.0F), weight(grid, 1.0F);
    const VolumeF edges = edge_guide(&magnitude, mask, Border::signal), none = edge_guide(&flat, mask, Border::signal);
    const TvOptions options{.lambda = 2e-3, .max_iterations = 100};
    const auto error = [&](const VolumeF* guide) {
        return relative_error_percent(tv(field, mask, oblique_b0, options, &weight, {}, guide).chi_ppm, truth, mask);
    };
    EXPECT_LT(error(&edges), 0.8 * error(nullptr));
    // A magnitude without edges changes nothing.
    expect_same_bits(tv(field, mask, oblique_b0, options, &weight, {}, &none).chi_ppm,
                     tv(field, mask, oblique_b0, options, &weight).chi_ppm);
}

TEST(Tv, AGuideEndsAsItIsAsked)
{
    const Grid grid{{8, 8, 8}, {1, 1, 1}};
    const Mask mask = ball_mask(grid, 2.5);
    const VolumeF magnitude(grid, 7.0F);
    const VolumeF unknown = edge_guide(&magnitude, mask, Border::unknown), signal = edge_guide(&magnitude, mask, Border::signal);
    for (std::size_t i = 0; i < mask.size(); ++i) {
        EXPECT_EQ(std::isnan(unknown[i]), mask[i] == 0);
        EXPECT_FALSE(std::isnan(signal[i]));
    }
    EXPECT_THROW((void)edge_guide(nullptr, mask, Border::signal), InputError);
}

// Total variation shrinks the contrast of a sphere; what it leaves of the field, added once, brings most of it back.
TEST(Tv, AddingTheRestOfTheFieldGivesContrastBack)
{
    const Scene s;
    const VolumeF truth = sphere_chi(s.grid, 7.0, 1.0), weight(s.grid, 1.0F);
    const auto error = [&](int add_back_after) {
        TvOptions o = periodic(2e-2, 60);
        o.add_back_after = add_back_after;
        const Result r = tv(s.field, s.mask, oblique_b0, o, &weight);
        const double mean = numerics::mean_inside(r.chi_ppm, s.mask), true_mean = numerics::mean_inside(truth, s.mask);
        double sum = 0.0;
        for (std::size_t i = 0; i < truth.size(); ++i) {
            const double d = static_cast<double>(r.chi_ppm[i]) - mean - (static_cast<double>(truth[i]) - true_mean);
            sum += d * d;
        }
        return std::sqrt(sum / static_cast<double>(truth.size()));
    };
    EXPECT_LT(error(30), 0.7 * error(0));
}

// It converges only after the field was added back.
TEST(Tv, DoesNotStopBeforeTheRestIsAdded)
{
    const Scene s;
    const VolumeF weight(s.grid, 1.0F);
    TvOptions o = periodic(2e-3, 40);
    o.tolerance = 0.5;
    o.add_back_after = 12;
    EXPECT_EQ(tv(s.field, s.mask, oblique_b0, o, &weight).iterations, 13);
}

TEST(ContinuedTv, GoesOnWhereItStopped)
{
    const Scene s;
    const VolumeF weight(s.grid, 1.0F);
    ContinuedTv continued(s.mask, oblique_b0, {}, weight);
    static_cast<void>(continued.run(s.field, 7));
    expect_same_bits(continued.run(s.field, 5),
                     tv(s.field, s.mask, oblique_b0, {.max_iterations = 12, .tolerance = 0.0}, &weight).chi_ppm);
}

TEST(ContinuedTv, FollowsAFieldThatChanges)
{
    const Scene s;
    const VolumeF weight(s.grid, 1.0F);
    ContinuedTv continued(s.mask, oblique_b0, {}, weight);
    static_cast<void>(continued.run(VolumeF(s.grid, 0.0F), 30));
    const VolumeF found = continued.run(s.field, 200);
    const VolumeF direct = tv(s.field, s.mask, oblique_b0, {.max_iterations = 200, .tolerance = 0.0}, &weight).chi_ppm;
    EXPECT_LT(relative_error_percent(found, direct, s.mask), 1.0);
}

// A source outside the mask explains the field; once others have removed that field, nothing in the mask should remember it.
TEST(ContinuedTv, ForgetsSourcesOutsideTheMask)
{
    const Scene s;
    const VolumeF weight(s.grid, 1.0F), nothing(s.grid, 0.0F);
    const VolumeF linear = from_function(s.grid, [](const Vec3& p) { return 0.001 * p[2]; });
    const auto left = [&](double forgotten_outside) {
        ContinuedTv continued(s.mask, oblique_b0, {}, weight);
        static_cast<void>(continued.run(linear, 40));
        const VolumeF map = continued.run(nothing, 5, forgotten_outside);
        double sum = 0.0;
        for (const float v : map) sum += static_cast<double>(v) * static_cast<double>(v);
        return std::sqrt(sum);
    };
    const double kept = left(0.0);
    EXPECT_GT(kept, 0.0);
    EXPECT_LT(left(1.0), 0.9 * kept);
}

TEST(Tv, BearsWeightsFarAboveOne)
{
    const Scene s;
    const VolumeF weight(s.grid, 1e4F);
    const VolumeF map = tv(s.field, s.mask, oblique_b0, {.max_iterations = 20, .tolerance = 0.0, .add_back_after = 5}, &weight).chi_ppm;
    EXPECT_TRUE(std::all_of(map.begin(), map.end(), [](float v) { return std::isfinite(v); }));
}

TEST(ContinuedTv, BearsAnEmptyMaskAndRefusesNonsense)
{
    const Grid grid{{8, 8, 8}, {1, 1, 1}};
    const Mask empty(grid, 0);
    const VolumeF weight(grid, 1.0F), other(Grid{{8, 8, 9}, {1, 1, 1}}, 1.0F);
    const VolumeF map = ContinuedTv(empty, oblique_b0, {}, weight).run(VolumeF(grid, 1.0F), 2);
    EXPECT_TRUE(std::all_of(map.begin(), map.end(), [](float v) { return v == 0.0F; }));
    EXPECT_THROW(ContinuedTv(empty, oblique_b0, {}, other), InputError);
    EXPECT_THROW(ContinuedTv(empty, oblique_b0, {.lambda = -1.0}, weight), InputError);
}

TEST(Tv, StopsByTheObserver)
{
    const Scene s;
    EXPECT_THROW((void)tv(s.field, s.mask, oblique_b0, {}, nullptr,
                          [](int i, double) {
                              if (i == 3) throw NumericalError("enough");
                          }),
                 NumericalError);
}

TEST(Tv, RefusesNonsense)
{
    const Grid grid = grid_of(8, 8, 8);
    const VolumeF field(grid, 0.0F);
    const Mask mask = full_mask(grid);
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {.lambda = 0.0}), InputError);
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {.relaxation = 2.0}), InputError);
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {.max_iterations = 0}), InputError);
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {.add_back_after = -1}), InputError);
    EXPECT_THROW((void)tv(field, mask, {0, 0, 0}), InputError);
    VolumeF weight(grid, 1.0F);
    weight[7] = -1.0F;
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {}, &weight), InputError);
    weight[7] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {}, &weight), InputError);
    const VolumeF other(grid_of(8, 8, 9), 1.0F);
    EXPECT_THROW((void)tv(field, mask, b0_along_z, {}, &other), InputError);
}

}  // namespace
}  // namespace qsmpi::inversion
