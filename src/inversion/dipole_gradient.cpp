#include "dipole_gradient.hpp"

namespace qsmpi::inversion::detail {

using numerics::Tile;

void DipoleGradientStep::solve(const Tile& tile, numerics::Spectrum& gradient) const
{
    constexpr std::size_t width = Tile::width;
    const std::size_t n = tile.nz * width;
    AlignedBuffer<float> scratch(2 * n);
    float *d = scratch.data(), *inverse = d + n;
    dipole.tile(tile, d);
    laplacian.tile(tile, inverse);
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) inverse[i] = 1.0F / (mu * d[i] * d[i] + rho * inverse[i] + support);
    if (tile.x0 == 0 && tile.y == 0 && support == 0.0F) inverse[0] = 0.0F;

    const std::size_t stride = gradient.size() / tile.nz;  // from plane to plane
    std::complex<float>* column = gradient.row(tile.y, 0) + tile.x0;
    for (std::size_t z = 0; z < tile.nz; ++z) {
        // The rows of a column lie far apart, where hardware does not look ahead.
        constexpr std::size_t ahead = 8;
        if (z + ahead < tile.nz)
            for (std::size_t line = 0; line < width; line += 8) __builtin_prefetch(column + (z + ahead) * stride + line, 1);
        auto* from_data = reinterpret_cast<float*>(tile.data + z * width);
        auto* from_gradient = reinterpret_cast<float*>(column + z * stride);
        const float *factors = d + z * width, *scale = inverse + z * width;
#pragma omp simd
        for (std::size_t j = 0; j < tile.n_x; ++j) {
            const float data_part = mu * factors[j] * scale[j], gradient_part = rho * scale[j];
            const float re = data_part * from_data[2 * j] + gradient_part * from_gradient[2 * j];
            const float im = data_part * from_data[2 * j + 1] + gradient_part * from_gradient[2 * j + 1];
            from_gradient[2 * j] = re;
            from_gradient[2 * j + 1] = im;
            from_data[2 * j] = factors[j] * re;
            from_data[2 * j + 1] = factors[j] * im;
        }
    }
}

}  // namespace qsmpi::inversion::detail
