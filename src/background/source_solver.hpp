#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "low_order.hpp"
#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::background {

/// Kinds of places for sources, by what is expected there.
enum Region : std::uint8_t { no_signal = 0, tissue = 1, inside = 2 };

/// Expected size of a source [ppm] in each Region.
using SourceSizes = std::array<float, 3>;

/// Sources y that explain a field: min || w (f - D P y - smooth) ||^2 + || y ||^2, by conjugate gradients on the
/// normal equations in the form that keeps the residual in the data (CGLS). P is the expected size of a source.
///
/// An iteration is two filters of the padded grid, with all vector updates fused into their rows. Memory: 3 volumes
/// and a spectrum of the padded grid, 3 volumes of the box.
class SourceSolver {
public:
    /// @param regions         of the box; padding counts as no_signal
    /// @param squared_weight  of the box, 1 / variance [1/ppm^2], 0: no data. Both must outlive this
    SourceSolver(const Grid& padded, const UnitVector& b0_direction_ijk, const Volume<std::uint8_t>& regions,
                 const VolumeF& squared_weight, LowOrder low_order = LowOrder::harmonic);

    /// Expected sizes for the next solve(), after background_ppm() if there was one before. Sources outside the mask found so
    /// far stay, those inside are forgotten.
    void set_sizes(const SourceSizes& sizes_ppm);
    /// Improves the sources so that they explain `target_ppm` (box; finite) on the data, by at most so many iterations;
    /// stops when relative_residual() is below the tolerance.
    void solve(const VolumeF& target_ppm, int n_iterations, double tolerance = 1e-6);
    /// Field on the box of the sources outside the mask and of the smooth part (LowOrder). After solve().
    [[nodiscard]] VolumeF background_ppm();
    /// Sources found so far [ppm], on the box.
    [[nodiscard]] VolumeF sources_ppm() const;
    /// field += that of the sources in a part of the box; all on the box.
    void add_field_of(const VolumeF& sources_ppm, const Mask& part, VolumeF& field_ppm);
    /// What neither sources nor smooth fields explain of the last solve()'s target, on the box.
    [[nodiscard]] VolumeF unexplained_ppm() const;
    /// out = D chi on the box, for a map on the box.
    void dipole_field(const VolumeF& chi_ppm, VolumeF& out);

    /// Regions and weights were written anew. Sources found where it is now inside count as such: the next set_sizes() forgets them.
    void accept_changed_setting();
    /// Gives back the memory that solve() alone needs, until it is called again.
    void release_directions();
    /// That, and the spectrum that the other functions need too.
    void release_scratch();

    [[nodiscard]] int iterations() const { return iterations_; }
    /// Norm of the gradient relative to where the last solve() began.
    [[nodiscard]] double relative_residual() const { return relative_residual_; }

private:
    /// What the forward pass of one iteration yields.
    struct Forward {
        double norm_squared;               ///< || w (q - smooth) ||^2 + || p ||^2
        LowOrderField::Coefficients smooth;    ///< fit to q
    };
    [[nodiscard]] numerics::Spectrum& work();
    [[nodiscard]] LowOrderField::Coefficients fit_residual() const;
    void scale_by_region(std::size_t y, std::size_t z, const SourceSizes& sizes, const float* values, float* row) const;
    [[nodiscard]] Forward forward(float beta);
    [[nodiscard]] double backward(float alpha);
    [[nodiscard]] static numerics::TileBody multiply_by(const numerics::DipoleKernel& dipole);

    const Volume<std::uint8_t>& regions_;
    const VolumeF& squared_weight_;
    Dims box_, padded_;
    numerics::Fft3 fft_;
    numerics::DipoleKernel dipole_, voxel_dipole_;  // of a map's samples; of the sources that are looked for
    LowOrderField polynomials_;
    LowOrder low_order_;
    SourceSizes sizes_{};
    VolumeF y_, gradient_, direction_;  // padded
    VolumeF residual_, step_;           // box: f - D P y, and D P direction
    VolumeF outside_;                   // box: field of the sources outside the mask; empty before the first solve
    LowOrderField::Coefficients smooth_{};
    numerics::Spectrum work_;
    int iterations_ = 0;
    double relative_residual_ = 0.0;
};

}  // namespace qsmpi::background
