#include "qsmpi/evaluation/score.hpp"

#include <cmath>
#include <cstring>
#include <limits>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "qsmpi/core/parallel.hpp"
#include "volumes.hpp"

namespace qsmpi::evaluation {
namespace {

using test::grid_of;

/// A reproducible case that another program can build from the same formulas.
struct Case {
    VolumeF truth, map, segmentation;
    Mask mask;
};

/// Uniform numbers in [0, 1) from the voxel index alone.
double uniform(std::size_t i, std::uint64_t seed)
{
    return static_cast<double>(((i * 2654435761ULL + seed * 40503ULL) % 4294967296ULL) >> 8) / 16777216.0;
}

Case synthetic_case()
{
    const Grid grid = grid_of(20, 18, 16);
    Case c{VolumeF(grid), VolumeF(grid), VolumeF(grid), Mask(grid)};
    const auto near = [](std::size_t a, double b, double reach) {
        return std::abs(static_cast<double>(a) - b) <= reach;
    };
    for (std::size_t iz = 0, i = 0; iz < 16; ++iz)
        for (std::size_t iy = 0; iy < 18; ++iy)
            for (std::size_t ix = 0; ix < 20; ++ix, ++i) {
                const auto x = static_cast<double>(ix), y = static_cast<double>(iy),
                           z = static_cast<double>(iz);
                double truth = 0.05 * std::sin(0.7 * x) * std::cos(0.5 * y) + 0.03 * std::sin(0.9 * z) +
                               0.02 * (uniform(i, 1) - 0.5);
                int label = iz > 8 ? 3 : 2;
                const double nuclei[4][2] = {{4, 4}, {13, 4}, {4, 12}, {13, 12}};
                for (int k = 0; k < 4; ++k)
                    if (near(ix, nuclei[k][0], 1) && near(iy, nuclei[k][1], 1) && near(iz, 4, 1)) {
                        label = 4 + k;
                        truth += 0.04 * (k + 1);
                    }
                if (ix == 10 && iy > 2 && iy < 15 && iz == 12) label = 11, truth += 0.3;
                if (near(ix, 9, 1) && iy == 8 && iz == 7) label = 12, truth -= 1.2;
                const double map =
                    0.8 * truth + 0.05 + 0.04 * (uniform(i, 2) - 0.5) + 0.01 * std::sin(0.4 * x + 0.3 * z);
                c.truth[i] = static_cast<float>(truth);
                c.map[i] = ix == 5 ? 0.0F : static_cast<float>(map);
                c.segmentation[i] = static_cast<float>(label);
                c.mask[i] = std::pow((x - 9.5) / 9.2, 2) + std::pow((y - 8.5) / 8.4, 2) +
                                std::pow((z - 7.5) / 7.6, 2) <=
                            1.0;
            }
    return c;
}

TEST(Score, AgreesWithAnIndependentNumpyImplementation)
{
    // Reference: numpy 1.24 and scipy 1.10 (uniform_filter, gaussian_laplace, binary_dilation, polyfit) in double on
    // the same formulas. Six digits: what float volumes and float filters leave.
    const Case c = synthetic_case();
    const Score s = score(c.truth, c.map, c.mask, &c.segmentation);
    EXPECT_NEAR(s.coverage_percent, 93.9935064935065, 1e-9);
    EXPECT_NEAR(s.nrmse_percent, 38.404207279328574, 1e-4);
    EXPECT_NEAR(s.nrmse_detrended_percent, 41.02078617195195, 1e-4);
    EXPECT_NEAR(s.nrmse_tissue_percent, 66.02317409821457, 1e-4);
    EXPECT_NEAR(s.nrmse_deep_grey_percent, 79.74382583062294, 1e-4);
    EXPECT_NEAR(s.nrmse_blood_percent, 15.628488146702285, 1e-4);
    EXPECT_NEAR(s.xsim, 0.11890414477467748, 1e-7);
    EXPECT_NEAR(s.hfen_percent, 54.17436922351114, 1e-4);
    EXPECT_NEAR(s.deep_grey_slope, 0.8849582084375643, 1e-6);
    EXPECT_NEAR(s.calcification_moment_ratio, 0.7881964326244574, 1e-6);
    EXPECT_NEAR(s.calcification_streak_ppb, 22.746149055083617, 1e-4);
}

/// The definitions of 14.1 voxel by voxel: no running sums, no separability.
double xsim_by_definition(const Case& c)
{
    const auto at = [&](const VolumeF& v, int x, int y, int z) {
        const auto i = v.dims().index(static_cast<std::size_t>(x), static_cast<std::size_t>(y),
                                      static_cast<std::size_t>(z));
        return c.mask[i] != 0 ? static_cast<double>(v[i]) : 0.0;
    };
    const int n[3] = {20, 18, 16};
    double total = 0;
    int n_inside = 0;
    for (int z = 0; z < n[2]; ++z)
        for (int y = 0; y < n[1]; ++y)
            for (int x = 0; x < n[0]; ++x) {
                if (c.mask(static_cast<std::size_t>(x), static_cast<std::size_t>(y),
                           static_cast<std::size_t>(z)) == 0)
                    continue;
                std::vector<std::pair<double, double>> window;
                for (int k = std::max(0, z - 2); k <= std::min(n[2] - 1, z + 2); ++k)
                    for (int j = std::max(0, y - 2); j <= std::min(n[1] - 1, y + 2); ++j)
                        for (int i = std::max(0, x - 2); i <= std::min(n[0] - 1, x + 2); ++i)
                            window.emplace_back(at(c.truth, i, j, k), at(c.map, i, j, k));
                double a = 0, b = 0, va = 0, vb = 0, cov = 0;
                const auto size = static_cast<double>(window.size());
                for (const auto& [p, q] : window) a += p / size, b += q / size;
                for (const auto& [p, q] : window) {
                    va += (p - a) * (p - a) / size;
                    vb += (q - b) * (q - b) / size;
                    cov += (p - a) * (q - b) / size;
                }
                total += (2 * a * b + 1e-4) * (2 * cov + 1e-6) / ((a * a + b * b + 1e-4) * (va + vb + 1e-6));
                ++n_inside;
            }
    return total / n_inside;
}

TEST(Score, HasTheXsimAndNrmseOfTheirDefinitions)
{
    const Case c = synthetic_case();
    const Score s = score(c.truth, c.map, c.mask);
    EXPECT_NEAR(s.xsim, xsim_by_definition(c), 1e-9);
    double n = 0, mean_t = 0, mean_m = 0, error = 0, size = 0;
    for (std::size_t i = 0; i < c.mask.size(); ++i)
        if (c.mask[i] != 0)
            n += 1, mean_t += static_cast<double>(c.truth[i]), mean_m += static_cast<double>(c.map[i]);
    for (std::size_t i = 0; i < c.mask.size(); ++i) {
        if (c.mask[i] == 0) continue;
        const double t = static_cast<double>(c.truth[i]) - mean_t / n,
                     m = static_cast<double>(c.map[i]) - mean_m / n;
        error += (m - t) * (m - t);
        size += t * t;
    }
    EXPECT_NEAR(s.nrmse_percent, 100 * std::sqrt(error / size), 1e-9);
}

TEST(Score, OfTheTruthItselfIsPerfect)
{
    const Case c = synthetic_case();
    const Score s = score(c.truth, c.truth, c.mask, &c.segmentation);
    EXPECT_DOUBLE_EQ(s.coverage_percent, 100.0);
    EXPECT_EQ(s.nrmse_percent, 0.0);
    EXPECT_NEAR(s.nrmse_detrended_percent, 0.0,
                1e-5);  // a difference of squares: sqrt(eps) of a hundred percent
    EXPECT_NEAR(s.xsim, 1.0, 1e-12);
    EXPECT_EQ(s.hfen_percent, 0.0);
    EXPECT_NEAR(s.deep_grey_slope, 1.0, 1e-12);
    EXPECT_NEAR(s.calcification_moment_ratio, 1.0, 1e-12);
    EXPECT_EQ(s.calcification_streak_ppb, 0.0);
}

TEST(Score, SeesScaleInTheSlopeAndForgivesItAfterDetrending)
{
    const Case c = synthetic_case();
    VolumeF map(c.truth.grid());
    for (std::size_t i = 0; i < map.size(); ++i) map[i] = 0.7F * c.truth[i] + 0.02F;
    const Score s = score(c.truth, map, c.mask, &c.segmentation);
    EXPECT_NEAR(s.nrmse_percent, 30.0, 1e-4);
    EXPECT_NEAR(s.nrmse_detrended_percent, 0.0, 1e-2);
    EXPECT_NEAR(s.deep_grey_slope, 0.7, 1e-6);
    EXPECT_NEAR(s.calcification_moment_ratio, 0.7, 1e-6);
}

TEST(Score, DoesNotSeeWhatLiesOutsideTheMask)
{
    Case c = synthetic_case();
    const Score before = score(c.truth, c.map, c.mask, &c.segmentation);
    for (std::size_t i = 0; i < c.mask.size(); ++i)
        if (c.mask[i] == 0) c.map[i] = std::numeric_limits<float>::quiet_NaN(), c.truth[i] = 1e9F;
    const Score after = score(c.truth, c.map, c.mask, &c.segmentation);
    EXPECT_EQ(nlohmann::json(before).dump(), nlohmann::json(after).dump());
}

TEST(Score, CountsVoxelsThatAreNotFiniteAsNotCovered)
{
    Case c = synthetic_case();
    VolumeF with_zero = c.map.clone();
    c.map(9, 9, 9) = std::numeric_limits<float>::quiet_NaN();
    with_zero(9, 9, 9) = 0.0F;
    EXPECT_EQ(nlohmann::json(score(c.truth, c.map, c.mask)).dump(),
              nlohmann::json(score(c.truth, with_zero, c.mask)).dump());
}

TEST(Score, HasNoRegionMetricsWithoutLabelsAndSaysSoInJsonAsNull)
{
    const Case c = synthetic_case();
    const nlohmann::json j = score(c.truth, c.map, c.mask);
    const nlohmann::json read_back = nlohmann::json::parse(j.dump());
    EXPECT_TRUE(read_back.at("deep_grey_slope").is_null());
    EXPECT_TRUE(read_back.at("calcification_streak_ppb").is_null());
    EXPECT_TRUE(read_back.at("xsim").is_number());
    const VolumeF no_labels(c.truth.grid(), 0.0F);
    EXPECT_TRUE(std::isnan(score(c.truth, c.map, c.mask, &no_labels).nrmse_blood_percent));
}

TEST(Score, GivesTheSameBitsForAnyNumberOfThreads)
{
    const Case c = synthetic_case();
    const int before = parallel::threads();
    parallel::set_threads(1);
    const std::string one = nlohmann::json(score(c.truth, c.map, c.mask, &c.segmentation)).dump();
    parallel::set_threads(3);
    EXPECT_EQ(nlohmann::json(score(c.truth, c.map, c.mask, &c.segmentation)).dump(), one);
    parallel::set_threads(before);
}

TEST(Score, RefusesAnEmptyMaskAndATruthThatIsNotFinite)
{
    Case c = synthetic_case();
    EXPECT_THROW(static_cast<void>(score(c.truth, c.map, Mask(c.mask.grid(), 0))), InputError);
    EXPECT_THROW(static_cast<void>(score(c.truth, VolumeF(grid_of(20, 18, 15), 0.0F), c.mask)), InputError);
    c.truth(9, 9, 9) = std::numeric_limits<float>::quiet_NaN();
    EXPECT_THROW(static_cast<void>(score(c.truth, c.map, c.mask)), InputError);
}

}  // namespace
}  // namespace qsmpi::evaluation
