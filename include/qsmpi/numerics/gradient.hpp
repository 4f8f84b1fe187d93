#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Forward differences with periodic boundaries, (u(x + e_i) - u(x)) / h_i [1/mm].
void gradient(const VolumeF& u, VolumeF& gx, VolumeF& gy, VolumeF& gz);
/// out = adjoint of gradient() applied to (gx, gy, gz).
void gradient_adjoint(const VolumeF& gx, const VolumeF& gy, const VolumeF& gz, VolumeF& out);

/// What the six neighbours of a voxel in `data` tell; what lies beyond the grid tells nothing.
struct Surroundings {
    float largest_step = 0.0F;  ///< absolute difference to a neighbour in `data`, in the unit of the values
    bool outermost = false;     ///< a neighbour is not in `data`
};
/// @param data  on the grid of the values, which are finite there
[[nodiscard]] inline Surroundings surroundings(const VolumeF& values, const Mask& data, std::size_t x, std::size_t y, std::size_t z)
{
    const Dims& n = values.dims();
    const std::size_t i = n.index(x, y, z);
    Surroundings s;
    const auto look = [&](bool exists, std::size_t j) {
        if (!exists) return;
        if (data[j] != 0)
            s.largest_step = std::max(s.largest_step, std::abs(values[j] - values[i]));
        else
            s.outermost = true;
    };
    look(x > 0, i - 1);
    look(x + 1 < n.nx, i + 1);
    look(y > 0, i - n.nx);
    look(y + 1 < n.ny, i + n.nx);
    look(z > 0, i - n.nx * n.ny);
    look(z + 1 < n.nz, i + n.nx * n.ny);
    return s;
}

}  // namespace qsmpi::numerics
