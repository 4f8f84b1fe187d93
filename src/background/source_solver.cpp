#include "source_solver.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::background {
namespace {

double in_order(const std::vector<double>& parts)
{
    double sum = 0.0;
    for (const double p : parts) sum += p;
    return sum;
}

/// Zeros, written in parallel so that pages lie where they will be used.
VolumeF zeros(const Grid& grid)
{
    VolumeF v(grid);
    parallel::for_blocks(v.size(), [&](std::size_t begin, std::size_t end) {
        std::fill(v.data() + begin, v.data() + end, 0.0F);
    });
    return v;
}

}  // namespace

SourceSolver::SourceSolver(const Grid& padded, const UnitVector& b0_direction_ijk,
                           const Volume<std::uint8_t>& regions, const VolumeF& squared_weight, LowOrder low_order)
    : regions_(regions),
      squared_weight_(squared_weight),
      box_(regions.dims()),
      padded_(padded.dims),
      fft_(padded),
      dipole_(padded, b0_direction_ijk),
      voxel_dipole_(padded, b0_direction_ijk, numerics::DipoleKernel::Sources::voxels),
      polynomials_(squared_weight.grid(), squared_weight, low_order),
      low_order_(low_order),
      y_(zeros(padded)),
      residual_(squared_weight.grid())
{
}

LowOrderField::Coefficients SourceSolver::fit_residual() const
{
    return polynomials_.fit(residual_, squared_weight_);
}

numerics::Spectrum& SourceSolver::work()
{
    if (work_.size() == 0) work_ = numerics::Spectrum(padded_);
    return work_;
}

void SourceSolver::release_directions()
{
    gradient_ = {};
    direction_ = {};
    step_ = {};
}

void SourceSolver::release_scratch()
{
    release_directions();
    work_ = {};
}

void SourceSolver::set_sizes(const SourceSizes& sizes_ppm)
{
    if (!outside_.empty()) {
        SourceSizes scale{};  // 0 for the inside
        for (const Region r : {no_signal, tissue}) scale[r] = sizes_[r] / sizes_ppm[r];
        parallel::for_each(padded_.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < padded_.ny; ++y) scale_by_region(y, z, scale, &y_(0, y, z), &y_(0, y, z));
        });
    }
    sizes_ = sizes_ppm;
}

void SourceSolver::accept_changed_setting()
{
    polynomials_ = LowOrderField(squared_weight_.grid(), squared_weight_, low_order_);
}

/// row <- sizes * values, by region; the two may be the same.
void SourceSolver::scale_by_region(std::size_t y, std::size_t z, const SourceSizes& sizes, const float* values,
                                  float* row) const
{
    std::size_t x = 0;
    if (y < box_.ny && z < box_.nz) {
        const std::uint8_t* region = &regions_(0, y, z);
        const float in = sizes[inside], near = sizes[tissue], far = sizes[no_signal];
#pragma omp simd
        for (std::size_t i = 0; i < box_.nx; ++i)
            row[i] = values[i] * (region[i] == inside ? in : region[i] == tissue ? near : far);
        x = box_.nx;
    }
    for (; x < padded_.nx; ++x) row[x] = values[x] * sizes[no_signal];
}

numerics::TileBody SourceSolver::multiply_by(const numerics::DipoleKernel& dipole)
{
    return [&dipole](const numerics::Tile& tile) {
        AlignedBuffer<float> factors(tile.nz * numerics::Tile::width);
        dipole.tile(tile, factors.data());
        tile.multiply(factors.data());
    };
}

// direction <- gradient + beta direction; step <- D P direction.
SourceSolver::Forward SourceSolver::forward(float beta)
{
    std::vector<double> direction_squared(padded_.ny * padded_.nz), step_squared(box_.ny * box_.nz);
    std::vector<LowOrderField::Coefficients> moments(box_.ny * box_.nz);
    fft_.filter_rows(
        padded_,
        [&](std::size_t y, std::size_t z, float* row) {
            const float* gradient = &gradient_(0, y, z);
            float* direction = &direction_(0, y, z);
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t x = 0; x < padded_.nx; ++x) {
                const float d = gradient[x] + beta * direction[x];
                direction[x] = d;
                sum += static_cast<double>(d) * static_cast<double>(d);
            }
            direction_squared[y + padded_.ny * z] = sum;
            scale_by_region(y, z, sizes_, direction, row);
        },
        box_,
        [&](std::size_t y, std::size_t z, const float* row) {
            std::copy_n(row, box_.nx, &step_(0, y, z));
            const float* w = &squared_weight_(0, y, z);
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t x = 0; x < box_.nx; ++x)
                sum += static_cast<double>(w[x]) * static_cast<double>(row[x]) * static_cast<double>(row[x]);
            step_squared[y + box_.ny * z] = sum;
            moments[y + box_.ny * z] = polynomials_.row_moments(y, z, w, row);
        },
        multiply_by(voxel_dipole_), work());
    LowOrderField::Coefficients total{};
    for (const auto& m : moments)
        for (std::size_t i = 0; i < total.size(); ++i) total[i] += m[i];
    Forward result{in_order(step_squared) + in_order(direction_squared), polynomials_.fit(total)};
    // || w (q - H c) ||^2 = || w q ||^2 - <H^T w^2 q, c> for the least-squares c.
    for (std::size_t i = 0; i < total.size(); ++i) result.norm_squared -= total[i] * result.smooth[i];
    return result;
}

// residual -= alpha step; y += alpha direction; gradient <- P D w^2 (residual - smooth) - y. Returns || gradient ||^2.
double SourceSolver::backward(float alpha)
{
    std::vector<double> squared(padded_.ny * padded_.nz);
    const float* position = polynomials_.positions();
    fft_.filter_rows(
        box_,
        [&](std::size_t y, std::size_t z, float* row) {
            float* residual = &residual_(0, y, z);
            const float *step = &step_(0, y, z), *w = &squared_weight_(0, y, z);
            const auto p = polynomials_.row_polynomial(smooth_, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < box_.nx; ++x) {
                residual[x] -= alpha * step[x];
                row[x] = w[x] * (residual[x] - (p[0] + position[x] * (p[1] + position[x] * p[2])));
            }
        },
        padded_,
        [&](std::size_t y, std::size_t z, const float* row) {
            float *sources = &y_(0, y, z), *gradient = &gradient_(0, y, z);
            const float* direction = &direction_(0, y, z);
            scale_by_region(y, z, sizes_, row, gradient);
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t x = 0; x < padded_.nx; ++x) {
                sources[x] += alpha * direction[x];
                gradient[x] -= sources[x];
                sum += static_cast<double>(gradient[x]) * static_cast<double>(gradient[x]);
            }
            squared[y + padded_.ny * z] = sum;
        },
        multiply_by(voxel_dipole_), work());
    return in_order(squared);
}

void SourceSolver::solve(const VolumeF& target_ppm, int n_iterations, double tolerance)
{
    parallel::for_blocks(residual_.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) residual_[i] = target_ppm[i] - (outside_.empty() ? 0.0F : outside_[i]);
    });
    step_ = zeros(residual_.grid());
    direction_ = zeros(y_.grid());
    gradient_ = zeros(y_.grid());
    smooth_ = fit_residual();
    const double start = backward(0.0F);
    double squared = start;
    float beta = 0.0F;
    for (int k = 0; k < n_iterations && squared > tolerance * tolerance * start; ++k) {
        const Forward f = forward(beta);
        const double alpha = squared / f.norm_squared;
        for (std::size_t i = 0; i < smooth_.size(); ++i) smooth_[i] -= alpha * f.smooth[i];
        const double next = backward(static_cast<float>(alpha));
        beta = static_cast<float>(next / squared);
        squared = next;
        ++iterations_;
    }
    relative_residual_ = start > 0.0 ? std::sqrt(squared / start) : 0.0;
}

VolumeF SourceSolver::background_ppm()
{
    SourceSizes sizes = sizes_;
    sizes[inside] = 0.0F;
    if (outside_.empty()) outside_ = VolumeF(residual_.grid());
    VolumeF background(residual_.grid());
    const auto c = fit_residual();
    const float* position = polynomials_.positions();
    fft_.filter_rows(
        padded_, [&](std::size_t y, std::size_t z, float* row) { scale_by_region(y, z, sizes, &y_(0, y, z), row); }, box_,
        [&](std::size_t y, std::size_t z, const float* row) {
            std::copy_n(row, box_.nx, &outside_(0, y, z));
            float* out = &background(0, y, z);
            const auto p = polynomials_.row_polynomial(c, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < box_.nx; ++x)
                out[x] = row[x] + p[0] + position[x] * (p[1] + position[x] * p[2]);
        },
        multiply_by(voxel_dipole_), work());
    return background;
}

VolumeF SourceSolver::sources_ppm() const
{
    VolumeF sources(residual_.grid());
    parallel::for_each(box_.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < box_.ny; ++y)
            for (std::size_t x = 0; x < box_.nx; ++x) sources(x, y, z) = sizes_[regions_(x, y, z)] * y_(x, y, z);
    });
    return sources;
}

void SourceSolver::add_field_of(const VolumeF& sources_ppm, const Mask& part, VolumeF& field_ppm)
{
    fft_.filter_rows(
        box_,
        [&](std::size_t y, std::size_t z, float* row) {
            for (std::size_t x = 0; x < box_.nx; ++x) row[x] = part(x, y, z) != 0 ? sources_ppm(x, y, z) : 0.0F;
        },
        box_,
        [&](std::size_t y, std::size_t z, const float* row) {
            for (std::size_t x = 0; x < box_.nx; ++x) field_ppm(x, y, z) += row[x];
        },
        multiply_by(voxel_dipole_), work());
}

VolumeF SourceSolver::unexplained_ppm() const
{
    VolumeF rest(residual_.grid());
    const auto c = fit_residual();
    const float* position = polynomials_.positions();
    parallel::for_each(box_.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < box_.ny; ++y) {
            const float* residual = &residual_(0, y, z);
            float* out = &rest(0, y, z);
            const auto p = polynomials_.row_polynomial(c, y, z);
            for (std::size_t x = 0; x < box_.nx; ++x)
                out[x] = residual[x] - (p[0] + position[x] * (p[1] + position[x] * p[2]));
        }
    });
    return rest;
}

void SourceSolver::dipole_field(const VolumeF& chi_ppm, VolumeF& out)
{
    fft_.filter_tiles(chi_ppm, out, multiply_by(dipole_), work());
}

}  // namespace qsmpi::background
