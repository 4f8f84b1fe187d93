#include "qsmpi/simulation/scene.hpp"

#include <cmath>

#include <gmock/gmock.h>

#include "volumes.hpp"

namespace qsmpi::simulation {
namespace {

using test::position_mm;

Lattice lattice_of(const Grid& grid)
{
    const Vec3 first = position_mm(grid, 0, 0, 0);
    return {grid.dims, grid.voxel_mm, first};
}

TEST(Painter, FillsARotatedEllipsoidAsItsEquationSays)
{
    const Grid grid = test::grid_of(31, 24, 27, {1.0, 1.3, 0.9});
    const double c = std::cos(0.4), s = std::sin(0.4);
    Ellipsoid e;
    e.centre_mm = {1.2, -2.1, 0.7};
    e.half_axes_mm = {11.0, 4.0, 6.0};
    e.axes = {Vec3{c, s, 0}, Vec3{-s, c, 0}, Vec3{0, 0, 1}};
    e.tissue = Tissue::bone;
    Scene scene;
    scene.add(e);
    const Painter painter(scene, lattice_of(grid));
    std::vector<Code> codes(grid.dims.nx);
    std::size_t inside = 0;
    for (std::size_t z = 0; z < grid.dims.nz; ++z) {
        for (std::size_t y = 0; y < grid.dims.ny; ++y) {
            painter.row(y, z, codes.data());
            for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                const Vec3 p = position_mm(grid, x, y, z);
                const double dx = p[0] - 1.2, dy = p[1] + 2.1, dz = p[2] - 0.7;
                const double u = (c * dx + s * dy) / 11.0, v = (-s * dx + c * dy) / 4.0, w = dz / 6.0;
                const double r = u * u + v * v + w * w;
                if (std::abs(r - 1.0) < 1e-9) continue;  // on the surface round-off decides
                ASSERT_EQ(codes[x], r < 1.0 ? static_cast<Code>(Tissue::bone) : 0) << x << ' ' << y << ' ' << z;
                inside += r < 1.0;
            }
        }
    }
    EXPECT_GT(inside, 500U);
}

TEST(Painter, LaterShapesReplaceOnlyWhatTheyMayAndKeepTheBrainMark)
{
    Scene scene;
    Ellipsoid brain;
    brain.half_axes_mm = {5.5, 5.5, 5.5};
    brain.tissue = Tissue::white_matter;
    brain.brain = true;
    scene.add(brain);
    Ellipsoid vein;
    vein.half_axes_mm = {8, 1, 1};
    vein.tissue = Tissue::blood;
    vein.over = bit(Tissue::white_matter);
    scene.add(vein);
    const Painter painter(scene, {{21, 1, 1}, {1, 1, 1}, {-10, 0, 0}});
    std::vector<Code> codes(21);
    painter.row(0, 0, codes.data());
    for (std::size_t x = 0; x < 21; ++x) {
        const bool inside = x >= 5 && x <= 15;
        EXPECT_EQ(tissue_of(codes[x]), static_cast<std::size_t>(inside ? Tissue::blood : Tissue::background)) << x;
        EXPECT_EQ(is_brain(codes[x]), inside) << x;
    }
}

TEST(Scene, RefusesAnEllipsoidWithoutThickness)
{
    Scene scene;
    Ellipsoid flat;
    flat.half_axes_mm = {3, 0, 3};
    EXPECT_THROW(scene.add(flat), InputError);
}

TEST(Scene, ATubeIsAsWideAsItsRadius)
{
    Scene scene;
    std::vector<Vec3> path;
    for (double x = -20; x <= 20; x += 0.3) path.push_back({x, 0.0, 0.0});
    scene.add_tube(path, 2.0, Tissue::blood, ~std::uint32_t{0});
    const CellMean cells(scene, {{5, 9, 9}, {1, 1, 1}, {-2, -4.03, -3.91}}, 8);
    std::array<float, 256> one_in_blood{};
    one_in_blood[static_cast<std::size_t>(Tissue::blood)] = 1.0F;
    std::vector<float> row(5);
    double area = 0.0;
    for (std::size_t z = 0; z < 9; ++z) {
        for (std::size_t y = 0; y < 9; ++y) {
            cells.row(y, z, one_in_blood, row.data());
            area += static_cast<double>(row[2]);
        }
    }
    // 8^2 samples a cell see a disc of 2 mm radius to about 1 %.
    EXPECT_NEAR(area, 3.14159 * 4.0, 0.15);
}

struct SphereCase {
    Vec3 voxel_mm;
    UnitVector b0;
    double largest_relative_error;
};

class DipoleField : public testing::TestWithParam<SphereCase> {};

TEST_P(DipoleField, OfASphereFollowsItsClosedForm)
{
    const auto& [voxel_mm, b0, largest_relative_error] = GetParam();
    const Grid grid = test::grid_of(64, 61, static_cast<std::size_t>(64.0 / voxel_mm[2]), voxel_mm);
    constexpr double radius_mm = 8.0, chi_ppm = 1.0;
    Scene scene;
    Ellipsoid ball;
    ball.half_axes_mm = {radius_mm, radius_mm, radius_mm};
    ball.tissue = Tissue::blood;
    scene.add(ball);
    const Lattice lattice = lattice_of(grid);
    const CellMean cells(scene, lattice, 4);
    std::array<float, 256> value{};
    value[static_cast<std::size_t>(Tissue::blood)] = static_cast<float>(chi_ppm);
    VolumeF field(grid);
    dipole_field(lattice, b0, 1.5, [&](std::size_t y, std::size_t z, float* row) { cells.row(y, z, value, row); },
                 [&](std::size_t y, std::size_t z, const float* row) { std::copy_n(row, grid.dims.nx, &field(0, y, z)); });
    double error = 0.0, size = 0.0, worst_inside = 0.0;
    for (std::size_t z = 0; z < grid.dims.nz; ++z) {
        for (std::size_t y = 0; y < grid.dims.ny; ++y) {
            for (std::size_t x = 0; x < grid.dims.nx; ++x) {
                const Vec3 r = position_mm(grid, x, y, z);
                const double distance = std::hypot(r[0], r[1], r[2]);
                const auto got = static_cast<double>(field(x, y, z));
                const double want = test::sphere_field(r, radius_mm, chi_ppm, b0);
                if (distance < radius_mm - 3.0) worst_inside = std::max(worst_inside, std::abs(got));
                if (distance < radius_mm + 2.0 || distance > 20.0) continue;
                error += (got - want) * (got - want);
                size += want * want;
            }
        }
    }
    // The k-space kernel on a period of six diameters errs by 0.6 % (mirror images of the sphere); the rest is the
    // mean over cells, which falls with the square of the cell.
    EXPECT_LT(std::sqrt(error / size), largest_relative_error);
    EXPECT_LT(worst_inside, 0.02 * chi_ppm);
}

INSTANTIATE_TEST_SUITE_P(Directions, DipoleField,
                         testing::Values(SphereCase{{1, 1, 1}, {0, 0, 1}, 0.013},
                                         SphereCase{{1, 1, 1}, {0.0, std::sin(0.4), std::cos(0.4)}, 0.013},
                                         SphereCase{{1, 1, 1.6}, {0.36, 0.48, 0.8}, 0.026}));

}  // namespace
}  // namespace qsmpi::simulation
