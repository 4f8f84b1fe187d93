#include "direct.hpp"

#include <vector>

#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion::detail {
namespace {

double kept_fraction(const Grid& grid, const numerics::DipoleKernel& dipole, const numerics::LaplacianKernel& laplacian,
                     const InverseSymbol& symbol, NeedsLaplacian needs)
{
    const Dims& n = grid.dims;
    const std::size_t half_x = n.nx / 2 + 1;
    std::vector<double> per_slice(n.nz, 0.0);
    parallel::for_each(n.nz, [&](std::size_t z) {
        std::vector<float> d(half_x), inverse(half_x), l(half_x);
        for (std::size_t y = 0; y < n.ny; ++y) {
            dipole.row(y, z, d.data());
            if (needs == NeedsLaplacian::yes) laplacian.row(y, z, l.data());
            inverse = d;
            symbol(inverse.data(), l.data(), half_x);
            // k = 0 is not kept. A row is summed in float: some hundred terms of at most 1.
            const std::size_t first = y == 0 && z == 0 ? 1 : 0;
            float sum = 0.0F;
#pragma omp simd reduction(+ : sum)
            for (std::size_t x = first; x < half_x; ++x) sum += d[x] * inverse[x];
            // All but the ends of a half row stand for two frequencies.
            sum *= 2.0F;
            if (first == 0) sum -= d[0] * inverse[0];
            if (n.nx % 2 == 0 && half_x > 1) sum -= d[half_x - 1] * inverse[half_x - 1];
            per_slice[z] += static_cast<double>(sum);
        }
    });
    double sum = 0.0;
    for (const double s : per_slice) sum += s;
    return sum / static_cast<double>(grid.size());
}

}  // namespace

Result invert_directly(const VolumeF& field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                       const InverseSymbol& symbol, NeedsLaplacian needs, Underestimation underestimation,
                       int pad_voxels, double pad_fraction, const char* who)
{
    Domain domain = make_domain(field_ppm, mask, pad_voxels, pad_fraction, who);
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    const numerics::LaplacianKernel laplacian(domain.padded);
    if (is_empty(domain.mask)) return {.chi_ppm = VolumeF(field_ppm.grid(), 0.0F)};

    const double kept = underestimation == Underestimation::corrected
                            ? kept_fraction(domain.padded, dipole, laplacian, symbol, needs)
                            : 1.0;
    const auto gain = static_cast<float>(kept > 0.0 ? 1.0 / kept : 1.0);
    const numerics::Fft3 fft(domain.padded);
    numerics::Spectrum work(domain.padded.dims);
    fft.filter_tiles(domain.field_ppm, domain.field_ppm, [&](const numerics::Tile& tile) {
        const std::size_t n = tile.nz * numerics::Tile::width;
        AlignedBuffer<float> scratch(2 * n);
        float *factors = scratch.data(), *l = factors + n;
        dipole.tile(tile, factors);
        if (needs == NeedsLaplacian::yes) laplacian.tile(tile, l);
        symbol(factors, l, n);
        for (std::size_t i = 0; i < n; ++i) factors[i] *= gain;
        // D(0) is undefined: QSM is relative.
        if (tile.x0 == 0 && tile.y == 0) factors[0] = 0.0F;
        tile.multiply(factors);
    }, work);
    return {.chi_ppm = to_whole(domain.field_ppm, domain, field_ppm.grid())};
}

}  // namespace qsmpi::inversion::detail
