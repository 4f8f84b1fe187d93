#include "medi_problem.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

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

/// sin(s r) / s and (1 - cos(s r)) / s^2, with their limits at s = 0.
float sine(float r, float s)
{
    return s > 0.0F ? std::sin(s * r) / s : r;
}
float half_square(float r, float s)
{
    if (s <= 0.0F) return 0.5F * r * r;
    const float half = std::sin(0.5F * s * r) / s;  // 1 - cos a = 2 sin^2(a/2)
    return 2.0F * half * half;
}

}  // namespace

MediProblem::MediProblem(DipoleFilter& dipole, const VolumeF& field_ppm, VolumeF squared_weight,
                         Volume<std::uint8_t> edges, const Mask* csf_mask, double radians_per_ppm,
                         const MediOptions& options)
    : dipole_(dipole),
      field_ppm_(field_ppm),
      squared_weight_(std::move(squared_weight)),
      edges_(std::move(edges)),
      csf_mask_(csf_mask),
      s_(static_cast<float>(radians_per_ppm)),
      lambda_(static_cast<float>(options.lambda)),
      smoothing_(static_cast<float>(options.smoothing_ppm_per_mm)),
      csf_lambda_(static_cast<float>(options.csf_lambda)),
      norm_(field_ppm.grid()),
      scratch_(field_ppm.grid())
{
}

double MediProblem::objective(const VolumeF& x)
{
    const Dims& n = x.dims();
    dipole_.apply(x, scratch_);
    const double mean = csf_mean(x);
    std::vector<double> per_slice(n.nz, 0.0);
    parallel::for_each(n.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < n.ny; ++y)
            for (std::size_t k = 0; k < n.nx; ++k) {
                const std::size_t i = n.index(k, y, z);
                double sum = static_cast<double>(squared_weight_[i] * half_square(scratch_[i] - field_ppm_[i], s_));
                for (int axis = 0; axis < 3; ++axis) {
                    if ((edges_[i] >> axis & 1) != 0) continue;
                    sum += static_cast<double>(lambda_ * std::hypot(forward_difference(x, axis, k, y, z), smoothing_));
                }
                if (csf_mask_ != nullptr && (*csf_mask_)[i] != 0) {
                    const double d = static_cast<double>(x[i]) - mean;
                    sum += 0.5 * static_cast<double>(csf_lambda_) * d * d;
                }
                per_slice[z] += sum;
            }
    });
    return in_order(per_slice);
}

void MediProblem::descent(const VolumeF& x, VolumeF& out)
{
    const Dims& n = x.dims();
    norm_.set_weights(x, [&](int axis, std::size_t i, float g) {
        return (edges_[i] >> axis & 1) != 0 ? 0.0F : lambda_ / std::sqrt(g * g + smoothing_ * smoothing_);
    });
    dipole_.apply(x, scratch_);
    const auto mean = static_cast<float>(csf_mean(x));
    dipole_.apply_rows(
        n,
        [&](std::size_t y, std::size_t z, float* row) {
            const std::size_t at = n.index(0, y, z);
            for (std::size_t i = 0; i < n.nx; ++i)
                row[i] = -squared_weight_[at + i] * sine(scratch_[at + i] - field_ppm_[at + i], s_);
        },
        n,
        [&](std::size_t y, std::size_t z, const float* row) {
            float* to = &out(0, y, z);
            for (std::size_t i = 0; i < n.nx; ++i) to[i] = -row[i];
            norm_.add_row(x, y, z, to);
            add_csf_row(x, mean, y, z, to);
            for (std::size_t i = 0; i < n.nx; ++i) to[i] = -to[i];
        });
}

double MediProblem::curvature(const VolumeF& p, VolumeF& q)
{
    const Dims& n = p.dims();
    dipole_.apply_rows(
        n, [&](std::size_t y, std::size_t z, float* row) { std::copy_n(&p(0, y, z), n.nx, row); }, n,
        [&](std::size_t y, std::size_t z, const float* row) {
            const std::size_t at = n.index(0, y, z);
            for (std::size_t i = 0; i < n.nx; ++i) scratch_[at + i] = squared_weight_[at + i] * row[i];
        });
    const auto mean = static_cast<float>(csf_mean(p));
    std::vector<double> products(n.ny * n.nz);
    dipole_.apply_rows(
        n, [&](std::size_t y, std::size_t z, float* row) { std::copy_n(&scratch_(0, y, z), n.nx, row); }, n,
        [&](std::size_t y, std::size_t z, const float* row) {
            float* to = &q(0, y, z);
            const float* from = &p(0, y, z);
            std::copy_n(row, n.nx, to);
            norm_.add_row(p, y, z, to);
            add_csf_row(p, mean, y, z, to);
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t i = 0; i < n.nx; ++i) sum += static_cast<double>(from[i]) * static_cast<double>(to[i]);
            products[y + n.ny * z] = sum;
        });
    return in_order(products);
}

void MediProblem::reweight(const VolumeF& x)
{
    dipole_.apply(x, scratch_);
    struct Sums {
        double n = 0.0, sum = 0.0, squares = 0.0;
        Sums& operator+=(const Sums& o)
        {
            n += o.n;
            sum += o.sum;
            squares += o.squares;
            return *this;
        }
    };
    // || w (exp(i s D x) - exp(i s f)) || / s, voxel by voxel.
    const auto misfit = [&](std::size_t i) {
        return std::sqrt(2.0 * static_cast<double>(squared_weight_[i] * half_square(scratch_[i] - field_ppm_[i], s_)));
    };
    const Sums sums = parallel::sum_blocks<Sums>(x.size(), [&](std::size_t begin, std::size_t end) {
        Sums part;
        for (std::size_t i = begin; i < end; ++i) {
            if (squared_weight_[i] <= 0.0F) continue;
            const double r = misfit(i);
            part += {1.0, r, r * r};
        }
        return part;
    });
    if (!(sums.n > 0.0)) return;
    const double mean = sums.sum / sums.n;
    const double limit = 6.0 * std::sqrt(std::max(0.0, sums.squares / sums.n - mean * mean));
    if (!(limit > 0.0)) return;
    parallel::for_blocks(x.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const double excess = squared_weight_[i] > 0.0F ? (misfit(i) - mean) / limit : 0.0;
            // The standard deviation grows by excess^2, so w^2 falls by its fourth power.
            if (excess > 1.0) squared_weight_[i] /= static_cast<float>(excess * excess * excess * excess);
        }
    });
}

double MediProblem::csf_mean(const VolumeF& x) const
{
    return csf_mask_ == nullptr ? 0.0 : numerics::mean_inside(x, *csf_mask_);
}

// The mean's own derivative drops out, since differences from a mean sum to 0.
void MediProblem::add_csf_row(const VolumeF& x, float mean, std::size_t y, std::size_t z, float* row) const
{
    if (csf_mask_ == nullptr) return;
    const std::size_t at = x.dims().index(0, y, z);
    for (std::size_t i = 0; i < x.dims().nx; ++i)
        if ((*csf_mask_)[at + i] != 0) row[i] += csf_lambda_ * (x[at + i] - mean);
}

Volume<std::uint8_t> magnitude_edges(const VolumeF& magnitude, const Mask& mask, double fraction)
{
    const Dims& n = mask.dims();
    VolumeF inside(mask.grid());
    for (std::size_t i = 0; i < inside.size(); ++i)
        inside[i] = mask[i] != 0 && std::isfinite(magnitude[i]) ? magnitude[i] : 0.0F;
    Volume<std::uint8_t> edges(mask.grid(), 0);
    if (fraction <= 0.0) return edges;
    const auto for_each_component = [&](const auto& body) {
        for (std::size_t z = 0; z < n.nz; ++z)
            for (std::size_t y = 0; y < n.ny; ++y)
                for (std::size_t x = 0; x < n.nx; ++x)
                    for (int axis = 0; axis < 3; ++axis)
                        body(n.index(x, y, z), axis, std::abs(forward_difference(inside, axis, x, y, z)));
    };
    std::vector<float> steepness;
    for_each_component([&](std::size_t i, int, float g) {
        if (mask[i] != 0) steepness.push_back(g);
    });
    if (steepness.empty()) return edges;
    const double threshold = numerics::quantile(steepness, 1.0 - fraction);
    for_each_component([&](std::size_t i, int axis, float g) {
        if (static_cast<double>(g) > threshold) edges[i] = static_cast<std::uint8_t>(edges[i] | 1U << axis);
    });
    return edges;
}

}  // namespace qsmpi::inversion::detail
