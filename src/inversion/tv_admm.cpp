#include "tv_admm.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace qsmpi::inversion::detail {

using numerics::Tile;

namespace {

/// out <- numerator / (a + rho L), entry by entry, and 0 at k = 0. `out` may be any of the three.
void divide(const Tile& tile, const float* numerator, const float* a, const float* laplacian, float rho, float* out)
{
    // Padding columns may divide 0 by 0: they are not used.
#pragma omp simd
    for (std::size_t i = 0; i < tile.nz * Tile::width; ++i) out[i] = numerator[i] / (a[i] + rho * laplacian[i]);
    if (tile.x0 == 0 && tile.y == 0) out[0] = 0.0F;
}

}  // namespace

TvAdmm::TvAdmm(const numerics::Fft3& fft, const VolumeF& data, Symbols symbols, const Settings& settings)
    : fft_(fft),
      data_(data),
      symbols_(std::move(symbols)),
      laplacian_(fft.grid()),
      rho_(settings.rho),
      split_(data.grid(), settings.norm, settings.lambda / settings.rho, settings.relaxation, settings.guide, settings.unguided),
      constant_(data.grid()),
      x_(data.grid(), 0.0F),
      work_(fft.grid().dims),
      changes_(data.dims().ny * data.dims().nz),
      norms_(data.dims().ny * data.dims().nz)
{
    update_constant();
}

void TvAdmm::update_constant()
{
    const auto rho = static_cast<float>(rho_);
    fft_.filter_tiles(data_, constant_, [&](const Tile& tile) {
        const std::size_t n = tile.nz * Tile::width;
        AlignedBuffer<float> scratch(3 * n);
        float *a = scratch.data(), *b = a + n, *l = b + n;
        symbols_(tile, a, b);
        laplacian_.tile(tile, l);
        divide(tile, b, a, l, rho, l);
        tile.multiply(l);
    }, work_);
}

double TvAdmm::update_x()
{
    const auto rho = static_cast<float>(rho_);
    const Dims& n = x_.dims();
    fft_.filter_rows(
        n, [&](std::size_t y, std::size_t z, float* row) { split_.row(y, z, row); }, n,
        [&](std::size_t y, std::size_t z, const float* row) {
            const std::size_t at = n.index(0, y, z);
            const float* constant = constant_.data() + at;
            float* x = x_.data() + at;
            // One row's squares may be summed in float: some hundred terms, and only stopping rules read them.
            float change = 0.0F, norm = 0.0F;
#pragma omp simd reduction(+ : change, norm)
            for (std::size_t i = 0; i < n.nx; ++i) {
                const float value = row[i] + constant[i];
                const float difference = value - x[i];
                change += difference * difference;
                norm += value * value;
                x[i] = value;
            }
            changes_[y + n.ny * z] = static_cast<double>(change);
            norms_[y + n.ny * z] = static_cast<double>(norm);
        },
        [&](const Tile& tile) {
            const std::size_t n_tile = tile.nz * Tile::width;
            AlignedBuffer<float> scratch(3 * n_tile);
            float *a = scratch.data(), *b = a + n_tile, *l = b + n_tile;
            symbols_(tile, a, b);
            laplacian_.tile(tile, l);
            std::fill_n(b, n_tile, rho);
            divide(tile, b, a, l, rho, l);
            tile.multiply(l);
        },
        work_);
    return relative_change(changes_, norms_);
}

void TvAdmm::raise_penalty(double factor)
{
    rho_ *= factor;
    split_.raise_penalty(factor);
    update_constant();
}

double relative_change(const std::vector<double>& changes, const std::vector<double>& norms)
{
    double change = 0.0, norm = 0.0;
    for (const double c : changes) change += c;
    for (const double n : norms) norm += n;
    return norm > 0.0 ? std::sqrt(change / norm) : 0.0;
}

}  // namespace qsmpi::inversion::detail
