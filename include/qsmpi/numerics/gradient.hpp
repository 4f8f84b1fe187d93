#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Forward differences with periodic boundaries, (u(x + e_i) - u(x)) / h_i [1/mm].
void gradient(const VolumeF& u, VolumeF& gx, VolumeF& gy, VolumeF& gz);
/// out = adjoint of gradient() applied to (gx, gy, gz).
void gradient_adjoint(const VolumeF& gx, const VolumeF& gy, const VolumeF& gz, VolumeF& out);

}  // namespace qsmpi::numerics
