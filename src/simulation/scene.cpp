#include "qsmpi/simulation/scene.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/units.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::simulation {
namespace {

/// Spectrum of the box that is one cell wide, in FFT order.
std::vector<float> mean_over_cell(std::size_t n)
{
    std::vector<float> factors(n, 1.0F);
    for (std::size_t i = 1; i < n; ++i) {
        const double x = units::pi * static_cast<double>(std::min(i, n - i)) / static_cast<double>(n);
        factors[i] = static_cast<float>(std::sin(x) / x);
    }
    return factors;
}

}  // namespace

void Scene::add(const Ellipsoid& e)
{
    Shape s{e.centre_mm, {}, {}, e.over, static_cast<Code>(e.tissue), e.brain};
    for (std::size_t i = 0; i < 3; ++i) {
        require(e.half_axes_mm[i] > 0.0, str("scene: half axis ", e.half_axes_mm[i], " mm is not positive"));
        double square = 0.0;
        for (std::size_t j = 0; j < 3; ++j) {
            s.to_unit[j][i] = e.axes[j][i] / e.half_axes_mm[j];
            square += e.axes[j][i] * e.axes[j][i] * e.half_axes_mm[j] * e.half_axes_mm[j];
        }
        s.extent[i] = std::sqrt(square);
    }
    shapes_.push_back(s);
}

void Scene::add_tube(const std::vector<Vec3>& path_mm, double radius_mm, Tissue tissue, std::uint32_t over)
{
    for (const Vec3& p : path_mm) {
        Ellipsoid ball;
        ball.centre_mm = p;
        ball.half_axes_mm = {radius_mm, radius_mm, radius_mm};
        ball.tissue = tissue;
        ball.over = over;
        add(ball);
    }
}

Vec3 Scene::half_extent_mm() const
{
    Vec3 reach{};
    for (const Shape& s : shapes_) {
        for (std::size_t i = 0; i < 3; ++i) reach[i] = std::max(reach[i], std::abs(s.centre[i]) + s.extent[i]);
    }
    return reach;
}

Lattice Lattice::refined(std::size_t n) const
{
    Lattice fine{{dims.nx * n, dims.ny * n, dims.nz * n}, spacing_mm, first_mm};
    for (std::size_t i = 0; i < 3; ++i) {
        fine.spacing_mm[i] = spacing_mm[i] / static_cast<double>(n);
        fine.first_mm[i] = first_mm[i] - 0.5 * spacing_mm[i] + 0.5 * fine.spacing_mm[i];
    }
    return fine;
}

Painter::Painter(const Scene& scene, const Lattice& lattice)
    : scene_(scene), lattice_(lattice), active_(lattice.dims.nz)
{
    for (std::uint32_t i = 0; i < scene.shapes_.size(); ++i) {
        const auto& s = scene.shapes_[i];
        const double first = (s.centre[2] - s.extent[2] - lattice.first_mm[2]) / lattice.spacing_mm[2];
        const double last = (s.centre[2] + s.extent[2] - lattice.first_mm[2]) / lattice.spacing_mm[2];
        if (last < 0.0) continue;
        const auto begin = static_cast<std::size_t>(std::max(0.0, std::ceil(first)));
        for (std::size_t z = begin; z < lattice.dims.nz && static_cast<double>(z) <= last; ++z)
            active_[z].push_back(i);
    }
}

void Painter::row(std::size_t y, std::size_t z, Code* codes) const
{
    const std::size_t n = lattice_.dims.nx;
    std::fill_n(codes, n, Code{0});
    const double y_mm = lattice_.at_mm(1, y), z_mm = lattice_.at_mm(2, z);
    for (const std::uint32_t index : active_[z]) {
        const auto& s = scene_.shapes_[index];
        const double dy = y_mm - s.centre[1], dz = z_mm - s.centre[2];
        if (std::abs(dy) > s.extent[1]) continue;
        // |q + x m|^2 <= 1 is an interval in x, measured from the centre.
        double mm = 0.0, qm = 0.0, qq = 0.0;
        for (const Vec3& r : s.to_unit) {
            const double q = r[1] * dy + r[2] * dz;
            mm += r[0] * r[0];
            qm += q * r[0];
            qq += q * q;
        }
        const double discriminant = qm * qm - mm * (qq - 1.0);
        if (discriminant <= 0.0) continue;
        const double root = std::sqrt(discriminant), origin = s.centre[0] - lattice_.first_mm[0];
        const double first = std::ceil((origin + (-qm - root) / mm) / lattice_.spacing_mm[0]);
        const double last = std::floor((origin + (-qm + root) / mm) / lattice_.spacing_mm[0]);
        if (last < 0.0 || first > last) continue;
        const auto begin = static_cast<std::size_t>(std::max(0.0, first));
        const std::size_t end = std::min(n, static_cast<std::size_t>(last) + 1);
        const Code mark = s.brain ? brain_mark : Code{0};
        for (std::size_t x = begin; x < end; ++x) {
            if ((s.over >> tissue_of(codes[x]) & 1U) != 0)
                codes[x] = static_cast<Code>((codes[x] & brain_mark) | mark | s.tissue);
        }
    }
}

CellMean::CellMean(const Scene& scene, const Lattice& lattice, std::size_t sub)
    : sub_(sub), painter_(scene, lattice.refined(sub))
{
}

void CellMean::row(std::size_t y, std::size_t z, const std::array<float, 256>& value_of, float* means) const
{
    const std::size_t n_fine = painter_.lattice().dims.nx, n = n_fine / sub_;
    std::vector<Code> codes(n_fine);
    std::fill_n(means, n, 0.0F);
    for (std::size_t dz = 0; dz < sub_; ++dz) {
        for (std::size_t dy = 0; dy < sub_; ++dy) {
            painter_.row(y * sub_ + dy, z * sub_ + dz, codes.data());
            for (std::size_t x = 0; x < n; ++x) {
                for (std::size_t dx = 0; dx < sub_; ++dx) means[x] += value_of[codes[x * sub_ + dx]];
            }
        }
    }
    const float share = 1.0F / static_cast<float>(sub_ * sub_ * sub_);
    for (std::size_t x = 0; x < n; ++x) means[x] *= share;
}

void dipole_field(const Lattice& lattice, const UnitVector& b0_direction_ijk, double padding,
                  const ChiSource& source, const FieldSink& sink)
{
    const auto padded = [&](std::size_t n) {
        return numerics::good_length(static_cast<std::size_t>(std::ceil(static_cast<double>(n) * padding)));
    };
    const Dims& d = lattice.dims;
    const Grid grid{{padded(d.nx), padded(d.ny), padded(d.nz)}, lattice.spacing_mm};
    const numerics::Fft3 fft(grid);
    const numerics::DipoleKernel dipole(grid, b0_direction_ijk);
    // The mean of the field over each cell instead of its value at the centre: without it the band edge rings
    // where B0 is oblique (2.5 % of the field of a sphere of 8 cells radius, against 1 %).
    const std::array<std::vector<float>, 3> mean{mean_over_cell(grid.dims.nx), mean_over_cell(grid.dims.ny),
                                                 mean_over_cell(grid.dims.nz)};
    numerics::Spectrum work(grid.dims);
    fft.filter_rows(
        d, source, d, sink,
        [&](const numerics::Tile& tile) {
            std::vector<float> factors(tile.nz * numerics::Tile::width);
            dipole.tile(tile, factors.data());
            for (std::size_t z = 0; z < tile.nz; ++z) {
                const float yz = mean[1][tile.y] * mean[2][z];
                for (std::size_t j = 0; j < tile.n_x; ++j)
                    factors[z * numerics::Tile::width + j] *= yz * mean[0][tile.x0 + j];
            }
            tile.multiply(factors.data());
        },
        work);
}

}  // namespace qsmpi::simulation
