#include "qsmpi/phase/laplacian.hpp"

#include <cmath>
#include <complex>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "wrap.hpp"

// The Poisson equation with Neumann boundaries is diagonal in the cosine transform DCT-II. We take that
// transform from one real FFT of the same size, not of a mirrored volume of 8 times the size: along each axis
// the even-numbered samples come first and the odd-numbered ones follow backwards, v = (x0 x2 x4 ... x5 x3
// x1). With V the DFT of v and c = exp(-i pi k / 2N), DCT[k] = (c V[k] + conj(c) V[N-k]) / 2. Makhoul, IEEE
// Trans. ASSP 28(1):27-34, 1980.

namespace qsmpi::phase
{

namespace
{

using Complex = std::complex<float>;

/// Place of sample n of N after the reordering.
constexpr std::size_t reordered(std::size_t n, std::size_t length)
{
    return n % 2 == 0 ? n / 2 : length - 1 - n / 2;
}

/// Twiddle factors c and eigenvalues (2 - 2 cos(pi k / N)) / h^2 of one axis, k = 0 ... N.
struct Axis {
    Axis(std::size_t n, double voxel_mm) : length(n), twiddle(n + 1), eigenvalue(n + 1)
    {
        for (std::size_t k = 0; k <= n; ++k) {
            const double angle = units::pi * static_cast<double>(k) / static_cast<double>(n);
            twiddle[k] = Complex(std::polar(1.0, -0.5 * angle));
            eigenvalue[k] = (2.0 - 2.0 * std::cos(angle)) / (voxel_mm * voxel_mm);
        }
    }
    /// Frequency N - k, or k where that is no other one.
    [[nodiscard]] std::size_t partner(std::size_t k) const { return k == 0 ? 0 : length - k; }

    std::size_t length;
    std::vector<Complex> twiddle;
    std::vector<double> eigenvalue;
};

/// (V[k], V[N-k]) to (DCT[k], DCT[N-k]) along one axis.
void to_cosine(Complex& low, Complex& high, Complex c)
{
    const Complex a = c * low, b = std::conj(c) * high, difference = 0.5f * (a - b);
    low = 0.5f * (a + b);
    high = {-difference.imag(), difference.real()};
}

void from_cosine(Complex& low, Complex& high, Complex c)
{
    const Complex turned{-high.imag(), high.real()};
    const Complex sum = low + turned;
    low = std::conj(c) * (low - turned);
    high = c * sum;
}

/// Divides the cosine spectrum by minus the eigenvalues of the Laplacian, four mirrored rows at a time.
void solve_rows(numerics::Spectrum& spectrum, const Axis& ax, const Axis& ay, const Axis& az, std::size_t y,
                std::size_t z)
{
    const std::size_t y_other = ay.partner(y), z_other = az.partner(z);
    const bool pair_y = y_other != y, pair_z = z_other != z;
    struct Entry {
        Complex* row;
        double eigenvalue;
    };
    const std::array<Entry, 4> entries{
        Entry{spectrum.row(y, z), ay.eigenvalue[y] + az.eigenvalue[z]},
        Entry{pair_y ? spectrum.row(y_other, z) : nullptr, ay.eigenvalue[y_other] + az.eigenvalue[z]},
        Entry{pair_z ? spectrum.row(y, z_other) : nullptr, ay.eigenvalue[y] + az.eigenvalue[z_other]},
        Entry{pair_y && pair_z ? spectrum.row(y_other, z_other) : nullptr,
              ay.eigenvalue[y_other] + az.eigenvalue[z_other]}};
    const Complex cy = ay.twiddle[y], cz = az.twiddle[z];
    for (std::size_t x = 0; x < spectrum.half_x(); ++x) {
        std::array<Complex, 4> v{};
        for (std::size_t e = 0; e < 4; ++e) {
            if (entries[e].row != nullptr) v[e] = entries[e].row[x];
        }
        if (pair_y) {
            to_cosine(v[0], v[1], cy);
            to_cosine(v[2], v[3], cy);
        }
        if (pair_z) {
            to_cosine(v[0], v[2], cz);
            to_cosine(v[1], v[3], cz);
        }
        // Along x the partner N-x is the complex conjugate: Re and -Im of c V are the coefficients of x and
        // N-x.
        for (std::size_t e = 0; e < 4; ++e) {
            const Complex coefficients = ax.twiddle[x] * v[e];
            const double here = entries[e].eigenvalue + ax.eigenvalue[x];
            const double there = entries[e].eigenvalue + ax.eigenvalue[ax.length - x];
            v[e] = std::conj(ax.twiddle[x]) *
                   Complex(here > 0.0 ? -coefficients.real() / static_cast<float>(here) : 0.0f,
                           there > 0.0 ? -coefficients.imag() / static_cast<float>(there) : 0.0f);
        }
        if (pair_z) {
            from_cosine(v[0], v[2], cz);
            from_cosine(v[1], v[3], cz);
        }
        if (pair_y) {
            from_cosine(v[0], v[1], cy);
            from_cosine(v[2], v[3], cy);
        }
        for (std::size_t e = 0; e < 4; ++e) {
            if (entries[e].row != nullptr) entries[e].row[x] = v[e];
        }
    }
}

/// Divergence of the wrapped differences of one row; no flux through the border or next to non-finite phase.
void wrapped_laplacian_row(const VolumeF& phase, std::size_t y, std::size_t z, std::vector<float>& out)
{
    const Dims& d = phase.dims();
    const float* p = phase.data() + d.index(0, y, z);
    const auto flux = [](float from, float to) {
        const float difference = wrap(to - from);
        return std::isfinite(difference) ? difference : 0.0f;
    };
    const auto weight = [&](std::size_t axis) {
        const double h = phase.grid().voxel_mm[axis];
        return static_cast<float>(1.0 / (h * h));
    };
    std::fill(out.begin(), out.end(), 0.0f);
    for (std::size_t x = 0; x + 1 < d.nx; ++x) {
        const float f = weight(0) * flux(p[x], p[x + 1]);
        out[x] += f;
        out[x + 1] -= f;
    }
    const auto add_neighbour = [&](std::ptrdiff_t offset, float w) {
        for (std::size_t x = 0; x < d.nx; ++x)
            out[x] += w * flux(p[x], p[static_cast<std::ptrdiff_t>(x) + offset]);
    };
    const auto row = static_cast<std::ptrdiff_t>(d.nx), slice = static_cast<std::ptrdiff_t>(d.nx * d.ny);
    if (y > 0) add_neighbour(-row, weight(1));
    if (y + 1 < d.ny) add_neighbour(row, weight(1));
    if (z > 0) add_neighbour(-slice, weight(2));
    if (z + 1 < d.nz) add_neighbour(slice, weight(2));
}

}  // namespace

VolumeF unwrap_laplacian(const VolumeF& wrapped_phase_rad)
{
    const Grid& grid = wrapped_phase_rad.grid();
    const Dims& d = grid.dims;
    require(grid.size() > 0, "unwrap_laplacian: the phase volume is empty");

    VolumeF reordered_source(grid);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::vector<float> source(d.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            wrapped_laplacian_row(wrapped_phase_rad, y, z, source);
            float* row = reordered_source.data() + d.index(0, reordered(y, d.ny), reordered(z, d.nz));
            for (std::size_t x = 0; x < d.nx; ++x) row[reordered(x, d.nx)] = source[x];
        }
    });
    {
        const numerics::Fft3 fft(grid);
        numerics::Spectrum spectrum(d);
        fft.forward(reordered_source, spectrum);
        const Axis ax(d.nx, grid.voxel_mm[0]), ay(d.ny, grid.voxel_mm[1]), az(d.nz, grid.voxel_mm[2]);
        parallel::for_each(d.nz / 2 + 1, [&](std::size_t z) {
            for (std::size_t y = 0; y <= d.ny / 2; ++y) solve_rows(spectrum, ax, ay, az, y, z);
        });
        fft.inverse(spectrum, reordered_source);
    }
    VolumeF unwrapped(grid);
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y) {
            const float* row = reordered_source.data() + d.index(0, reordered(y, d.ny), reordered(z, d.nz));
            float* out = unwrapped.data() + d.index(0, y, z);
            for (std::size_t x = 0; x < d.nx; ++x) out[x] = row[reordered(x, d.nx)];
        }
    });
    return unwrapped;
}

}  // namespace qsmpi::phase
