#include "qsmpi/phase/laplacian.hpp"

#include "echoes.hpp"

namespace qsmpi::phase
{
namespace
{

using namespace test;

TEST(Laplacian, RecoversASmoothPhaseUpToItsMean)
{
    // Wrapped differences are the true ones while these are below pi, and the discrete Neumann problem has
    // the truth as its only solution of mean 0. Left is FFT round-off, 1e-6 of the range, raised by 1 /
    // eigenvalue of slow waves.
    for (const Grid& grid : {grid_of(32, 24, 20), grid_of(31, 25, 17, {0.7, 1.0, 2.1}), grid_of(30, 15, 1),
                             grid_of(1, 15, 12), grid_of(2, 27, 9)}) {
        VolumeF truth = from_function(grid, [](const Vec3& r) {
            return 0.02 * (r[0] * r[0] + r[1] * r[1]) - 0.5 * r[2] + 2.0 * std::sin(0.2 * r[0] + 0.3 * r[1]);
        });
        const VolumeF wrapped = wrapped_copy(truth);
        double mean = 0.0;
        for (const float p : truth) mean += static_cast<double>(p) / static_cast<double>(truth.size());
        for (float& p : truth) p -= static_cast<float>(mean);
        EXPECT_THAT(unwrap_laplacian(wrapped), VolumeNear(&truth, 2e-4));
    }
}

TEST(Laplacian, DiffersFromASphereFieldOnlyByAFunctionWithoutSourcesAwayFromIt)
{
    // Steps above pi at the air sphere are lost, the rest of the source is kept: away from the sphere the
    // difference to the truth has no Laplacian (1e-3 of that of the truth's steepest part).
    const Grid grid = grid_of(36, 33, 34);
    const VolumeF truth = from_function(grid, [](const Vec3& r) {
        return units::rad_from_hz(units::hz_per_ppm(7.0) * sphere_field(r, 5.0, 9.4, b0_along_z), 0.010);
    });
    const VolumeF result = unwrap_laplacian(wrapped_copy(truth));
    const Mask far = mask_from(grid, [](const Vec3& r) {
        return std::hypot(r[0], r[1], r[2]) > 13.0 &&
               std::max({std::abs(r[0]), std::abs(r[1]), std::abs(r[2])}) < 15.0;
    });
    const auto laplacian = [&](const auto& value, std::size_t x, std::size_t y, std::size_t z) {
        return value(x + 1, y, z) + value(x - 1, y, z) + value(x, y + 1, z) + value(x, y - 1, z) +
               value(x, y, z + 1) + value(x, y, z - 1) - 6.0 * value(x, y, z);
    };
    double worst = 0.0, steepest = 0.0;
    for (std::size_t z = 1; z < 33; ++z)
        for (std::size_t y = 1; y < 32; ++y)
            for (std::size_t x = 1; x < 35; ++x) {
                const auto of_truth = [&](auto... i) { return static_cast<double>(truth(i...)); };
                const auto of_difference = [&](auto... i) {
                    return static_cast<double>(result(i...)) - static_cast<double>(truth(i...));
                };
                steepest = std::max(steepest, std::abs(laplacian(of_truth, x, y, z)));
                if (far(x, y, z)) worst = std::max(worst, std::abs(laplacian(of_difference, x, y, z)));
            }
    EXPECT_LT(worst, 1e-3 * steepest);
}

TEST(Laplacian, PassesOverNonFinitePhase)
{
    const Grid grid = grid_of(16, 15, 14);
    VolumeF wrapped(grid, 0.3f);
    wrapped(0, 0, 0) = std::nanf("");
    wrapped(7, 7, 7) = INFINITY;
    const VolumeF result = unwrap_laplacian(wrapped);
    EXPECT_TRUE(all_finite(result));
    const VolumeF flat(grid, 0.0f);
    EXPECT_THAT(result, VolumeNear(&flat, 1e-5));
}

}  // namespace
}  // namespace qsmpi::phase
