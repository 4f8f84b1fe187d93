#include "qsmpi/background/source_separation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "harmonics.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::background {
namespace {

enum Region : std::uint8_t { no_signal = 0, tissue = 1, inside = 2 };

// Where sources may be, and which voxels are data.
struct Setting {
    Volume<std::uint8_t> region;
    VolumeF squared_weight;  // 1 / variance [1/ppm^2], 0: no data
};

// Largest difference [ppm] of the field to a neighbour that is data too: what partial volume and dephasing scale with.
float steepness(const VolumeF& field, const Mask& data, std::size_t x, std::size_t y, std::size_t z)
{
    const auto& d = field.dims();
    const std::size_t i = d.index(x, y, z);
    float largest = 0.0f;
    const auto look = [&](bool exists, std::size_t j) {
        if (exists && data[j]) largest = std::max(largest, std::abs(field[j] - field[i]));
    };
    look(x > 0, i - 1);
    look(x + 1 < d.nx, i + 1);
    look(y > 0, i - d.nx);
    look(y + 1 < d.ny, i + d.nx);
    look(z > 0, i - d.nx * d.ny);
    look(z + 1 < d.nz, i + d.nx * d.ny);
    return largest;
}

Setting describe(const VolumeF& field, const Mask& mask, const SeparationInput& input, const SeparationOptions& o)
{
    const Grid& grid = mask.grid();
    Setting s{Volume<std::uint8_t>(grid, no_signal), VolumeF(grid, 0.0f)};
    Mask data(grid);
    float signal_limit = std::numeric_limits<float>::infinity();
    VolumeF distance_to_mask;
    if (input.magnitude != nullptr) {
        signal_limit = static_cast<float>(o.signal_fraction * numerics::median_inside(*input.magnitude, mask));
        Mask outside(grid);
        for (std::size_t i = 0; i < mask.size(); ++i) outside[i] = mask[i] ? 0 : 1;
        distance_to_mask = numerics::distance_inside_mm(outside, false);
    }
    const Dims& d = grid.dims;
    const auto is_consistent = [&](std::size_t i) {
        return input.relative_residual == nullptr || static_cast<double>((*input.relative_residual)[i]) < o.residual_limit;
    };
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool signal = input.magnitude != nullptr && (*input.magnitude)[i] > signal_limit;
            s.region[i] = mask[i] ? inside : signal ? tissue : no_signal;
            const bool near = signal && static_cast<double>(distance_to_mask[i]) <= o.data_margin_mm;
            data[i] = std::isfinite(field[i]) && (mask[i] || (near && is_consistent(i))) ? 1 : 0;
        }
    });
    const VolumeF depth_mm = numerics::distance_inside_mm(data, false);
    const double layer_mm = *std::max_element(grid.voxel_mm.begin(), grid.voxel_mm.end());
    const auto variance = [&](std::size_t x, std::size_t y, std::size_t z) {
        const std::size_t i = d.index(x, y, z);
        const double depth = static_cast<double>(depth_mm[i]);
        const double floor = depth <= 1.1 * layer_mm   ? o.rim_error_ppm
                             : depth <= 2.1 * layer_mm ? o.second_rim_error_ppm
                                                       : o.model_error_ppm;
        const double noise = input.sigma_ppm == nullptr ? 0.0 : static_cast<double>((*input.sigma_ppm)[i]);
        const double misfit = is_consistent(i) ? 0.0 : 15.0 * o.model_error_ppm;
        const double slope = o.steepness_error * static_cast<double>(steepness(field, data, x, y, z));
        return noise * noise + floor * floor + misfit * misfit + slope * slope;
    };
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::size_t i = d.index(x, y, z);
                // Infinite variance (no signal) leaves weight 0.
                if (data[i]) s.squared_weight[i] = static_cast<float>(1.0 / variance(x, y, z));
            }
    });
    return s;
}

// Conjugate gradients for the sources y on the padded grid; volumes live as long as the rounds.
class Solver {
public:
    Solver(const Grid& box, const UnitVector& b0, const Setting& setting, const SeparationOptions& o)
        : box_(box),
          fft_(numerics::padded_grid(box, 0.0, o.pad_fraction)),
          dipole_(fft_.grid(), b0),
          setting_(setting),
          harmonics_(box, setting.squared_weight),
          void_ppm_(static_cast<float>(o.sigma_void_ppm)),
          y_(fft_.grid(), 0.0f),
          r_(fft_.grid()),
          p_(fft_.grid()),
          field_(box),
          spectrum_(fft_.grid().dims)
    {
    }

    /// Expected size of a source in each region, for the next solve(). Keeps the outside sources found so far.
    void set_round(const SeparationOptions::Round& round)
    {
        const std::array<float, 3> next{void_ppm_, static_cast<float>(round.sigma_tissue_ppm),
                                        static_cast<float>(round.sigma_inside_ppm)};
        if (size_ppm_[0] > 0.0f) {
            for_rows([&](std::size_t y, std::size_t z) {
                float* row = row_of(y_, y, z);
                for (std::size_t x = 0; x < fft_.grid().dims.nx; ++x) {
                    const auto region = region_at(x, y, z);
                    row[x] = region == inside ? 0.0f : row[x] * size_ppm_[region] / next[region];
                }
            });
        }
        size_ppm_ = next;
    }

    /// Improves y so that D P y explains `target_ppm` on the data, starting from the present y.
    void solve(const VolumeF& target_ppm, int iterations, bool from_zero)
    {
        // r = A^T (target - A y) - y
        if (from_zero) {
            copy(target_ppm, field_);
        } else {
            apply_dipole(y_, all_regions);
            parallel::for_blocks(field_.size(), [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) field_[i] = target_ppm[i] - field_[i];
            });
        }
        weigh();
        back_project(r_, nullptr);
        double rr = parallel::sum_blocks<double>(r_.size(), [&](std::size_t begin, std::size_t end) {
            double sum = 0.0;
            for (std::size_t i = begin; i < end; ++i) {
                r_[i] -= y_[i];
                p_[i] = r_[i];
                sum += static_cast<double>(r_[i]) * static_cast<double>(r_[i]);
            }
            return sum;
        });
        const double start = rr;
        VolumeF q(fft_.grid());
        for (int k = 0; k < iterations && rr > 1e-12 * start; ++k) {
            apply_dipole(p_, all_regions);
            weigh();
            back_project(q, &p_);
            const auto alpha = static_cast<float>(rr / numerics::dot(p_, q));
            const double next = parallel::sum_blocks<double>(r_.size(), [&](std::size_t begin, std::size_t end) {
                double sum = 0.0;
                for (std::size_t i = begin; i < end; ++i) {
                    y_[i] += alpha * p_[i];
                    r_[i] -= alpha * q[i];
                    sum += static_cast<double>(r_[i]) * static_cast<double>(r_[i]);
                }
                return sum;
            });
            const auto beta = static_cast<float>(next / rr);
            rr = next;
            parallel::for_blocks(p_.size(), [&](std::size_t begin, std::size_t end) {
                for (std::size_t i = begin; i < end; ++i) p_[i] = r_[i] + beta * p_[i];
            });
            ++iterations_;
        }
        relative_residual_ = start > 0.0 ? std::sqrt(rr / start) : 0.0;
    }

    /// Field of the sources outside the mask plus the harmonics fitted to what `target_ppm` leaves, on the box.
    [[nodiscard]] VolumeF background(const VolumeF& target_ppm)
    {
        apply_dipole(y_, all_regions);
        VolumeF rest(box_);
        parallel::for_blocks(rest.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) rest[i] = target_ppm[i] - field_[i];
        });
        const auto c = harmonics_.fit(rest);
        apply_dipole(y_, outside_only);
        parallel::for_each(box_.dims.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < box_.dims.ny; ++y) {
                float* row = rest.data() + box_.dims.index(0, y, z);
                const float* f = field_.data() + box_.dims.index(0, y, z);
                std::fill_n(row, box_.dims.nx, 0.0f);
                harmonics_.subtract_row(c, y, z, row);
                for (std::size_t x = 0; x < box_.dims.nx; ++x) row[x] = f[x] - row[x];
            }
        });
        return rest;
    }

    /// D chi on the box, for a map on the box.
    void dipole_field(const VolumeF& chi_ppm, VolumeF& out)
    {
        fft_.filter_tiles(chi_ppm, out, multiply(), spectrum_);
    }

    [[nodiscard]] int iterations() const { return iterations_; }
    [[nodiscard]] double relative_residual() const { return relative_residual_; }

private:
    enum Which { all_regions, outside_only };

    template <typename Body>
    void for_rows(Body&& body) const
    {
        const auto& d = fft_.grid().dims;
        parallel::for_each(d.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < d.ny; ++y) body(y, z);
        });
    }
    [[nodiscard]] static float* row_of(VolumeF& v, std::size_t y, std::size_t z)
    {
        return v.data() + v.dims().index(0, y, z);
    }
    [[nodiscard]] std::uint8_t region_at(std::size_t x, std::size_t y, std::size_t z) const
    {
        const auto& d = box_.dims;
        return x < d.nx && y < d.ny && z < d.nz ? setting_.region(x, y, z) : static_cast<std::uint8_t>(no_signal);
    }
    static void copy(const VolumeF& from, VolumeF& to) { std::copy_n(from.data(), from.size(), to.data()); }

    // row *= P, the expected size of sources; padding counts as no signal.
    void scale_row(float* row, std::size_t y, std::size_t z, const std::array<float, 3>& size) const
    {
        const auto& d = box_.dims;
        const std::size_t nx = fft_.grid().dims.nx;
        std::size_t x = 0;
        if (y < d.ny && z < d.nz) {
            const std::uint8_t* region = setting_.region.data() + d.index(0, y, z);
            for (; x < d.nx; ++x) row[x] *= size[region[x]];
        }
        for (; x < nx; ++x) row[x] *= size[no_signal];
    }

    [[nodiscard]] numerics::TileBody multiply() const
    {
        return [this](const numerics::Tile& tile) {
            thread_local std::vector<float> factors;
            factors.resize(tile.nz * numerics::Tile::width);
            dipole_.tile(tile, factors.data());
            tile.multiply(factors.data());
        };
    }

    // field_ = D P v on the box.
    void apply_dipole(const VolumeF& v, Which which)
    {
        std::array<float, 3> size = size_ppm_;
        if (which == outside_only) size[inside] = 0.0f;
        const auto& d = fft_.grid().dims;
        fft_.filter_rows(
            d,
            [&](std::size_t y, std::size_t z, float* row) {
                std::copy_n(v.data() + d.index(0, y, z), d.nx, row);
                scale_row(row, y, z, size);
            },
            box_.dims,
            [&](std::size_t y, std::size_t z, const float* row) {
                std::copy_n(row, box_.dims.nx, field_.data() + box_.dims.index(0, y, z));
            },
            multiply(), spectrum_);
    }

    // field_ = w^2 (field_ - its harmonic part).
    void weigh()
    {
        const auto c = harmonics_.fit(field_);
        parallel::for_each(box_.dims.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < box_.dims.ny; ++y) {
                const std::size_t first = box_.dims.index(0, y, z);
                harmonics_.subtract_row(c, y, z, field_.data() + first);
                for (std::size_t x = 0; x < box_.dims.nx; ++x)
                    field_[first + x] *= setting_.squared_weight[first + x];
            }
        });
    }

    // out = P D field_ (+ add).
    void back_project(VolumeF& out, const VolumeF* add)
    {
        const auto& d = fft_.grid().dims;
        fft_.filter_rows(
            box_.dims,
            [&](std::size_t y, std::size_t z, float* row) {
                std::copy_n(field_.data() + box_.dims.index(0, y, z), box_.dims.nx, row);
            },
            d,
            [&](std::size_t y, std::size_t z, const float* row) {
                float* to = row_of(out, y, z);
                std::copy_n(row, d.nx, to);
                scale_row(to, y, z, size_ppm_);
                if (add != nullptr) {
                    const float* more = add->data() + d.index(0, y, z);
                    for (std::size_t x = 0; x < d.nx; ++x) to[x] += more[x];
                }
            },
            multiply(), spectrum_);
    }

    Grid box_;
    numerics::Fft3 fft_;
    numerics::DipoleKernel dipole_;
    const Setting& setting_;
    Harmonics harmonics_;
    float void_ppm_;
    std::array<float, 3> size_ppm_{0.0f, 0.0f, 0.0f};
    VolumeF y_, r_, p_, field_;
    numerics::Spectrum spectrum_;
    int iterations_ = 0;
    double relative_residual_ = 0.0;
};

}  // namespace

LocalField separate_sources(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                            const SeparationInput& input, const InnerInversion& inner,
                            const SeparationOptions& options)
{
    require_same_grid(total_field_ppm, mask, "separate_sources: field and mask");
    require(!options.rounds.empty(), "separate_sources: at least one round is needed");
    if (numerics::count(mask) == 0)
        return {VolumeF(mask.grid(), 0.0f), mask.clone(), 0, 0.0, true, VolumeF(mask.grid(), 0.0f)};

    const double smallest_mm = *std::min_element(mask.grid().voxel_mm.begin(), mask.grid().voxel_mm.end());
    const auto box = numerics::bounding_box(mask, static_cast<std::size_t>(std::ceil(options.margin_mm / smallest_mm)));
    const Mask box_mask = numerics::crop(mask, box);
    const VolumeF field = numerics::crop(total_field_ppm, box);
    const auto crop_if = [&](const VolumeF* v) {
        return v == nullptr || v->empty() ? VolumeF() : numerics::crop(*v, box);
    };
    Setting setting;
    {
        const VolumeF sigma = crop_if(input.sigma_ppm), magnitude = crop_if(input.magnitude),
                      residual = crop_if(input.relative_residual);
        setting = describe(field, box_mask,
                           {sigma.empty() ? nullptr : &sigma, magnitude.empty() ? nullptr : &magnitude,
                            residual.empty() ? nullptr : &residual},
                           options);
    }
    VolumeF weight(field.grid());
    for (std::size_t i = 0; i < weight.size(); ++i) {
        const double w = options.model_error_ppm * std::sqrt(static_cast<double>(setting.squared_weight[i]));
        weight[i] = box_mask[i] ? static_cast<float>(std::min(1.0, w)) : 0.0f;
    }

    Solver solver(field.grid(), b0_direction_ijk, setting, options);
    VolumeF target = field.clone();
    for (float& v : target)
        if (!std::isfinite(v)) v = 0.0f;
    VolumeF local;
    for (std::size_t r = 0; r < options.rounds.size(); ++r) {
        solver.set_round(options.rounds[r]);
        solver.solve(target, options.rounds[r].iterations, r == 0);
        local = solver.background(target);
        for (std::size_t i = 0; i < local.size(); ++i) local[i] = box_mask[i] ? field[i] - local[i] : 0.0f;
        if (!inner || r + 1 == options.rounds.size()) break;
        const VolumeF chi_ppm = inner(local, weight, box_mask, static_cast<int>(r));
        solver.dipole_field(chi_ppm, target);
        for (std::size_t i = 0; i < target.size(); ++i)
            target[i] = std::isfinite(field[i]) ? field[i] - target[i] : 0.0f;
    }
    return {numerics::uncrop(local, box, mask.grid()), mask.clone(), solver.iterations(), solver.relative_residual(), true,
            numerics::uncrop(weight, box, mask.grid())};
}

}  // namespace qsmpi::background
