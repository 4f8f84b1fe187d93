#include <algorithm>
#include <cmath>
#include <numeric>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/reference.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion {
namespace {

struct Centre {
    double x = 0.0, y = 0.0, z = 0.0, n = 0.0;
    Centre& operator+=(const Centre& other)
    {
        x += other.x, y += other.y, z += other.z, n += other.n;
        return *this;
    }
};

/// Mean index of the mask's voxels.
Centre centre_of(const Mask& mask)
{
    const Dims& d = mask.dims();
    Centre c = parallel::sum_blocks<Centre>(mask.size(), [&](std::size_t begin, std::size_t end) {
        Centre part;
        for (std::size_t i = begin; i < end; ++i)
            if (mask[i] != 0)
                part += {static_cast<double>(i % d.nx), static_cast<double>(i / d.nx % d.ny),
                         static_cast<double>(i / d.nx / d.ny), 1.0};
        return part;
    });
    if (c.n > 0.0) c.x /= c.n, c.y /= c.n, c.z /= c.n;
    return c;
}

}  // namespace

Mask csf_mask(const VolumeF& r2star_per_s, const VolumeF& magnitude, const Mask& mask, const CsfOptions& options)
{
    require_same_grid(r2star_per_s, mask, "csf_mask: R2* and mask");
    require_same_grid(magnitude, mask, "csf_mask: magnitude and mask");
    const Dims& d = mask.dims();
    const Vec3& h = mask.grid().voxel_mm;
    const Centre centre = centre_of(mask);
    const auto limit = static_cast<float>(options.r2star_limit_per_s);
    const auto dark = static_cast<float>(0.5 * numerics::median_inside(magnitude, mask));
    const double radius2 = options.radius_mm * options.radius_mm;

    Mask fluid(mask.grid(), 0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const double dx = (static_cast<double>(x) - centre.x) * h[0], dy = (static_cast<double>(y) - centre.y) * h[1],
                             dz = (static_cast<double>(z) - centre.z) * h[2];
                const bool is_fluid = mask(x, y, z) != 0 && dx * dx + dy * dy + dz * dz <= radius2 &&
                                      r2star_per_s(x, y, z) < limit && magnitude(x, y, z) > dark;
                fluid(x, y, z) = is_fluid ? 1 : 0;
            }
    });

    const numerics::Components parts = numerics::label_components(fluid);
    std::vector<std::uint32_t> order(parts.sizes.size() - 1);
    std::iota(order.begin(), order.end(), 1U);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return parts.sizes[a] > parts.sizes[b]; });
    order.resize(std::min(order.size(), static_cast<std::size_t>(std::max(0, options.components))));
    for (std::size_t i = 0; i < fluid.size(); ++i)
        fluid[i] = std::find(order.begin(), order.end(), parts.labels[i]) != order.end() ? 1 : 0;

    Mask core = numerics::erode(fluid, options.erosion_mm);
    const auto enough = [&](const Mask& m) { return static_cast<double>(numerics::count(m)) * mask.grid().voxel_mm3() >= options.least_mm3; };
    if (enough(core)) return core;
    if (enough(fluid)) return fluid;
    return Mask(mask.grid(), 0);
}

}  // namespace qsmpi::inversion
