#include <filesystem>

#include "echoes.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/phase/offsets.hpp"
#include "qsmpi/phase/romeo.hpp"

// In-vivo brain crop, 51 x 51 x 41 voxels of 0.469 x 0.469 x 1 mm, 3 echoes at 4, 8, 12 ms, with veins and
// noise.

namespace qsmpi::phase
{
namespace
{

using namespace test;

constexpr double crop_phase_range = 0.003674;  ///< stored value that stands for pi

Echoes real_crop()
{
    const std::filesystem::path folder =
        std::filesystem::path(QSMPI_SHARED_DATA) / "data" / "gre-3echo-brain-crop";
    if (!std::filesystem::exists(folder)) return {};
    const auto read = [&](const char* name) {
        return io::read_nifti_all(folder / name, io::read_nifti_header(folder / name));
    };
    Echoes e{read("Phase.nii"), read("Mag.nii"), {0.004, 0.008, 0.012}};
    for (VolumeF& phase : e.phase_rad) {
        for (float& p : phase) p = wrapped_by_atan2(static_cast<double>(p) * units::pi / crop_phase_range);
    }
    return e;
}

/// Voxels above a tenth of the largest magnitude of the last echo.
Mask bright(const Echoes& e)
{
    const VolumeF& m = e.magnitude.back();
    const float largest = *std::max_element(m.begin(), m.end());
    Mask mask(m.grid());
    for (std::size_t i = 0; i < m.size(); ++i) mask[i] = m[i] > 0.1f * largest ? 1 : 0;
    return mask;
}

class RealCrop : public ::testing::Test
{
protected:
    void SetUp() override
    {
        echoes = real_crop();
        if (echoes.phase_rad.empty()) GTEST_SKIP() << "the shared data are not here";
        mask = bright(echoes);
    }
    Echoes echoes;
    Mask mask;
};

/// Part of the voxel pairs along each axis, inside the mask, that differ by more than pi.
double part_of_steps_above_pi(const VolumeF& u, const Mask& mask)
{
    const Dims& d = u.dims();
    double pairs = 0.0, steps = 0.0;
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x)
                for (int axis = 0; axis < 3; ++axis) {
                    const std::size_t a = x + (axis == 0), b = y + (axis == 1), c = z + (axis == 2);
                    if (a >= d.nx || b >= d.ny || c >= d.nz || !mask(x, y, z) || !mask(a, b, c)) continue;
                    pairs += 1.0;
                    steps += std::abs(u(x, y, z) - u(a, b, c)) > 3.15f ? 1.0 : 0.0;
                }
    return steps / pairs;
}

TEST_F(RealCrop, UnwrapsCongruentlyWithFewJumps)
{
    const VolumeF& phase = echoes.phase_rad[2];
    const VolumeF result = unwrap_romeo(phase, {.magnitude = &echoes.magnitude[2], .mask = &mask});
    EXPECT_LT(worst_incongruence(result, phase, mask), 1e-4);
    EXPECT_GT(part_of_steps_above_pi(phase, mask), 0.01) << "the input is wrapped";
    EXPECT_LT(part_of_steps_above_pi(result, mask), 0.003) << "what is left are noise and veins";
}

TEST_F(RealCrop, KeepsEchoesConsistentAfterOffsetRemoval)
{
    (void)remove_offset(echoes.phase_rad, echoes.magnitude, echoes.echo_times_s);
    const auto u = unwrap_romeo_template(echoes.phase_rad, echoes.magnitude, echoes.echo_times_s, &mask);
    std::size_t inside = 0, inconsistent = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (!mask[i]) continue;
        ++inside;
        // From the first echo to the last the field must stay the same within a quarter of a turn at the
        // last.
        const double rest = static_cast<double>(u[2][i]) - 1.5 * static_cast<double>(u[1][i]);
        inconsistent += std::abs(rest) > units::pi / 2.0 ? 1 : 0;
    }
    EXPECT_LT(static_cast<double>(inconsistent), 0.005 * static_cast<double>(inside));
    for (std::size_t k = 0; k < 3; ++k) EXPECT_LT(worst_incongruence(u[k], echoes.phase_rad[k], mask), 1e-4);
}

TEST_F(RealCrop, IgnoresAConstantPhaseAndTheScaleOfTheMagnitude)
{
    const RomeoInput input{.magnitude = &echoes.magnitude[0],
                           .mask = &mask,
                           .second_phase_rad = &echoes.phase_rad[1],
                           .echo_time_s = 0.004,
                           .second_echo_time_s = 0.008};
    const VolumeF before = unwrap_romeo(echoes.phase_rad[0], input);
    VolumeF turned = echoes.phase_rad[0].clone(), scaled = echoes.magnitude[0].clone();
    for (float& p : turned) p = wrapped_by_atan2(static_cast<double>(p) + 1.0);
    for (float& m : scaled) m *= 256.0f;
    RomeoInput other = input;
    other.magnitude = &scaled;
    const VolumeF after = unwrap_romeo(turned, other);
    std::size_t different = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const double turns =
            (static_cast<double>(after[i]) - static_cast<double>(before[i]) - 1.0) / units::two_pi;
        different += mask[i] && std::abs(turns) > 0.01 ? 1 : 0;
    }
    EXPECT_LT(static_cast<double>(different), 0.001 * static_cast<double>(mask.size()));
}

TEST_F(RealCrop, HardlyDependsOnTheOrderOfTheAxes)
{
    const VolumeF& phase = echoes.phase_rad[2];
    const Dims d = phase.dims();
    const Grid turned_grid{{d.nz, d.nx, d.ny}, {1, 1, 1}};
    VolumeF p(turned_grid), m(turned_grid);
    Mask turned_mask(turned_grid);
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                p(z, x, y) = phase(x, y, z);
                m(z, x, y) = echoes.magnitude[2](x, y, z);
                turned_mask(z, x, y) = mask(x, y, z);
            }
    const VolumeF a = unwrap_romeo(phase, {.magnitude = &echoes.magnitude[2], .mask = &mask});
    const VolumeF b = unwrap_romeo(p, {.magnitude = &m, .mask = &turned_mask});
    std::size_t different = 0;
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x)
                different += std::abs(a(x, y, z) - b(z, x, y)) > 1.0f ? 1 : 0;
    EXPECT_LT(static_cast<double>(different), 0.001 * static_cast<double>(phase.size()));
}

TEST_F(RealCrop, SurvivesNaNAndZeroMagnitude)
{
    for (std::size_t i = 0; i < 3000; i += 7) echoes.phase_rad[0][i] = std::nanf("");
    for (std::size_t i = 5000; i < 9000; ++i) echoes.magnitude[0][i] = 0.0f;
    const auto u = unwrap_romeo_template(echoes.phase_rad, echoes.magnitude, echoes.echo_times_s, nullptr);
    for (const VolumeF& echo : u) EXPECT_TRUE(all_finite(echo));
}

TEST_F(RealCrop, ShowsNoBipolarReadout)
{
    EXPECT_LT(bipolar_evidence(echoes.phase_rad, echoes.magnitude, echoes.echo_times_s), 0.3);
}

}  // namespace
}  // namespace qsmpi::phase
