#include "qsmpi/simulation/head.hpp"

#include <algorithm>
#include <cmath>
#include <complex>

#include "anatomy.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "random.hpp"

namespace qsmpi::simulation {
namespace {

constexpr double padding = 1.35;
constexpr std::size_t sub_samples = 2;
constexpr double texture_ppm = 0.008, texture_signal = 0.06;

void check(const HeadOptions& o)
{
    require(o.dims.nx > 1 && o.dims.ny > 1 && o.dims.nz > 1, "phantom: the matrix needs two voxels an axis at least");
    for (const double v : o.voxel_mm)
        require(v > 0.05 && v <= 20.0, str("phantom: voxel size ", v, " mm is outside 0.05 to 20"));
    require(!o.echo_times_s.empty(), "phantom: at least one echo time is needed");
    for (std::size_t i = 0; i < o.echo_times_s.size(); ++i) {
        const double t = o.echo_times_s[i];
        require(t > 0.0 && t < 0.5, str("phantom: echo time ", t, " s is outside 0 to 0.5; seconds are expected"));
        require(i == 0 || t > o.echo_times_s[i - 1], "phantom: echo times must rise");
    }
    require(o.b0_tesla > 0.01 && o.b0_tesla <= 20.0, str("phantom: B0 ", o.b0_tesla, " T is outside 0.01 to 20"));
    require(o.snr > 0.0, str("phantom: SNR ", o.snr, " is not positive"));
    require(std::abs(o.tilt_deg) <= 60.0, str("phantom: tilt ", o.tilt_deg, " degrees is outside -60 to 60"));
    require(o.oversampling >= 1 && o.oversampling <= 6,
            str("phantom: oversampling ", o.oversampling, " is outside 1 to 6"));
    require(o.subject >= 1, str("phantom: subject ", o.subject, " is not a number from 1 on"));
}

/// The acquired grid, its fine cells, and the larger world whose field is computed.
struct World {
    Lattice coarse, view, all;
    std::size_t n = 1;             ///< fine cells in a voxel, along each axis
    std::array<std::size_t, 3> margin{};  ///< fine cells of the world before the view

    World(const HeadOptions& o, const Vec3& reach_mm) : n(static_cast<std::size_t>(o.oversampling))
    {
        coarse = {o.dims, o.voxel_mm, {}};
        std::array<std::size_t, 3> cells{};
        for (std::size_t i = 0; i < 3; ++i) {
            const std::size_t voxels = o.dims[static_cast<int>(i)];
            const double half_mm = 0.5 * static_cast<double>(voxels) * o.voxel_mm[i];
            coarse.first_mm[i] = 0.5 * o.voxel_mm[i] - half_mm;
            const double beyond = std::max(0.0, (reach_mm[i] - half_mm) / o.voxel_mm[i]);
            margin[i] = n * static_cast<std::size_t>(std::ceil(beyond));
            cells[i] = n * voxels + 2 * margin[i];
        }
        view = coarse.refined(n);
        all = view;
        all.dims = {cells[0], cells[1], cells[2]};
        for (std::size_t i = 0; i < 3; ++i) all.first_mm[i] -= static_cast<double>(margin[i]) * all.spacing_mm[i];
        const double total = static_cast<double>(all.dims.size());
        require(total <= 4e8, str("phantom: the field of the whole head needs ", total / 1e6,
                                  " million cells; 400 are allowed: take larger voxels or less oversampling"));
    }
    [[nodiscard]] bool sees(std::size_t y, std::size_t z) const
    {
        return y >= margin[1] && y < margin[1] + view.dims.ny && z >= margin[2] && z < margin[2] + view.dims.nz;
    }
};

/// Averages fine rows of the world to voxels of the acquired grid; rows may come in any order, each by one thread.
class VoxelMean {
public:
    VoxelMean(const World& world, const Grid& grid)
        : world_(world), grid_(grid), rows_(Grid{{grid.dims.nx, world.view.dims.ny, world.view.dims.nz}})
    {
    }
    void take(std::size_t y, std::size_t z, const float* row)
    {
        if (!world_.sees(y, z)) return;
        const float* from = row + world_.margin[0];
        float* to = &rows_(0, y - world_.margin[1], z - world_.margin[2]);
        for (std::size_t x = 0; x < grid_.dims.nx; ++x) {
            float sum = 0.0F;
            for (std::size_t i = 0; i < world_.n; ++i) sum += from[x * world_.n + i];
            to[x] = sum;
        }
    }
    [[nodiscard]] VolumeF finish(const Mask* mask = nullptr) const
    {
        VolumeF out(grid_, 0.0F);
        const float share = 1.0F / static_cast<float>(world_.n * world_.n * world_.n);
        parallel::for_each(grid_.dims.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < grid_.dims.ny; ++y) {
                float* to = &out(0, y, z);
                for (std::size_t i = 0; i < world_.n * world_.n; ++i) {
                    const float* row = &rows_(0, y * world_.n + i % world_.n, z * world_.n + i / world_.n);
                    for (std::size_t x = 0; x < grid_.dims.nx; ++x) to[x] += row[x];
                }
                const std::uint8_t* inside = mask != nullptr ? mask->data() + grid_.dims.index(0, y, z) : nullptr;
                for (std::size_t x = 0; x < grid_.dims.nx; ++x)
                    to[x] = inside == nullptr || inside[x] != 0 ? to[x] * share : 0.0F;
            }
        });
        return out;
    }

private:
    const World& world_;
    Grid grid_;
    VolumeF rows_;
};

bool has_texture(std::size_t tissue)
{
    return tissue >= static_cast<std::size_t>(Tissue::grey_matter) && tissue <= static_cast<std::size_t>(Tissue::dentate);
}

using Table = std::array<float, 256>;

/// A value for every code: that of its tissue, or 0 where `counts` says no.
template <typename Value, typename Counts>
Table table_of(Value&& value, Counts&& counts)
{
    Table t{};
    for (std::size_t c = 0; c < 256; ++c) {
        const auto code = static_cast<Code>(c);
        if (tissue_of(code) < n_tissues && counts(code)) t[c] = static_cast<float>(value(tissue_of(code)));
    }
    return t;
}

/// Everything that the stages of a simulation share.
struct Simulation {
    const HeadOptions& options;
    Anatomy anatomy;
    World world;
    Grid grid;
    UnitVector b0;
    Texture texture;  ///< on the world's lattice

    explicit Simulation(const HeadOptions& o)
        : options(o),
          anatomy(build_anatomy(o.subject, o.seed)),
          world(o, anatomy.scene.half_extent_mm()),
          grid{o.dims, o.voxel_mm},
          b0{0.0, std::sin(o.tilt_deg * units::pi / 180.0), std::cos(o.tilt_deg * units::pi / 180.0)},
          texture(world.all, stream_of(o.seed, 500 + static_cast<std::uint64_t>(o.subject)))
    {
    }

    /// Susceptibility of world row (y, z): `values` of the codes plus texture where `textured` is not 0.
    [[nodiscard]] ChiSource source(const CellMean& cells, const Table& values, const Table& textured) const
    {
        return [this, &cells, values, textured](std::size_t y, std::size_t z, float* row) {
            const std::size_t n = world.all.dims.nx;
            std::vector<float> share(n), variation(n);
            cells.row(y, z, values, row);
            cells.row(y, z, textured, share.data());
            texture.row(y, z, variation.data());
            for (std::size_t x = 0; x < n; ++x) row[x] += static_cast<float>(texture_ppm) * share[x] * variation[x];
        };
    }
};

/// Takes off the plane that flattens the field in the brain, and adds back what an operator leaves.
void apply_shim(const World& world, const Volume<Code>& codes, VolumeF& field)
{
    // Normal equations of constant and plane over every fourth cell; coordinates run from -1 to 1.
    std::array<std::array<double, 5>, 4> m{};
    const Dims& d = field.dims();
    const auto coordinate = [](std::size_t i, std::size_t n) {
        return (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(n) - 1.0;
    };
    for (std::size_t z = 0; z < d.nz; z += 4) {
        for (std::size_t y = 0; y < d.ny; y += 4) {
            for (std::size_t x = 0; x < d.nx; x += 4) {
                if (!is_brain(codes(x, y, z))) continue;
                const std::array<double, 5> v{1.0, coordinate(x, d.nx), coordinate(y, d.ny), coordinate(z, d.nz),
                                              static_cast<double>(field(x, y, z))};
                for (std::size_t i = 0; i < 4; ++i) {
                    for (std::size_t j = 0; j < 5; ++j) m[i][j] += v[i] * v[j];
                }
            }
        }
    }
    if (m[0][0] < 16.0) return;  // no brain in the field of view: nothing to shim on
    for (std::size_t i = 0; i < 4; ++i) {  // Gauss elimination; the ridge keeps a single slice solvable
        m[i][i] += 1e-9 * m[0][0];
        for (std::size_t j = i + 1; j < 4; ++j) {
            const double f = m[j][i] / m[i][i];
            for (std::size_t k = i; k < 5; ++k) m[j][k] -= f * m[i][k];
        }
    }
    std::array<double, 4> c{};
    for (std::size_t i = 4; i-- > 0;) {
        double sum = m[i][4];
        for (std::size_t j = i + 1; j < 4; ++j) sum -= m[i][j] * c[j];
        c[i] = sum / m[i][i];
    }
    parallel::for_each(world.view.dims.nz, [&](std::size_t z) {
        const double w = coordinate(z, d.nz);
        for (std::size_t y = 0; y < d.ny; ++y) {
            const double v = coordinate(y, d.ny);
            for (std::size_t x = 0; x < d.nx; ++x) {
                const double u = coordinate(x, d.nx);
                const double left = 0.05 * u * v - 0.05 * u + 0.04 * w;
                field(x, y, z) -= static_cast<float>(c[0] + c[1] * u + c[2] * v + c[3] * w + left);
            }
        }
    });
}

/// Signal of one fine cell but for its phase evolution and decay.
struct CellSignal {
    Table signal, r2star, t1w;
};

/// Mask, labels, R2* and T1w: what the codes of a voxel's cells say.
void summarise_cells(const Simulation& s, const Volume<Code>& codes, const CellSignal& cell, Head& head)
{
    const std::size_t n = s.world.n;
    const std::uint64_t stream = stream_of(s.options.seed, 700 + static_cast<std::uint64_t>(s.options.subject));
    parallel::for_each(s.grid.dims.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < s.grid.dims.ny; ++y) {
            for (std::size_t x = 0; x < s.grid.dims.nx; ++x) {
                std::array<int, n_tissues> votes{};
                std::size_t brain = 0;
                float r2star = 0.0F, t1w = 0.0F;
                for (std::size_t i = 0; i < n * n * n; ++i) {
                    const Code c = codes(x * n + i % n, y * n + i / n % n, z * n + i / n / n);
                    ++votes[tissue_of(c)];
                    brain += is_brain(c);
                    r2star += cell.r2star[c];
                    t1w += cell.t1w[c];
                }
                // Small things count double, so that a vein of half a voxel still bears its label.
                for (const Tissue t : {Tissue::blood, Tissue::calcification, Tissue::bleed})
                    votes[static_cast<std::size_t>(t)] *= 2;
                const std::size_t i = s.grid.dims.index(x, y, z);
                const float share = 1.0F / static_cast<float>(n * n * n);
                head.mask[i] = 2 * brain > n * n * n ? 1 : 0;
                head.segmentation[i] = static_cast<float>(std::max_element(votes.begin(), votes.end()) - votes.begin());
                head.r2star_per_s[i] = r2star * share;
                const auto [a, b] = normals_at(stream, i);
                const double gain = 0.9 + 0.25 * static_cast<double>(y) / static_cast<double>(s.grid.dims.ny);
                head.t1w[i] = static_cast<float>(std::hypot(250.0 * gain * static_cast<double>(t1w * share) + 4.0 * a, 4.0 * b));
            }
        }
    });
}

/// One echo: the complex mean over the cells of each voxel, plus noise.
void acquire(const Simulation& s, const Volume<Code>& codes, const VolumeF& field, const CellSignal& cell,
             std::size_t i_echo, Head& head)
{
    const HeadOptions& o = s.options;
    const Dims& d = s.grid.dims;
    const std::size_t n = s.world.n, n_row = s.world.view.dims.nx;
    const double echo_time_s = o.echo_times_s[i_echo];
    const auto rad_per_ppm =
        static_cast<float>(units::rad_from_hz(units::hz_per_ppm(o.b0_tesla), echo_time_s));
    const double sign = i_echo % 2 == 0 ? -1.0 : 1.0;
    const std::uint64_t stream =
        stream_of(o.seed, 1000 * static_cast<std::uint64_t>(o.subject) + 10'000'000 + i_echo);
    Table decayed{};
    for (std::size_t c = 0; c < 256; ++c)
        decayed[c] = cell.signal[c] * std::exp(-static_cast<float>(echo_time_s) * cell.r2star[c]);
    const auto coordinate = [](std::size_t i, std::size_t count) {
        return (2.0 * static_cast<double>(i) + 1.0) / static_cast<double>(count) - 1.0;
    };
    VolumeF magnitude(s.grid), phase(s.grid);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::vector<std::complex<float>> sums(d.nx);
        std::vector<float> variation(s.world.all.dims.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            std::fill(sums.begin(), sums.end(), std::complex<float>{});
            for (std::size_t i = 0; i < n * n; ++i) {
                const std::size_t fy = y * n + i % n, fz = z * n + i / n;
                const double v = coordinate(fy, d.ny * n), w = coordinate(fz, d.nz * n);
                s.texture.row(fy + s.world.margin[1], fz + s.world.margin[2], variation.data());
                const Code* code = &codes(0, fy, fz);
                const float* ppm = &field(0, fy, fz);
                for (std::size_t x = 0; x < n_row; ++x) {
                    float amplitude = decayed[code[x]];
                    if (amplitude <= 0.0F) continue;
                    const double u = coordinate(x, n_row);
                    if (has_texture(tissue_of(code[x])))
                        amplitude *= 1.0F + static_cast<float>(texture_signal) * variation[x + s.world.margin[0]];
                    double start = 0.0;
                    if (o.offset) start += units::pi * (0.9 * u - 0.6 * v * w + 0.7 * v * v + 0.4);
                    if (o.bipolar) start += sign * (0.35 + 0.8 * u);
                    const float angle = static_cast<float>(start) + rad_per_ppm * ppm[x];
                    const auto coil = static_cast<float>(1.0 - 0.12 * ((u - 0.2) * (u - 0.2) + v * v + w * w));
                    sums[x / n] += amplitude * coil * std::complex<float>(std::cos(angle), std::sin(angle));
                }
            }
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::size_t at = d.index(x, y, z);
                const auto [a, b] = normals_at(stream, at);
                const std::complex<float> noise(static_cast<float>(a / o.snr), static_cast<float>(b / o.snr));
                const std::complex<float> signal = sums[x] / static_cast<float>(n * n * n) + noise;
                magnitude[at] = std::abs(signal);
                phase[at] = std::arg(signal);
            }
        }
    });
    head.magnitude.push_back(std::move(magnitude));
    head.phase_rad.push_back(std::move(phase));
}

}  // namespace

Head simulate_head(const HeadOptions& options)
{
    check(options);
    const Simulation s(options);
    const auto& values = s.anatomy.values;
    const Dims& fine = s.world.view.dims;
    Head head;
    head.b0_direction_ijk = s.b0;
    for (std::size_t i = 0; i < n_tissues; ++i) head.chi_of_tissue_ppm[i] = values[i].chi_ppm;

    Volume<Code> codes(Grid{fine});
    const Painter painter(s.anatomy.scene, s.world.view);
    parallel::for_each_dynamic(fine.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < fine.ny; ++y) painter.row(y, z, &codes(0, y, z));
    });
    const auto always = [](Code) { return true; };
    const CellSignal cell{
        table_of([&](std::size_t t) { return values[t].signal; }, always),
        table_of([&](std::size_t t) { return values[t].r2star_7t_per_s * options.b0_tesla / 7.0; }, always),
        table_of([&](std::size_t t) { return values[t].t1w; }, always)};
    head.mask = Mask(s.grid);
    head.segmentation = VolumeF(s.grid);
    head.r2star_per_s = VolumeF(s.grid);
    head.t1w = VolumeF(s.grid);
    summarise_cells(s, codes, cell, head);

    const CellMean cells(s.anatomy.scene, s.world.all, sub_samples);
    const auto textured = [](Code c) { return has_texture(tissue_of(c)); };
    const Table one_if_textured = table_of([](std::size_t) { return 1.0; }, textured);
    {
        const Table of_brain = table_of([&](std::size_t t) { return values[t].chi_ppm; }, is_brain);
        VoxelMean chi(s.world, s.grid), local(s.world, s.grid);
        const ChiSource source = s.source(cells, of_brain, one_if_textured);
        dipole_field(
            s.world.all, s.b0, padding,
            [&](std::size_t y, std::size_t z, float* row) {
                source(y, z, row);
                chi.take(y, z, row);
            },
            [&](std::size_t y, std::size_t z, const float* row) { local.take(y, z, row); });
        head.chi_ppm = chi.finish(&head.mask);
        head.local_field_ppm = local.finish(&head.mask);
    }
    // Air is the 0 of the world outside.
    const Table relative_to_air = table_of([&](std::size_t t) { return values[t].chi_ppm - air_chi_ppm; }, always);
    VolumeF field(Grid{fine});
    dipole_field(s.world.all, s.b0, padding, s.source(cells, relative_to_air, one_if_textured),
                 [&](std::size_t y, std::size_t z, const float* row) {
                     if (!s.world.sees(y, z)) return;
                     std::copy_n(row + s.world.margin[0], fine.nx,
                                 &field(0, y - s.world.margin[1], z - s.world.margin[2]));
                 });
    if (options.shim) apply_shim(s.world, codes, field);
    head.total_field_ppm = VolumeF(s.grid);
    const std::size_t n = s.world.n;
    parallel::for_each(s.grid.dims.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < s.grid.dims.ny; ++y) {
            for (std::size_t x = 0; x < s.grid.dims.nx; ++x) {
                float sum = 0.0F;
                for (std::size_t i = 0; i < n * n * n; ++i)
                    sum += field(x * n + i % n, y * n + i / n % n, z * n + i / n / n);
                head.total_field_ppm(x, y, z) = sum / static_cast<float>(n * n * n);
            }
        }
    });
    for (std::size_t e = 0; e < options.echo_times_s.size(); ++e) acquire(s, codes, field, cell, e, head);
    return head;
}

const std::array<const char*, n_tissues>& tissue_names()
{
    static constexpr std::array<const char*, n_tissues> names{
        "background", "csf", "grey matter", "white matter", "caudate", "putamen", "pallidum", "thalamus", "red nucleus",
        "substantia nigra", "dentate", "blood", "calcification", "bleed", "air", "bone", "muscle"};
    return names;
}

}  // namespace qsmpi::simulation
