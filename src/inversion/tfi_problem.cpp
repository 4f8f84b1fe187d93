#include "tfi_problem.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion::detail {
namespace {

double in_order(const std::vector<double>& parts)
{
    double sum = 0.0;
    for (const double p : parts) sum += p;
    return sum;
}

}  // namespace

TfiProblem::TfiProblem(DipoleFilter& dipole, VolumeF field_ppm, VolumeF squared_weight, Volume<std::uint8_t> regions,
                       Volume<std::uint8_t> edges, const TfiOptions& o)
    : dipole_(dipole),
      field_ppm_(std::move(field_ppm)),
      squared_weight_(std::move(squared_weight)),
      regions_(std::move(regions)),
      edges_(std::move(edges)),
      box_(field_ppm_.dims()),
      padded_(dipole.fft().grid().dims),
      lambda_(static_cast<float>(o.lambda)),
      smoothing_(static_cast<float>(o.smoothing_ppm_per_mm)),
      model_error_ppm_(o.model_error_ppm),
      void_size_ppm_(o.void_size_ppm),
      tissue_size_ppm_(o.tissue_size_ppm),
      inside_size_ppm_(o.inside_size_ppm),
      total_weight_(numerics::sum(squared_weight_)),
      norm_(field_ppm_.grid()),
      modelled_(field_ppm_.grid()),
      inner_(field_ppm_.grid())
{
    set_sizes(o.first_preconditioner);
}

// x = P y and the expected sizes grow together, so the prior weighs y alike in both regions.
void TfiProblem::set_sizes(double preconditioner_ppm)
{
    const double prior = model_error_ppm_ * preconditioner_ppm / void_size_ppm_;
    const double inside = model_error_ppm_ / inside_size_ppm_;
    size_ = {static_cast<float>(preconditioner_ppm),
             static_cast<float>(preconditioner_ppm * tissue_size_ppm_ / void_size_ppm_), 1.0F};
    ridge_ = {static_cast<float>(prior * prior), static_cast<float>(prior * prior),
              static_cast<float>(inside * inside)};
}

void TfiProblem::set_preconditioner(double preconditioner_ppm, VolumeF& y)
{
    const float ratio = static_cast<float>(static_cast<double>(size_[tfi_void]) / preconditioner_ppm);
    set_sizes(preconditioner_ppm);
    parallel::for_each(padded_.nz, [&](std::size_t z) {
        for (std::size_t row = 0; row < padded_.ny; ++row) {
            float* values = &y(0, row, z);
            const bool in_box = row < box_.ny && z < box_.nz;
            for (std::size_t i = 0; i < padded_.nx; ++i)
                if (!in_box || i >= box_.nx || regions_(i, row, z) != tfi_inside) values[i] *= ratio;
        }
    });
}

void TfiProblem::map(const VolumeF& y, VolumeF& x) const
{
    parallel::for_each(box_.nz, [&](std::size_t z) {
        for (std::size_t row = 0; row < box_.ny; ++row) {
            const std::uint8_t* region = &regions_(0, row, z);
            const float* from = &y(0, row, z);
            float* to = &x(0, row, z);
            for (std::size_t i = 0; i < box_.nx; ++i) to[i] = region[i] == tfi_inside ? from[i] : 0.0F;
        }
    });
}

/// modelled_ <- D P y, inner_ <- P y in the mask, constant_ <- the weighted mean of D P y.
void TfiProblem::model(const VolumeF& y)
{
    map(y, inner_);
    std::vector<double> sums(box_.ny * box_.nz);
    dipole_.apply_rows(
        padded_,
        [&](std::size_t row, std::size_t z, float* out) {
            const float* from = &y(0, row, z);
            std::size_t i = 0;
            if (row < box_.ny && z < box_.nz) {
                const std::uint8_t* region = &regions_(0, row, z);
                for (; i < box_.nx; ++i) out[i] = size_[region[i]] * from[i];
            }
            for (; i < padded_.nx; ++i) out[i] = size_[tfi_void] * from[i];
        },
        box_,
        [&](std::size_t row, std::size_t z, const float* in) {
            float* to = &modelled_(0, row, z);
            const float* w = &squared_weight_(0, row, z);
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t i = 0; i < box_.nx; ++i) {
                to[i] = in[i];
                sum += static_cast<double>(w[i]) * static_cast<double>(in[i]);
            }
            sums[row + box_.ny * z] = sum;
        });
    constant_ = total_weight_ > 0.0 ? static_cast<float>(in_order(sums) / total_weight_) : 0.0F;
}

/// out <- P (D w^2 (modelled - constant - sign field) + lambda G^T W G inner) + R p; returns <p, out>.
double TfiProblem::back(const VolumeF& p, float sign, VolumeF& out)
{
    std::vector<double> products(padded_.ny * padded_.nz);
    dipole_.apply_rows(
        box_,
        [&](std::size_t row, std::size_t z, float* to) {
            const float *w = &squared_weight_(0, row, z), *m = &modelled_(0, row, z), *f = &field_ppm_(0, row, z);
#pragma omp simd
            for (std::size_t i = 0; i < box_.nx; ++i) to[i] = w[i] * (m[i] - constant_ - sign * f[i]);
        },
        padded_,
        [&](std::size_t row, std::size_t z, const float* in) {
            float* to = &out(0, row, z);
            const float* from = &p(0, row, z);
            std::copy_n(in, padded_.nx, to);
            std::size_t i = 0;
            if (row < box_.ny && z < box_.nz) {
                norm_.add_row(inner_, row, z, to);
                const std::uint8_t* region = &regions_(0, row, z);
                for (; i < box_.nx; ++i) to[i] = size_[region[i]] * to[i] + ridge_[region[i]] * from[i];
            }
            for (; i < padded_.nx; ++i) to[i] = size_[tfi_void] * to[i] + ridge_[tfi_void] * from[i];
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t j = 0; j < padded_.nx; ++j)
                sum += static_cast<double>(from[j]) * static_cast<double>(to[j]);
            products[row + padded_.ny * z] = sum;
        });
    return in_order(products);
}

void TfiProblem::descent(const VolumeF& y, VolumeF& out)
{
    model(y);
    const std::size_t stride[3] = {1, box_.nx, box_.nx * box_.ny};
    norm_.set_weights(inner_, [&](int axis, std::size_t i, float g) {
        const std::size_t at = i / stride[axis] % box_[axis];
        const bool in_mask =
            regions_[i] == tfi_inside && at + 1 < box_[axis] && regions_[i + stride[axis]] == tfi_inside;
        if (!in_mask || (edges_[i] >> axis & 1) != 0) return 0.0F;
        return lambda_ / std::sqrt(g * g + smoothing_ * smoothing_);
    });
    if (total_weight_ > 0.0) {
        const double mean = parallel::sum_blocks<double>(field_ppm_.size(), [&](std::size_t begin, std::size_t end) {
            double sum = 0.0;
            for (std::size_t i = begin; i < end; ++i)
                sum += static_cast<double>(squared_weight_[i]) * static_cast<double>(field_ppm_[i]);
            return sum;
        });
        constant_ -= static_cast<float>(mean / total_weight_);
    }
    (void)back(y, 1.0F, out);
    parallel::for_blocks(out.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = -out[i];
    });
}

double TfiProblem::curvature(const VolumeF& p, VolumeF& q)
{
    model(p);
    return back(p, 0.0F, q);
}

}  // namespace qsmpi::inversion::detail
