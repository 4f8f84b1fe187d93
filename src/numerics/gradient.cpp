#include "qsmpi/numerics/gradient.hpp"

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::numerics {

void gradient(const VolumeF& u, VolumeF& gx, VolumeF& gy, VolumeF& gz)
{
    for (const VolumeF* g : {&gx, &gy, &gz}) require_same_grid(u, *g, "gradient: volume and component");
    const auto& [nx, ny, nz] = u.dims();
    const auto& h = u.grid().voxel_mm;
    const auto rx = static_cast<float>(1.0 / h[0]), ry = static_cast<float>(1.0 / h[1]),
               rz = static_cast<float>(1.0 / h[2]);
    parallel::for_each(nz, [&, nx = nx, ny = ny, nz = nz](std::size_t z) {
        const std::size_t z_next = z + 1 < nz ? z + 1 : 0;
        for (std::size_t y = 0; y < ny; ++y) {
            const float* here = &u(0, y, z);
            const float* above_y = &u(0, y + 1 < ny ? y + 1 : 0, z);
            const float* above_z = &u(0, y, z_next);
            float* out_x = &gx(0, y, z);
            float* out_y = &gy(0, y, z);
            float* out_z = &gz(0, y, z);
#pragma omp simd
            for (std::size_t x = 0; x < nx; ++x) {
                out_y[x] = (above_y[x] - here[x]) * ry;
                out_z[x] = (above_z[x] - here[x]) * rz;
            }
#pragma omp simd
            for (std::size_t x = 0; x < nx - 1; ++x) out_x[x] = (here[x + 1] - here[x]) * rx;
            out_x[nx - 1] = (here[0] - here[nx - 1]) * rx;
        }
    });
}

void gradient_adjoint(const VolumeF& gx, const VolumeF& gy, const VolumeF& gz, VolumeF& out)
{
    for (const VolumeF* g : {&gx, &gy, &gz})
        require_same_grid(out, *g, "gradient_adjoint: volume and component");
    const auto& [nx, ny, nz] = out.dims();
    const auto& h = out.grid().voxel_mm;
    const auto rx = static_cast<float>(1.0 / h[0]), ry = static_cast<float>(1.0 / h[1]),
               rz = static_cast<float>(1.0 / h[2]);
    parallel::for_each(nz, [&, nx = nx, ny = ny, nz = nz](std::size_t z) {
        const std::size_t z_last = z > 0 ? z - 1 : nz - 1;
        for (std::size_t y = 0; y < ny; ++y) {
            const float* x_here = &gx(0, y, z);
            const float* y_here = &gy(0, y, z);
            const float* y_below = &gy(0, y > 0 ? y - 1 : ny - 1, z);
            const float* z_here = &gz(0, y, z);
            const float* z_below = &gz(0, y, z_last);
            float* to = &out(0, y, z);
            to[0] = (x_here[nx - 1] - x_here[0]) * rx + (y_below[0] - y_here[0]) * ry +
                    (z_below[0] - z_here[0]) * rz;
#pragma omp simd
            for (std::size_t x = 1; x < nx; ++x)
                to[x] = (x_here[x - 1] - x_here[x]) * rx + (y_below[x] - y_here[x]) * ry +
                        (z_below[x] - z_here[x]) * rz;
        }
    });
}

}  // namespace qsmpi::numerics
