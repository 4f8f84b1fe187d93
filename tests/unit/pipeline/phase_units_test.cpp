// Phase in another unit than radians: in one echo, or in all.
#include <cmath>
#include <numbers>

#include "bad_data.hpp"

namespace qsmpi::pipeline {

using PhaseUnits = BadData;

TEST_F(PhaseUnits, AnEchoInAnotherUnitThanTheOthersIsRefused)
{
    struct Case {
        bool masked;
        std::size_t wrong;
        double factor;
    };
    // With air every echo wraps; without it those that are late enough to.
    for (const Case c : {Case{false, 0, 0.5}, Case{false, 1, 0.5 / std::numbers::pi}, Case{false, 2, 1.0 / std::numbers::pi},
                         Case{true, 3, 0.5}, Case{true, 4, 1.0 / std::numbers::pi}}) {
        const TinyScan scan({.n_echoes = 5});
        for (std::size_t e = 0; e < 5; ++e) {
            edit(scan, e, [&](VolumeF& phase, VolumeF& magnitude) {
                for (std::size_t v = 0; v < phase.size(); ++v) {
                    if (c.masked && magnitude[v] < 200.0f) phase[v] = 0.0f;
                    if (e == c.wrong) phase[v] *= static_cast<float>(c.factor);
                }
            });
        }
        expect_refusal(scan.job(), str("echo ", c.wrong + 1, ": the phase wraps, but spans ").c_str());
    }
}

TEST_F(PhaseUnits, AMaskedPhaseThatHasNotWrappedYetIsNoOtherUnit)
{
    const TinyScan scan;
    for (std::size_t e = 0; e < 3; ++e) {
        edit(scan, e, [&](VolumeF& phase, VolumeF& magnitude) {
            const VolumeF noise = test::noise(phase.grid(), 0.1, 7);
            for (std::size_t v = 0; v < phase.size(); ++v) {
                const Vec3 r = test::position_mm(phase.grid(), v % phase.dims().nx, v / phase.dims().nx % phase.dims().ny,
                                                 v / (phase.dims().nx * phase.dims().ny));
                const bool inside = std::hypot(r[0], r[1], r[2]) < TinyScan::head_radius_mm;
                // From -1.3 to 1.3 rad in the first echo, and beyond the circle in the third.
                if (e == 0) phase[v] = static_cast<float>(0.1 * r[2]) + noise[v];
                if (!inside) phase[v] = magnitude[v] = 0.0f;
            }
        });
    }
    const JobResult result = run(scan.job());
    EXPECT_EQ(result.state, "done") << result.message;
}

TEST_F(PhaseUnits, PhaseInTurnsIsSaidToBeNarrow)
{
    const TinyScan scan;
    for (const std::size_t e : {0u, 1u, 2u})
        edit(scan, e, [](VolumeF& phase, VolumeF&) {
            for (float& p : phase) p *= 0.159155f;
        });
    const JobResult result = run(scan.job());
    EXPECT_THAT(result.warnings, Contains(HasSubstr("not a full circle")));
}

}  // namespace qsmpi::pipeline
