#pragma once
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/fft.hpp"

namespace qsmpi::numerics {

/// k-space dipole kernel D(k) = 1/3 - (k.b)^2/|k|^2, D(0) = 0, evaluated row by row from 1-D tables.
///
/// On Nyquist planes of even axes it is symmetrised, (D(k) + D(-k))/2 index-wise, so that the multiplier of a real
/// volume is Hermitian for oblique B0 too. Salomir et al., Concepts Magn. Reson. 19B:26-34, 2003.
class DipoleKernel {
public:
    /// What is convolved: D as it is, for a map sampled on the grid; or D times the spectrum of a voxel (a sinc along each
    /// axis), the field of homogeneous voxels. The latter does not ring around strong sources.
    enum class Sources { samples, voxels };

    /// @param grid              padded grid of the FFT (voxel size in mm enters)
    /// @param b0_direction_ijk  unit vector of B0 in voxel axes
    /// @throws InputError if the direction is not a unit vector (1e-3)
    DipoleKernel(const Grid& grid, const UnitVector& b0_direction_ijk, Sources sources = Sources::samples);
    /// Factors of the frequencies (0..nx/2, y, z).
    void row(std::size_t y, std::size_t z, float* factors) const;
    /// Factors of one tile, factors[z * Tile::width + j]; all Tile::width columns are written, padding with 0.
    void tile(const Tile& t, float* factors) const;
    /// Keeps a copy of the kernel's tables, so it may outlive the kernel.
    [[nodiscard]] RowMultiplier multiplier() const;

private:
    /// Frequencies of one axis: k^2, the projection k b, and the same projection moved to where the Nyquist
    /// frequency of an even axis keeps its sign under reflection.
    struct Axis {
        std::vector<float> k_squared, projection, nyquist_projection;
        std::vector<float> voxel;  ///< spectrum of a voxel, or 1
    };
    static Axis axis(std::size_t n, double voxel_mm, double b, Sources sources);
    void fill(std::size_t x0, std::size_t n_x, std::size_t y, std::size_t z, float* factors) const;

    Axis x_, y_, z_;
};

/// Spectrum of the ball of `radius_mm`, normalised to sum 1 (spherical mean value kernel); voxels on the rim are
/// weighted by the part of 4^3 sub-samples inside. Real, since the ball is even; returned as half-spectrum factors
/// in the layout of Spectrum. Costs less than half a forward transform: only the box around the ball is not zero.
/// @throws InputError if radius_mm is not positive or the ball does not fit the grid
[[nodiscard]] std::vector<float> ball_spectrum(const Fft3& fft, double radius_mm);
/// The same with the caller's scratch of the grid, for loops over radii.
[[nodiscard]] std::vector<float> ball_spectrum(const Fft3& fft, double radius_mm, Spectrum& work);

/// Spectrum of the dipole kernel sampled in space, prod(h)/(4 pi) (3 (r.b)^2 - r^2)/r^5 with d(0) = 0 (Lorentz
/// sphere), cut to an odd support so that it is even and its spectrum real; half-spectrum factors in the layout of
/// Spectrum. On a grid padded to twice the support it convolves without wrap-around: for background fields.
/// @throws InputError if the direction is not a unit vector (1e-3)
[[nodiscard]] std::vector<float> dipole_spatial_spectrum(const Fft3& fft, const UnitVector& b0_direction_ijk);

/// Symbol of the negative Laplacian with periodic boundaries, sum_i (2 - 2 cos(2 pi n_i/N_i)) / h_i^2, by rows [1/mm^2].
class LaplacianKernel {
public:
    explicit LaplacianKernel(const Grid& grid);
    void row(std::size_t y, std::size_t z, float* factors) const;
    /// Factors of one tile, factors[z * Tile::width + j]; all Tile::width columns are written, padding with 0.
    void tile(const Tile& t, float* factors) const;

private:
    std::vector<float> lx_, ly_, lz_;
};

}  // namespace qsmpi::numerics
