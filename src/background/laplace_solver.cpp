#include "laplace_solver.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::background {
namespace {

constexpr int sweeps = 2;           // before and after the coarser level
constexpr int coarsest_sweeps = 16;
constexpr std::size_t coarse_enough = 200;  // voxels of a region that sweeps alone solve

using Factors = std::array<std::size_t, 3>;  // 2: the axis is coarsened, 1: it is not

double in_order(const std::vector<double>& parts)
{
    double sum = 0.0;
    for (const double p : parts) sum += p;
    return sum;
}

/// Axes to coarsen: those with the smallest spacing, up to a factor, that are long enough; all 1 if there are none.
Factors factors_for(const Grid& grid)
{
    constexpr std::size_t long_enough = 6;
    double smallest = INFINITY;
    for (std::size_t a = 0; a < 3; ++a)
        if (grid.dims[static_cast<int>(a)] >= long_enough) smallest = std::min(smallest, grid.voxel_mm[a]);
    Factors f{1, 1, 1};
    for (std::size_t a = 0; a < 3; ++a)
        if (grid.dims[static_cast<int>(a)] >= long_enough && grid.voxel_mm[a] < 1.5 * smallest) f[a] = 2;
    return f;
}

/// Voxel i lies on voxel factor * i of the finer grid; the last one holds no voxel of a region.
Grid coarser(const Grid& grid, const Factors& f)
{
    const auto length = [](std::size_t n, std::size_t factor) { return factor == 2 ? n / 2 + 1 : n; };
    return {{length(grid.dims.nx, f[0]), length(grid.dims.ny, f[1]), length(grid.dims.nz, f[2])},
            {grid.voxel_mm[0] * static_cast<double>(f[0]), grid.voxel_mm[1] * static_cast<double>(f[1]),
             grid.voxel_mm[2] * static_cast<double>(f[2])}};
}

/// Values at the fine index i along one axis come from these coarse indices, with weight 1 / n each.
struct Sources {
    std::size_t first, last, n;
};
Sources sources(std::size_t i, std::size_t factor)
{
    if (factor == 1) return {i, i, 1};
    return {i / 2, (i + 1) / 2, i % 2 + 1};
}

/// coarse <- the mean of fine around each voxel of the region, weighted as the interpolation is (its adjoint).
void restrict_to(const VolumeF& fine, const Factors& f, VolumeF& coarse, const Mask& region)
{
    const Dims c = coarse.dims();
    const float scale = 1.0F / static_cast<float>(f[0] * f[1] * f[2]);
    const auto reach = [](std::size_t factor) { return factor == 2 ? 1L : 0L; };
    const auto half_if = [](long offset) { return offset == 0 ? 1.0F : 0.5F; };
    const auto nx = static_cast<long>(fine.dims().nx), nxy = nx * static_cast<long>(fine.dims().ny);
    const long rx = reach(f[0]), ry = reach(f[1]), rz = reach(f[2]);
    parallel::for_each(c.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < c.ny; ++y)
            for (std::size_t x = 0; x < c.nx; ++x) {
                if (region(x, y, z) == 0) continue;
                const float* centre = &fine(f[0] * x, f[1] * y, f[2] * z);
                float sum = 0.0F;
                for (long dz = -rz; dz <= rz; ++dz)
                    for (long dy = -ry; dy <= ry; ++dy)
                        for (long dx = -rx; dx <= rx; ++dx) {
                            sum += half_if(dx) * half_if(dy) * half_if(dz) * centre[dx + dy * nx + dz * nxy];
                        }
                coarse(x, y, z) = scale * sum;
            }
    });
}

/// fine += the trilinear interpolation of coarse, in the region.
void prolong_add(const VolumeF& coarse, const Factors& f, VolumeF& fine, const Mask& region)
{
    const Dims d = fine.dims(), c = coarse.dims();
    parallel::for_each(d.nz, [&](std::size_t z) {
        const Sources sz = sources(z, f[2]);
        std::vector<float> line(c.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            const std::uint8_t* inside = &region(0, y, z);
            if (std::none_of(inside, inside + d.nx, [](std::uint8_t m) { return m != 0; })) continue;
            const Sources sy = sources(y, f[1]);
            const float* rows[4] = {&coarse(0, sy.first, sz.first), &coarse(0, sy.last, sz.first),
                                    &coarse(0, sy.first, sz.last), &coarse(0, sy.last, sz.last)};
            for (std::size_t x = 0; x < c.nx; ++x) line[x] = 0.25F * (rows[0][x] + rows[1][x] + rows[2][x] + rows[3][x]);
            float* row = &fine(0, y, z);
            for (std::size_t x = 0; x < d.nx; ++x) {
                if (inside[x] == 0) continue;
                const Sources sx = sources(x, f[0]);
                row[x] += 0.5F * (line[sx.first] + line[sx.last]);
            }
        }
    });
}

}  // namespace

struct LaplaceSolver::Level {
    Mask region;
    VolumeF x, b, residual;
    std::array<float, 3> weight{};  // 1 / h^2
    float diagonal = 0.0F;
    std::size_t n_inside = 0;
    Factors to_coarser{1, 1, 1};
    struct Span {
        std::uint32_t begin, end;
    };
    std::vector<Span> spans;  // of the region in each row

    explicit Level(Mask r) : region(std::move(r)), x(region.grid(), 0.0F), residual(region.grid(), 0.0F)
    {
        const Dims& d = region.dims();
        for (std::size_t a = 0; a < 3; ++a) {
            const double h = region.grid().voxel_mm[a];
            weight[a] = static_cast<float>(1.0 / (h * h));
            diagonal += 2.0F * weight[a];
        }
        spans.resize(d.ny * d.nz, {0, 0});
        std::vector<std::size_t> counts(d.nz);
        parallel::for_each(d.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < d.ny; ++y) {
                Span& span = spans[y + d.ny * z];
                for (std::size_t i = 0; i < d.nx; ++i) {
                    if (region(i, y, z) == 0) continue;
                    if (span.end == 0) span.begin = static_cast<std::uint32_t>(i);
                    span.end = static_cast<std::uint32_t>(i + 1);
                    ++counts[z];
                }
            }
        });
        for (const std::size_t n : counts) n_inside += n;
    }

    /// Sum of the neighbours of voxel i, weighted.
    [[nodiscard]] float around(const float* v, std::size_t i) const
    {
        const Dims& d = region.dims();
        return weight[0] * (v[i - 1] + v[i + 1]) + weight[1] * (v[i - d.nx] + v[i + d.nx]) +
               weight[2] * (v[i - d.nx * d.ny] + v[i + d.nx * d.ny]);
    }

    /// Gauss-Seidel on the voxels with x + y + z even (colour 0) or odd (1).
    void relax(std::size_t colour)
    {
        const Dims& d = region.dims();
        const float inverse = 1.0F / diagonal;
        parallel::for_each(d.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < d.ny; ++y) {
                const Span span = spans[y + d.ny * z];
                const std::size_t row = d.index(0, y, z);
                std::size_t i = span.begin;
                if ((i + y + z + colour) % 2 != 0) ++i;
                float* v = x.data();
                for (; i < span.end; i += 2) {
                    const std::size_t j = row + i;
                    v[j] = region[j] != 0 ? inverse * (b[j] + around(v, j)) : 0.0F;
                }
            }
        });
    }
    void smooth_before(int n)
    {
        for (int i = 0; i < n; ++i) {
            relax(0);
            relax(1);
        }
    }
    void smooth_after(int n)
    {
        for (int i = 0; i < n; ++i) {
            relax(1);
            relax(0);
        }
    }

    /// Calls body(row, span) for all rows, in parallel; `row` is the index of the row's first voxel.
    template <typename Body>
    void for_each_row(Body&& body) const
    {
        const Dims& d = region.dims();
        parallel::for_each(d.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < d.ny; ++y) body(d.index(0, y, z), spans[y + d.ny * z]);
        });
    }

    void find_residual()
    {
        for_each_row([&](std::size_t row, Span span) {
            const float* v = x.data();
            for (std::size_t j = row + span.begin; j < row + span.end; ++j)
                residual[j] = region[j] != 0 ? b[j] - (diagonal * v[j] - around(v, j)) : 0.0F;
        });
    }
};

LaplaceSolver::~LaplaceSolver() = default;

LaplaceSolver::LaplaceSolver(const Mask& region)
{
    const Dims& d = region.dims();
    levels_.emplace_back(region.clone());
    levels_.front().for_each_row([&](std::size_t row, Level::Span span) {
        const std::size_t y = row / d.nx % d.ny, z = row / d.nx / d.ny;
        const bool is_border =
            y == 0 || y + 1 == d.ny || z == 0 || z + 1 == d.nz || span.begin == 0 || span.end == d.nx;
        require(span.end == 0 || !is_border, "laplace solver: the region touches the border of its grid");
    });
    while (levels_.back().n_inside > coarse_enough) {
        Level& fine = levels_.back();
        const Factors f = factors_for(fine.region.grid());
        if (f == Factors{1, 1, 1}) break;
        Mask coarse(coarser(fine.region.grid(), f), 0);
        const Dims c = coarse.dims();
        parallel::for_each(c.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < c.ny; ++y)
                for (std::size_t x = 0; x < c.nx; ++x) {
                    const Dims& fd = fine.region.dims();
                    if (f[0] * x < fd.nx && f[1] * y < fd.ny && f[2] * z < fd.nz)
                        coarse(x, y, z) = fine.region(f[0] * x, f[1] * y, f[2] * z);
                }
        });
        Level next(std::move(coarse));
        if (next.n_inside == 0) break;
        next.b = VolumeF(next.region.grid(), 0.0F);
        fine.to_coarser = f;
        levels_.push_back(std::move(next));
    }
}

VolumeF LaplaceSolver::apply(const VolumeF& f) const
{
    const Level& level = levels_.front();
    const Dims& d = level.region.dims();
    VolumeF result(f.grid(), 0.0F);
    std::array<double, 3> w{};
    for (std::size_t a = 0; a < 3; ++a) w[a] = 1.0 / (f.grid().voxel_mm[a] * f.grid().voxel_mm[a]);
    level.for_each_row([&](std::size_t row, Level::Span span) {
        const auto curvature = [&](std::size_t j, std::size_t step) {
            return 2.0 * static_cast<double>(f[j]) - static_cast<double>(f[j - step]) -
                   static_cast<double>(f[j + step]);
        };
        for (std::size_t j = row + span.begin; j < row + span.end; ++j)
            if (level.region[j] != 0)
                result[j] = static_cast<float>(w[0] * curvature(j, 1) + w[1] * curvature(j, d.nx) +
                                               w[2] * curvature(j, d.nx * d.ny));
    });
    return result;
}

void LaplaceSolver::cycle(std::size_t i_level)
{
    Level& level = levels_[i_level];
    level.x.fill(0.0F);
    if (i_level + 1 == levels_.size()) {
        level.smooth_before(coarsest_sweeps);
        level.smooth_after(coarsest_sweeps);
        return;
    }
    level.smooth_before(sweeps);
    level.find_residual();
    Level& coarser_level = levels_[i_level + 1];
    restrict_to(level.residual, level.to_coarser, coarser_level.b, coarser_level.region);
    cycle(i_level + 1);
    prolong_add(coarser_level.x, level.to_coarser, level.x, level.region);
    level.smooth_after(sweeps);
}

Convergence LaplaceSolver::solve(VolumeF& b_to_x, int max_iterations, double tolerance)
{
    Level& fine = levels_.front();
    const Dims& d = fine.region.dims();
    // The residual is the right side of the cycle, whose result is what preconditions it.
    fine.b = b_to_x.clone();
    VolumeF &x = b_to_x, &residual = fine.b, &cycled = fine.x;
    x.fill(0.0F);
    VolumeF direction(x.grid(), 0.0F), image(x.grid(), 0.0F);
    std::vector<double> parts(d.ny * d.nz);
    // Sum of term(j) over all voxels of the region's rows.
    const auto sum = [&](auto&& term) {
        fine.for_each_row([&](std::size_t row, Level::Span span) {
            double part = 0.0;
            for (std::size_t j = row + span.begin; j < row + span.end; ++j) part += term(j);
            parts[row / d.nx] = part;
        });
        return in_order(parts);
    };
    const auto product = [](float a, float b) { return static_cast<double>(a) * static_cast<double>(b); };

    const double start = sum([&](std::size_t j) { return product(residual[j], residual[j]); });
    double squared = start, rho = 0.0;
    Convergence end;
    while (end.iterations < max_iterations && squared > tolerance * tolerance * start) {
        cycle(0);
        const double next = sum([&](std::size_t j) { return product(residual[j], cycled[j]); });
        const auto beta = static_cast<float>(rho > 0.0 ? next / rho : 0.0);
        rho = next;
        fine.for_each_row([&](std::size_t row, Level::Span span) {
            for (std::size_t j = row + span.begin; j < row + span.end; ++j)
                direction[j] = cycled[j] + beta * direction[j];
        });
        const double curvature = sum([&](std::size_t j) {
            const float* p = direction.data();
            image[j] = fine.region[j] != 0 ? fine.diagonal * p[j] - fine.around(p, j) : 0.0F;
            return product(p[j], image[j]);
        });
        if (!(rho > 0.0 && curvature > 0.0)) break;
        const auto alpha = static_cast<float>(rho / curvature);
        squared = sum([&](std::size_t j) {
            x[j] += alpha * direction[j];
            residual[j] -= alpha * image[j];
            return product(residual[j], residual[j]);
        });
        ++end.iterations;
    }
    end.relative_residual = start > 0.0 ? std::sqrt(squared / start) : 0.0;
    end.converged = end.relative_residual <= tolerance;
    return end;
}

}  // namespace qsmpi::background
