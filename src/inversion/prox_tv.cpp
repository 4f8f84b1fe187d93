#include "prox_tv.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "qsmpi/core/parallel.hpp"
#include "dipole_gradient.hpp"
#include "relative_change.hpp"

namespace qsmpi::inversion::detail {

using numerics::Tile;

ProxTv::ProxTv(const numerics::Fft3& fft, const numerics::DipoleKernel& dipole, const Mask& mask, DataProx prox,
               const Settings& settings)
    : fft_(fft),
      dipole_(dipole),
      laplacian_(fft.grid()),
      prox_(std::move(prox)),
      mu_(static_cast<float>(settings.mu)),
      rho_(static_cast<float>(settings.rho)),
      relaxation_(static_cast<float>(settings.relaxation)),
      support_(static_cast<float>(settings.support)),
      harmonic_(static_cast<float>(settings.harmonic)),
      harmonic_penalty_(static_cast<float>(settings.harmonic_penalty)),
      square_mm2_(static_cast<float>(std::pow(fft.grid().voxel_edge_mm(), 2.0))),
      mask_(mask),
      split_(mask.grid(), settings.norm, settings.lambda / settings.rho, settings.relaxation),
      t_(fft.grid(), 0.0F),
      v_(mask.grid(), 0.0F),
      s_(settings.support > 0.0 ? VolumeF(mask.grid(), 0.0F) : VolumeF()),
      x_(mask.grid(), 0.0F),
      next_(mask.grid()),
      spectrum_(fft.grid().dims),
      work_(fft.grid().dims)
{
    if (harmonic_ > 0.0F) {
        l_ = VolumeF(fft.grid(), 0.0F);
        next_l_ = VolumeF(fft.grid());
        harmonic_spectrum_ = numerics::Spectrum(fft.grid().dims);
    }
    update_v();
}

void ProxTv::update_v()
{
    const Dims& box = x_.dims();
    parallel::for_each(box.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < box.ny; ++y) prox_(box.index(0, y, z), box.nx, &t_(0, y, z), &v_(0, y, z));
    });
}

void ProxTv::start(VolumeF x)
{
    x_ = std::move(x);
    if (support_ > 0.0F) std::copy(x_.begin(), x_.end(), s_.begin());
    split_.start(x_);
    fft_.filter_tiles(x_, t_, [&](const Tile& tile) {
        AlignedBuffer<float> d(tile.nz * Tile::width);
        dipole_.tile(tile, d.data());
        tile.multiply(d.data());
    }, work_);
    update_v();
}

double ProxTv::step()
{
    update_x();
    split_.update(x_);
    return change_;
}

// X = (mu D F(v - e) + rho F grad^T(z - u)) / (mu D^2 + rho L), and D X in the same go. A support adds its penalty
// times F(y - q) and, in the denominator, its penalty.
void ProxTv::update_x()
{
    const Dims& box = x_.dims();
    const DipoleGradientStep step{dipole_, laplacian_, mu_, rho_, support_};
    fft_.forward_rows(box, [&](std::size_t y, std::size_t z, float* row) { gradient_row(y, z, row); }, spectrum_);
    if (harmonic_ > 0.0F)
        fft_.forward_rows(l_.dims(), [&](std::size_t y, std::size_t z, float* row) { harmonic_row(y, z, row); },
                          harmonic_spectrum_);
    fft_.filter_rows(
        t_.dims(), [&](std::size_t y, std::size_t z, float* row) { data_row(y, z, row); }, t_.dims(),
        [&](std::size_t y, std::size_t z, const float* row) { accept_dipole_row(y, z, row); },
        [&](const Tile& tile) {
            if (harmonic_ > 0.0F)
                combine_with_harmonic(tile);
            else
                step.solve(tile, spectrum_);
        },
        work_);
    fft_.inverse(spectrum_, next_);
    if (harmonic_ > 0.0F) update_harmonic();
    if (support_ > 0.0F)
        parallel::for_blocks(s_.size(), [&](std::size_t begin, std::size_t end) { update_support(begin, end); });
    change_ = relative_change(next_, x_);
    std::swap(x_, next_);
}

// s <- a x + (1 - a) y + q with y = s in the mask, 0 outside, and the dual q = s - y.
void ProxTv::update_support(std::size_t begin, std::size_t end)
{
    const float a = relaxation_, rest = 1.0F - a;
    for (std::size_t i = begin; i < end; ++i) s_[i] = a * next_[i] + (mask_[i] != 0 ? rest : 1.0F) * s_[i];
}

// Tile, spectrum_ and harmonic_spectrum_ hold A = F(v - e), G = F grad^T(z - u) with the support's part, and B, the
// same for h^2 Lap q. They become D X + Q, X and h^2 L Q. With P = rho L + support, m = penalty of the harmonic
// splitting and K = h^2 L, X and Q solve (mu D^2 + P) X + mu D Q = mu D A + rho G and mu D X + (mu + m K^2) Q = mu A
// + m K B.
void ProxTv::combine_with_harmonic(const Tile& tile)
{
    constexpr std::size_t width = Tile::width;
    const std::size_t n = tile.nz * width;
    AlignedBuffer<float> scratch(2 * n);
    float *d = scratch.data(), *l = d + n;
    dipole_.tile(tile, d);
    laplacian_.tile(tile, l);
    const std::size_t stride = spectrum_.half_x() * t_.dims().ny;
    std::complex<float>* column = spectrum_.row(tile.y, 0) + tile.x0;
    std::complex<float>* harmonic_column = harmonic_spectrum_.row(tile.y, 0) + tile.x0;
    for (std::size_t z = 0; z < tile.nz; ++z) {
        constexpr std::size_t ahead = 8;
        if (z + ahead < tile.nz)
            for (std::size_t line = 0; line < width; line += 8) {
                __builtin_prefetch(column + (z + ahead) * stride + line, 1);
                __builtin_prefetch(harmonic_column + (z + ahead) * stride + line, 1);
            }
        auto* data = reinterpret_cast<float*>(tile.data + z * width);
        auto* gradient = reinterpret_cast<float*>(column + z * stride);
        auto* harmonic = reinterpret_cast<float*>(harmonic_column + z * stride);
        const float *dipole = d + z * width, *laplacian = l + z * width;
#pragma omp simd
        for (std::size_t j = 0; j < tile.n_x; ++j) {
            const float dj = dipole[j], p = rho_ * laplacian[j] + support_, k = square_mm2_ * laplacian[j];
            const float mk = harmonic_penalty_ * k, q_weight = mu_ + mk * k;
            const float determinant = mu_ * dj * dj * mk * k + p * q_weight;
            const float factor = determinant > 0.0F ? 1.0F / determinant : 0.0F;
            for (std::size_t c = 2 * j; c < 2 * j + 2; ++c) {
                const float a = data[c], g = rho_ * gradient[c], b = harmonic[c];
                const float x = factor * (mu_ * dj * mk * (k * a - b) + q_weight * g);
                const float q = (mu_ * (a - dj * x) + mk * b) / q_weight;
                data[c] = dj * x + q;
                gradient[c] = x;
                harmonic[c] = k * q;
            }
        }
    }
}

// 2 z - l, where z minimises beta/2 z^2 + m/2 (z - l)^2 in the mask, and z = l outside.
void ProxTv::harmonic_row(std::size_t y, std::size_t z, float* row) const
{
    const Dims& box = x_.dims();
    const float* l = &l_(0, y, z);
    const float reflected = (harmonic_penalty_ - harmonic_) / (harmonic_penalty_ + harmonic_);
    std::size_t i = 0;
    if (y < box.ny && z < box.nz) {
        const std::uint8_t* inside = &mask_(0, y, z);
        for (; i < box.nx; ++i) row[i] = (inside[i] != 0 ? reflected : 1.0F) * l[i];
    }
    for (; i < l_.dims().nx; ++i) row[i] = l[i];
}

// l <- a h^2 Lap q + l - a z
void ProxTv::update_harmonic()
{
    fft_.inverse(harmonic_spectrum_, next_l_);
    const Dims& box = x_.dims();
    const float a = relaxation_, kept = harmonic_penalty_ / (harmonic_penalty_ + harmonic_);
    parallel::for_each(l_.dims().nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < l_.dims().ny; ++y) {
            float* l = &l_(0, y, z);
            const float* next = &next_l_(0, y, z);
            std::size_t i = 0;
            if (y < box.ny && z < box.nz) {
                const std::uint8_t* inside = &mask_(0, y, z);
                for (; i < box.nx; ++i) l[i] = a * next[i] + (1.0F - a * (inside[i] != 0 ? kept : 1.0F)) * l[i];
            }
            for (; i < l_.dims().nx; ++i) l[i] = a * next[i] + (1.0F - a) * l[i];
        }
    });
}

void ProxTv::gradient_row(std::size_t y, std::size_t z, float* row) const
{
    split_.row(y, z, row);
    if (support_ == 0.0F) return;
    // The same for y - q: s in the mask, -s outside.
    const float k = support_ / rho_;
    const float* s = &s_(0, y, z);
    const std::uint8_t* inside = &mask_(0, y, z);
    for (std::size_t i = 0; i < x_.dims().nx; ++i) row[i] += inside[i] != 0 ? k * s[i] : -k * s[i];
}

// v - e = 2 v - t
void ProxTv::data_row(std::size_t y, std::size_t z, float* row) const
{
    const Dims& box = x_.dims();
    const float* t = &t_(0, y, z);
    std::size_t i = 0;
    if (y < box.ny && z < box.nz) {
        const float* v = &v_(0, y, z);
        for (; i < box.nx; ++i) row[i] = 2.0F * v[i] - t[i];
    }
    for (; i < t_.dims().nx; ++i) row[i] = t[i];
}

// t <- a D x + (1 - a) v + e with e = t - v; where v = t that is a D x + (1 - a) t.
void ProxTv::accept_dipole_row(std::size_t y, std::size_t z, const float* row)
{
    const Dims& box = x_.dims();
    const float a = relaxation_, rest = 1.0F - a;
    float* t = &t_(0, y, z);
    std::size_t i = 0;
    if (y < box.ny && z < box.nz) {
        float* v = &v_(0, y, z);
        for (; i < box.nx; ++i) t[i] += a * (row[i] - v[i]);
        prox_(box.index(0, y, z), box.nx, t, v);
    }
    for (; i < t_.dims().nx; ++i) t[i] = a * row[i] + rest * t[i];
}

}  // namespace qsmpi::inversion::detail
