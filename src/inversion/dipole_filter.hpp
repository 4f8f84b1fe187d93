#pragma once
#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion::detail {

/// The dipole convolution D of volumes on a box, by FFTs of the padded grid. On volumes of one shape it is its own
/// adjoint.
class DipoleFilter {
public:
    /// @throws InputError if the direction is no unit vector
    DipoleFilter(const Grid& padded, const UnitVector& b0_direction_ijk);
    /// out = D in; both at most as large as the padded grid, and possibly the same.
    void apply(const VolumeF& in, VolumeF& out);
    /// The same by rows; see Fft3::filter_rows().
    void apply_rows(const Dims& in_dims, const numerics::RowSource& source, const Dims& out_dims,
                    const numerics::RowSink& sink);
    /// out = F^-1 (what `change` makes of each tile of factors D(k)) F in: any function of the kernel, and of k.
    using Change = std::function<void(const numerics::Tile& tile, float* factors)>;
    void apply_changed(const VolumeF& in, VolumeF& out, const Change& change);

    [[nodiscard]] const numerics::Fft3& fft() const { return fft_; }
    [[nodiscard]] const numerics::DipoleKernel& kernel() const { return kernel_; }
    [[nodiscard]] numerics::Spectrum& work() { return work_; }

private:
    numerics::DipoleKernel kernel_;  // first: it checks the direction before anything is planned
    numerics::Fft3 fft_;
    numerics::Spectrum work_;
};

}  // namespace qsmpi::inversion::detail
