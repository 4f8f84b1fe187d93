#include "tv_weighted.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "dipole_gradient.hpp"
#include "relative_change.hpp"

namespace qsmpi::inversion::detail {

using numerics::Tile;

WeightedTv::WeightedTv(const numerics::Fft3& fft, const numerics::DipoleKernel& dipole, const Mask& mask,
                       const VolumeF& weight, double mu, const TvAdmm::Settings& settings)
    : fft_(fft),
      dipole_(dipole),
      laplacian_(fft.grid()),
      mu_(static_cast<float>(mu)),
      rho_(static_cast<float>(settings.rho)),
      relaxation_(static_cast<float>(settings.relaxation)),
      split_(mask.grid(), settings.norm, settings.lambda / settings.rho, settings.relaxation, settings.guide, settings.unguided),
      trust_(mask.grid()),
      pulled_(mask.grid(), 0.0F),
      t_(fft.grid(), 0.0F),
      x_(mask.grid(), 0.0F),
      next_(mask.grid()),
      spectrum_(fft.grid().dims),
      work_(fft.grid().dims)
{
    const auto in_mask = [&](std::size_t i) { return mask[i] != 0 ? weight[i] : 0.0F; };
    for (std::size_t i = 0; i < trust_.size(); ++i)
        if (!(in_mask(i) >= 0.0F) || !std::isfinite(in_mask(i)))
            throw InputError(str("tv: a weight in the mask is ", weight[i],
                                 "; expected finite numbers from 0, 0 where the field is unknown"));
    parallel::for_blocks(trust_.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float w = in_mask(i);
            // At most what add_back() can take back to w in single precision.
            trust_[i] = std::min(1.0F - 1e-6F, w * w / (w * w + mu_));
        }
    });
}

void WeightedTv::set_field(const VolumeF& field_ppm)
{
    QSMPI_ASSERT(field_ppm.dims() == trust_.dims());
    parallel::for_blocks(trust_.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) pulled_[i] = trust_[i] * field_ppm[i];
    });
}

// Once the iterations have settled, v is D x: trust (f + g (f - v)) takes the place of trust f. Where what is left is far
// beyond the usual, in units of the noise, it is error of the data and not contrast lost: g falls from 1 to 0.
void WeightedTv::add_back()
{
    const Dims& box = x_.dims();
    VolumeF& left = next_;  // w (f - v)
    const auto each = [&](auto&& change) {
        parallel::for_each(box.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < box.ny; ++y)
                for (std::size_t x = 0; x < box.nx; ++x) change(left(x, y, z), trust_(x, y, z), pulled_(x, y, z), t_(x, y, z));
        });
    };
    each([&](float& rest, float trust, float pulled, float t) {
        const float w_squared = trust / (1.0F - trust) * mu_;
        rest = trust > 0.0F ? std::sqrt(w_squared) * (pulled / trust - (pulled + (1.0F - trust) * t)) : 0.0F;
    });
    std::vector<float> sizes;
    for (std::size_t i = 0; i < left.size(); ++i)
        if (trust_[i] > 0.0F) sizes.push_back(std::abs(left[i]));
    if (sizes.empty()) return;
    constexpr float far_beyond = 5.0F;  // of the median
    const float usual = far_beyond * static_cast<float>(numerics::quantile(sizes, 0.5));
    if (usual == 0.0F) return;
    each([&](float& rest, float trust, float& pulled, float t) {
        const float v = pulled + (1.0F - trust) * t, ratio = rest / usual;
        pulled += (pulled - trust * v) / (1.0F + ratio * ratio);
    });
}

// t outside the data is D x with the sources of x outside the mask; a share of it gives way to the field of those inside alone.
void WeightedTv::forget_outside(const Mask& mask, float share)
{
    const Dims &box = x_.dims(), &whole = t_.dims();
    const auto length = [&](std::size_t y, std::size_t z) { return y < box.ny && z < box.nz ? box.nx : 0; };
    fft_.filter_rows(
        whole,
        [&](std::size_t y, std::size_t z, float* row) {
            const std::size_t n = length(y, z);
            for (std::size_t i = 0; i < n; ++i) row[i] = mask(i, y, z) != 0 ? x_(i, y, z) : 0.0F;
            std::fill(row + n, row + whole.nx, 0.0F);
        },
        whole,
        [&](std::size_t y, std::size_t z, const float* row) {
            const std::size_t n = length(y, z);
            for (std::size_t i = 0; i < whole.nx; ++i)
                if (i >= n || trust_(i, y, z) == 0.0F) t_(i, y, z) += share * (row[i] - t_(i, y, z));
        },
        [&](const Tile& tile) {
            AlignedBuffer<float> factors(tile.nz * Tile::width);
            dipole_.tile(tile, factors.data());
            tile.multiply(factors.data());
        },
        work_);
}

double WeightedTv::step()
{
    update_x();
    split_.update(x_);
    return change_;
}

// X = (mu D F(v - e) + rho F grad^T(z - u)) / (mu D^2 + rho L), and D X in the same go.
void WeightedTv::update_x()
{
    const Dims& box = x_.dims();
    const DipoleGradientStep step{dipole_, laplacian_, mu_, rho_};
    fft_.forward_rows(box, [&](std::size_t y, std::size_t z, float* row) { split_.row(y, z, row); }, spectrum_);
    fft_.filter_rows(
        t_.dims(), [&](std::size_t y, std::size_t z, float* row) { data_row(y, z, row); }, t_.dims(),
        [&](std::size_t y, std::size_t z, const float* row) { accept_dipole_row(y, z, row); },
        [&](const Tile& tile) { step.solve(tile, spectrum_); },
        work_);
    fft_.inverse(spectrum_, next_);
    change_ = relative_change(next_, x_);
    std::swap(x_, next_);
}

// v - e = 2 v - t, where v = pulled + (1 - trust) t.
void WeightedTv::data_row(std::size_t y, std::size_t z, float* row) const
{
    const Dims& box = x_.dims();
    const float* t = &t_(0, y, z);
    std::size_t i = 0;
    if (y < box.ny && z < box.nz) {
        const float *trust = &trust_(0, y, z), *pulled = &pulled_(0, y, z);
        for (; i < box.nx; ++i) row[i] = 2.0F * (pulled[i] - trust[i] * t[i]) + t[i];
    }
    for (; i < t_.dims().nx; ++i) row[i] = t[i];
}

// t <- a D x + (1 - a) v + e with e = t - v; where w = 0 that is a D x + (1 - a) t.
void WeightedTv::accept_dipole_row(std::size_t y, std::size_t z, const float* row)
{
    const Dims& box = x_.dims();
    const float a = relaxation_, rest = 1.0F - a;
    float* t = &t_(0, y, z);
    std::size_t i = 0;
    if (y < box.ny && z < box.nz) {
        const float *trust = &trust_(0, y, z), *pulled = &pulled_(0, y, z);
        for (; i < box.nx; ++i) t[i] = a * (row[i] - pulled[i] + trust[i] * t[i]) + rest * t[i];
    }
    for (; i < t_.dims().nx; ++i) t[i] = a * row[i] + rest * t[i];
}

}  // namespace qsmpi::inversion::detail
