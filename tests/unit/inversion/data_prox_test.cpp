#include "data_prox.hpp"

#include <cmath>
#include <numbers>

#include "inversion_cases.hpp"

namespace qsmpi::inversion::detail {
namespace {

using namespace qsmpi::test;
using Energy = std::function<double(double v, double f, double w)>;

constexpr double r = 20.0;  // rad/ppm

double phase_l2_energy(double v, double f, double w) { return w * w / (r * r) * (1.0 - std::cos(r * (v - f))); }
double phase_l1_energy(double v, double f, double w) { return 2.0 * w / r * std::abs(std::sin(0.5 * r * (v - f))); }
double linear_l2_energy(double v, double f, double w) { return 0.5 * w * w * (v - f) * (v - f); }
double linear_l1_energy(double v, double f, double w) { return w * std::abs(v - f); }

/// Fields, weights from 0 to 3 and points t within some turns of the field.
struct Points {
    Grid grid = grid_of(10, 10, 10);
    VolumeF field = noise(grid, 0.2, 1), weight = noise(grid, 1.0, 2), t = noise(grid, 0.3, 3), v{grid, 0.0F};
    explicit Points(const std::function<DataProx(const VolumeF&, const VolumeF&)>& make)
    {
        for (float& w : weight) w = std::min(std::abs(w), 3.0F);
        weight[7] = 0.0F;
        const DataProx prox = make(field, weight);
        for (std::size_t at = 0; at < t.size(); at += 10) prox(at, 10, t.data() + at, v.data() + at);
    }
};

/// No point of a fine grid around t is better than v.
void expect_minimum(const Points& p, const Energy& energy, double mu, double tolerance)
{
    for (std::size_t i = 0; i < p.t.size(); ++i) {
        const auto f = static_cast<double>(p.field[i]), w = static_cast<double>(p.weight[i]);
        const auto t = static_cast<double>(p.t[i]), v = static_cast<double>(p.v[i]);
        const auto value = [&](double x) { return energy(x, f, w) + 0.5 * mu * (x - t) * (x - t); };
        double best = value(f);
        for (int k = -400; k <= 400; ++k) best = std::min(best, value(t + 0.001 * k));
        ASSERT_LE(value(v), best + tolerance) << "f " << f << " w " << w << " t " << t << " v " << v;
    }
}

TEST(DataProx, SolvesEachVoxelsProblem)
{
    // Tolerances: where the slope of the nonlinear equations almost vanishes, four Newton steps leave 2 % of a step
    // of the data term, and the value is off by the square of that.
    expect_minimum(Points([](auto& f, auto& w) { return linear_l2(f, w, 0.7); }), linear_l2_energy, 0.7, 1e-7);
    expect_minimum(Points([](auto& f, auto& w) { return linear_l1(f, w, 30.0); }), linear_l1_energy, 30.0, 1e-6);
    expect_minimum(Points([](auto& f, auto& w) { return phase_l2(f, w, 0.7, r); }), phase_l2_energy, 0.7, 2e-5);
    expect_minimum(Points([](auto& f, auto& w) { return phase_l1(f, w, 30.0, r); }), phase_l1_energy, 30.0, 2e-5);
}

TEST(DataProx, ItsPullIsTheGradientOfTheDataTerm)
{
    // At the minimum phi'(v) = mu (t - v), with phi' from finite differences. Points near the edge of a turn, where the
    // solution is not exact, and on the kinks of the magnitude are left out.
    const double mu = 1.0, mu_per_ppm = 30.0, step = 1e-4;
    const Points squares([&](auto& f, auto& w) { return phase_l2(f, w, mu, r); });
    const Points magnitudes([&](auto& f, auto& w) { return phase_l1(f, w, mu_per_ppm, r); });
    int n = 0;
    const auto compare = [&](const Points& p, const Energy& energy, double m, double tolerance) {
        for (std::size_t i = 0; i < p.t.size(); ++i) {
            const auto f = static_cast<double>(p.field[i]), w = static_cast<double>(p.weight[i]);
            const auto t = static_cast<double>(p.t[i]), v = static_cast<double>(p.v[i]);
            const double turn = std::remainder(r * (t - f), 2.0 * std::numbers::pi);
            if (std::abs(turn) > 2.2 || std::abs(std::remainder(r * (v - f), 2.0 * std::numbers::pi)) < 0.01) continue;
            const double slope = (energy(v + step, f, w) - energy(v - step, f, w)) / (2.0 * step);
            ASSERT_NEAR(m * (t - v), slope, tolerance) << "turn " << turn << " w " << w;
            ++n;
        }
    };
    compare(squares, phase_l2_energy, mu, 1e-4);
    compare(magnitudes, phase_l1_energy, mu_per_ppm, 3e-3);
    EXPECT_GT(n, 400);
}

TEST(DataProx, IsLinearForSmallPhases)
{
    const double small = 1e-2;
    const Points squares([&](auto& f, auto& w) { return phase_l2(f, w, 1.0, small); });
    const Points linear_squares([&](auto& f, auto& w) { return linear_l2(f, w, 1.0); });
    EXPECT_THAT(squares.v, VolumeNear(&linear_squares.v, 2e-5));
    const Points magnitudes([&](auto& f, auto& w) { return phase_l1(f, w, 10.0, small); });
    const Points linear_magnitudes([&](auto& f, auto& w) { return linear_l1(f, w, 10.0); });
    EXPECT_THAT(magnitudes.v, VolumeNear(&linear_magnitudes.v, 2e-5));
}

TEST(DataProx, IsBlindToWholeTurns)
{
    const auto turned = [](const VolumeF& f) {
        VolumeF g = f.clone();
        for (std::size_t i = 0; i < g.size(); i += 3) g[i] += static_cast<float>(2.0 * std::numbers::pi / r);
        return g;
    };
    VolumeF kept;
    for (const bool l1 : {false, true}) {
        const Points plain([&](auto& f, auto& w) { return l1 ? phase_l1(f, w, 30.0, r) : phase_l2(f, w, 1.0, r); });
        const Points other([&](auto& f, auto& w) {
            kept = turned(f);
            return l1 ? phase_l1(kept, w, 30.0, r) : phase_l2(kept, w, 1.0, r);
        });
        // A point on the edge between two turns may fall to either side; the test data have none.
        EXPECT_THAT(other.v, VolumeNear(&plain.v, 5e-5));
    }
}

TEST(DataProx, LeavesVoxelsOfUnknownFieldAlone)
{
    const auto untouched = [](const Points& p) { return p.v[7] == p.t[7]; };
    EXPECT_TRUE(untouched(Points([](auto& f, auto& w) { return linear_l2(f, w, 1.0); })));
    EXPECT_TRUE(untouched(Points([](auto& f, auto& w) { return linear_l1(f, w, 10.0); })));
    EXPECT_TRUE(untouched(Points([](auto& f, auto& w) { return phase_l2(f, w, 1.0, r); })));
    EXPECT_TRUE(untouched(Points([](auto& f, auto& w) { return phase_l1(f, w, 10.0, r); })));
}

TEST(HalfAngle, IsAccurate)
{
    for (int i = -1000; i <= 1000; ++i) {
        const double angle = std::numbers::pi * i / 1000.0;
        const HalfAngle half(static_cast<float>(angle));
        ASSERT_NEAR(static_cast<double>(half.sine), std::sin(angle / 2.0), 2e-7);
        ASSERT_NEAR(static_cast<double>(half.cosine), std::cos(angle / 2.0), 2e-7);
    }
}

}  // namespace
}  // namespace qsmpi::inversion::detail
