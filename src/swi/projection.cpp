#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/swi/swi.hpp"

namespace qsmpi::swi {

VolumeF minimum_intensity_projection(const VolumeF& image, double slab_mm, int axis)
{
    require(axis >= 0 && axis <= 2, str("minimum_intensity_projection: axis ", axis, " is not 0, 1 or 2"));
    require(slab_mm > 0.0 && std::isfinite(slab_mm),
            str("minimum_intensity_projection: slab of ", slab_mm, " mm must be positive"));
    const Dims& d = image.dims();
    const double slice_mm = image.grid().voxel_mm[static_cast<std::size_t>(axis)];
    const std::size_t n = d[axis];
    const auto wanted = static_cast<std::size_t>(std::max(1.0, std::round(slab_mm / slice_mm)));
    const std::size_t below = (wanted - 1) / 2, above = wanted / 2;
    const std::size_t stride = axis == 0 ? 1 : axis == 1 ? d.nx : d.nx * d.ny;

    VolumeF lowest(image.grid());
    parallel::for_each(d.ny * d.nz, [&](std::size_t row) {
        const std::size_t y = row % d.ny, z = row / d.ny, start = d.index(0, y, z);
        for (std::size_t x = 0; x < d.nx; ++x) lowest[start + x] = image[start + x];
        if (axis == 0) {
            for (std::size_t x = 0; x < d.nx; ++x)
                for (std::size_t at = x - std::min(x, below); at < std::min(n, x + above + 1); ++at)
                    lowest[start + x] = std::min(lowest[start + x], image[start + at]);
            return;
        }
        const std::size_t here = axis == 1 ? y : z;
        for (std::size_t at = here - std::min(here, below); at < std::min(n, here + above + 1); ++at) {
            const float* other = image.data() + (start + at * stride) - here * stride;
            for (std::size_t x = 0; x < d.nx; ++x) lowest[start + x] = std::min(lowest[start + x], other[x]);
        }
    });
    return lowest;
}

}  // namespace qsmpi::swi
