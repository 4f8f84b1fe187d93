#include "qsmpi/numerics/kernels.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"

namespace qsmpi::numerics {
namespace {

/// Index of entry i in FFT order as a signed frequency (or, in space, a signed offset).
long signed_index(std::size_t i, std::size_t n)
{
    return i < (n + 1) / 2 ? static_cast<long>(i) : static_cast<long>(i) - static_cast<long>(n);
}

void require_unit(const UnitVector& b, const char* who)
{
    const double norm = std::hypot(b[0], b[1], b[2]);
    require(std::abs(norm - 1.0) < 1e-3,
            str(who, ": the B0 direction (", b[0], ", ", b[1], ", ", b[2], ") has length ", norm,
                "; expected a unit vector in voxel axes"));
}

std::vector<float> laplacian_axis(std::size_t n, double voxel_mm)
{
    std::vector<float> values(n);
    for (std::size_t i = 0; i < n; ++i) {
        // 2 - 2 cos(a) = 4 sin^2(a/2), which keeps its digits at low frequencies.
        const double sine = std::sin(units::pi * static_cast<double>(i) / static_cast<double>(n));
        values[i] = static_cast<float>(4.0 * sine * sine / (voxel_mm * voxel_mm));
    }
    return values;
}

/// The real parts of a spectrum, in its layout.
std::vector<float> real_parts(const Spectrum& s)
{
    std::vector<float> factors(s.size());
    parallel::for_blocks(s.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) factors[i] = s.data()[i].real();
    });
    return factors;
}

/// Table of exp(2 pi i n shift / N): moves a kernel stored at offset `shift` to the origin.
std::vector<std::complex<double>> shift_table(std::size_t n, std::size_t shift)
{
    std::vector<std::complex<double>> table(n);
    for (std::size_t i = 0; i < n; ++i)
        table[i] =
            std::polar(1.0, units::two_pi * static_cast<double>(i * shift % n) / static_cast<double>(n));
    return table;
}

/// Fraction of a voxel's 4^3 sub-samples within the radius; (x, y, z) is the voxel's offset from the centre.
double part_inside(const std::array<long, 3>& voxel, const Vec3& h, double radius_mm)
{
    int n_inside = 0;
    for (int k = 0; k < 64; ++k) {
        const std::array<int, 3> sub{k % 4, k / 4 % 4, k / 16};
        double r2 = 0.0;
        for (std::size_t a = 0; a < 3; ++a) {
            const double r = (static_cast<double>(voxel[a]) + (sub[a] + 0.5) / 4.0 - 0.5) * h[a];
            r2 += r * r;
        }
        if (r2 <= radius_mm * radius_mm) ++n_inside;
    }
    return n_inside / 64.0;
}

}  // namespace

DipoleKernel::DipoleKernel(const Grid& grid, const UnitVector& b0_direction_ijk, Sources sources)
{
    require_unit(b0_direction_ijk, "dipole kernel");
    x_ = axis(grid.dims.nx, grid.voxel_mm[0], b0_direction_ijk[0], sources);
    y_ = axis(grid.dims.ny, grid.voxel_mm[1], b0_direction_ijk[1], sources);
    z_ = axis(grid.dims.nz, grid.voxel_mm[2], b0_direction_ijk[2], sources);
}

DipoleKernel::Axis DipoleKernel::axis(std::size_t n, double voxel_mm, double b, Sources sources)
{
    Axis a{std::vector<float>(n), std::vector<float>(n), std::vector<float>(n), std::vector<float>(n, 1.0F)};
    for (std::size_t i = 0; i < n; ++i) {
        const double k = static_cast<double>(signed_index(i, n)) / (static_cast<double>(n) * voxel_mm);
        const bool is_nyquist = n % 2 == 0 && i == n / 2;
        a.k_squared[i] = static_cast<float>(k * k);
        (is_nyquist ? a.nyquist_projection : a.projection)[i] = static_cast<float>(k * b);
        if (sources == Sources::voxels && i > 0) {
            const double angle = units::pi * k * voxel_mm;
            a.voxel[i] = static_cast<float>(std::sin(angle) / angle);
        }
    }
    return a;
}

void DipoleKernel::fill(std::size_t x0, std::size_t n_x, std::size_t y, std::size_t z, float* factors) const
{
    // Reflection of the index flips the sign of every k but those at a Nyquist frequency, so the mean of
    // (q + p)^2 and (-q + p)^2 is q^2 + p^2 with p the Nyquist part of k.b and q the rest.
    const float voxel_yz = y_.voxel[y] * z_.voxel[z];
    const float k2_yz = y_.k_squared[y] + z_.k_squared[z];
    const float q_yz = y_.projection[y] + z_.projection[z];
    const float p_yz = y_.nyquist_projection[y] + z_.nyquist_projection[z];
    for (std::size_t j = 0; j < n_x; ++j) {
        const float k2 = x_.k_squared[x0 + j] + k2_yz;
        const float q = x_.projection[x0 + j] + q_yz;
        const float p = x_.nyquist_projection[x0 + j] + p_yz;
        factors[j] = (1.0F / 3.0F - (q * q + p * p) / k2) * (x_.voxel[x0 + j] * voxel_yz);
    }
    if (x0 == 0 && y == 0 && z == 0) factors[0] = 0.0F;
}

void DipoleKernel::row(std::size_t y, std::size_t z, float* factors) const
{
    fill(0, x_.k_squared.size() / 2 + 1, y, z, factors);
}

void DipoleKernel::tile(const Tile& t, float* factors) const
{
    for (std::size_t z = 0; z < t.nz; ++z) {
        float* row = factors + z * Tile::width;
        fill(t.x0, t.n_x, t.y, z, row);
        std::fill(row + t.n_x, row + Tile::width, 0.0F);
    }
}

RowMultiplier DipoleKernel::multiplier() const
{
    return [kernel = *this](std::size_t y, std::size_t z, float* factors) { kernel.row(y, z, factors); };
}

LaplacianKernel::LaplacianKernel(const Grid& grid)
    : lx_(laplacian_axis(grid.dims.nx, grid.voxel_mm[0])),
      ly_(laplacian_axis(grid.dims.ny, grid.voxel_mm[1])),
      lz_(laplacian_axis(grid.dims.nz, grid.voxel_mm[2]))
{
}

void LaplacianKernel::row(std::size_t y, std::size_t z, float* factors) const
{
    const std::size_t half_x = lx_.size() / 2 + 1;
    const float yz = ly_[y] + lz_[z];
    for (std::size_t x = 0; x < half_x; ++x) factors[x] = lx_[x] + yz;
}

void LaplacianKernel::tile(const Tile& t, float* factors) const
{
    for (std::size_t z = 0; z < t.nz; ++z) {
        float* row = factors + z * Tile::width;
        const float yz = ly_[t.y] + lz_[z];
        for (std::size_t j = 0; j < t.n_x; ++j) row[j] = lx_[t.x0 + j] + yz;
        std::fill(row + t.n_x, row + Tile::width, 0.0F);
    }
}

std::vector<float> ball_spectrum(const Fft3& fft, double radius_mm)
{
    Spectrum work(fft.grid().dims);
    return ball_spectrum(fft, radius_mm, work);
}

std::vector<float> ball_spectrum(const Fft3& fft, double radius_mm, Spectrum& work)
{
    const Grid& grid = fft.grid();
    require(std::isfinite(radius_mm) && radius_mm > 0.0,
            str("ball: radius ", radius_mm, " mm; expected a positive length"));
    std::array<std::size_t, 3> reach{};
    for (std::size_t a = 0; a < 3; ++a) {
        reach[a] = static_cast<std::size_t>(std::ceil(radius_mm / grid.voxel_mm[a]));
        const std::size_t n = grid.dims[static_cast<int>(a)];
        require(2 * reach[a] + 1 <= n,
                str("ball: radius ", radius_mm, " mm does not fit an axis of ", n, " voxels; pad the grid"));
    }

    // The ball sits in the corner box, where the transform skips all empty rows; a phase factor centres it.
    VolumeF ball(Grid{{2 * reach[0] + 1, 2 * reach[1] + 1, 2 * reach[2] + 1}, grid.voxel_mm});
    double total = 0.0;
    for (std::size_t z = 0, i = 0; z < ball.dims().nz; ++z)
        for (std::size_t y = 0; y < ball.dims().ny; ++y)
            for (std::size_t x = 0; x < ball.dims().nx; ++x, ++i) {
                const std::array<long, 3> voxel{static_cast<long>(x) - static_cast<long>(reach[0]),
                                                static_cast<long>(y) - static_cast<long>(reach[1]),
                                                static_cast<long>(z) - static_cast<long>(reach[2])};
                const double part = part_inside(voxel, grid.voxel_mm, radius_mm);
                ball[i] = static_cast<float>(part);
                total += part;
            }
    if (total == 0.0) {  // a ball smaller than a sub-sample is its centre voxel
        ball(reach[0], reach[1], reach[2]) = 1.0F;
        total = 1.0;
    }
    fft.forward(ball, work);

    const auto ex = shift_table(grid.dims.nx, reach[0]);
    const auto ey = shift_table(grid.dims.ny, reach[1]);
    const auto ez = shift_table(grid.dims.nz, reach[2]);
    std::vector<float> factors(work.size());
    fft.for_each_row(work, [&](std::size_t y, std::size_t z, std::complex<float>* row) {
        const std::complex<double> eyz = ey[y] * ez[z] / total;
        float* out = factors.data() + work.half_x() * (y + grid.dims.ny * z);
        for (std::size_t x = 0; x < work.half_x(); ++x) {
            const double re = eyz.real() * ex[x].real() - eyz.imag() * ex[x].imag();
            const double im = eyz.real() * ex[x].imag() + eyz.imag() * ex[x].real();
            out[x] = static_cast<float>(re * static_cast<double>(row[x].real()) -
                                        im * static_cast<double>(row[x].imag()));
        }
    });
    return factors;
}

std::vector<float> dipole_spatial_spectrum(const Fft3& fft, const UnitVector& b0_direction_ijk)
{
    require_unit(b0_direction_ijk, "dipole kernel");
    const Grid& grid = fft.grid();
    const auto& d = grid.dims;
    const auto& h = grid.voxel_mm;
    const auto& b = b0_direction_ijk;
    const double scale = grid.voxel_mm3() / (4.0 * units::pi);
    const auto is_unpaired = [](std::size_t i, std::size_t n) { return n % 2 == 0 && i == n / 2; };
    Spectrum work(d);
    fft.forward_rows(
        d,
        [&](std::size_t y, std::size_t z, float* row) {
            const double ry = static_cast<double>(signed_index(y, d.ny)) * h[1];
            const double rz = static_cast<double>(signed_index(z, d.nz)) * h[2];
            const double r2_yz = ry * ry + rz * rz, along_yz = ry * b[1] + rz * b[2];
            for (std::size_t x = 0; x < d.nx; ++x) {
                const double rx = static_cast<double>(signed_index(x, d.nx)) * h[0];
                const double r2 = rx * rx + r2_yz, along = rx * b[0] + along_yz;
                row[x] = static_cast<float>(scale * (3.0 * along * along - r2) / (r2 * r2 * std::sqrt(r2)));
            }
            if (y == 0 && z == 0) row[0] = 0.0F;
            if (is_unpaired(y, d.ny) || is_unpaired(z, d.nz)) std::fill_n(row, d.nx, 0.0F);
            if (d.nx % 2 == 0) row[d.nx / 2] = 0.0F;
        },
        work);
    return real_parts(work);
}

}  // namespace qsmpi::numerics
