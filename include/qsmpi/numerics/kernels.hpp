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
    /// @param grid              padded grid of the FFT (voxel size in mm enters)
    /// @param b0_direction_ijk  unit vector of B0 in voxel axes
    /// @throws InputError if the direction is not a unit vector (1e-3)
    DipoleKernel(const Grid& grid, const UnitVector& b0_direction_ijk);
    /// Factors of the frequencies (0..nx/2, y, z).
    void row(std::size_t y, std::size_t z, float* factors) const;
    [[nodiscard]] RowMultiplier multiplier() const;

private:
    Dims dims_;
    UnitVector b_;
    std::vector<float> kx_, ky_, kz_;
};

/// Spectrum of the ball of `radius_mm`, normalised to sum 1 (spherical mean value kernel); voxels on the rim are
/// weighted by the part of 4^3 sub-samples inside. Real, since the ball is even; returned as half-spectrum factors
/// in the layout of Spectrum. @throws InputError if radius_mm < 1.5 * largest voxel edge... see background.
[[nodiscard]] std::vector<float> ball_spectrum(const Fft3& fft, double radius_mm);

/// Symbol of the negative Laplacian with periodic boundaries, sum_i (2 - 2 cos(2 pi n_i/N_i)) / h_i^2, by rows [1/mm^2].
class LaplacianKernel {
public:
    explicit LaplacianKernel(const Grid& grid);
    void row(std::size_t y, std::size_t z, float* factors) const;

private:
    std::vector<float> lx_, ly_, lz_;
};

}  // namespace qsmpi::numerics
