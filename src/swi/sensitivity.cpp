#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "qsmpi/swi/swi.hpp"

namespace qsmpi::swi {
namespace {

constexpr double window_spacing_mm = 15.0;
// Every second voxel of an axis tells a window's quantile well enough.
constexpr std::size_t window_stride = 2;
constexpr float vote_tolerance = 0.1f;
constexpr int votes_needed = 2;

/// Window w of an axis reaches one spacing to either side of its centre, w spacings from the border.
struct Axis {
    Axis(std::size_t n_voxels, double voxel_mm)
        : n(n_voxels), spacing(std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(window_spacing_mm / voxel_mm)))),
          windows((n + spacing - 1) / spacing + 1)
    {
    }
    [[nodiscard]] std::size_t begin(std::size_t w) const { return w == 0 ? 0 : (w - 1) * spacing; }
    [[nodiscard]] std::size_t end(std::size_t w) const { return std::min(n, (w + 1) * spacing); }
    std::size_t n, spacing, windows;
};

/// The bright end of each window; 0 for windows without a voxel of the mask.
std::vector<float> bright_ends(const VolumeF& magnitude, const Mask& mask, const std::array<Axis, 3>& axes)
{
    const auto& [ax, ay, az] = axes;
    std::vector<float> ends(ax.windows * ay.windows * az.windows, 0.0f);
    parallel::for_each_dynamic(ends.size(), [&](std::size_t w) {
        const std::size_t wx = w % ax.windows, wy = w / ax.windows % ay.windows, wz = w / ax.windows / ay.windows;
        std::vector<float> values;
        for (std::size_t z = az.begin(wz); z < az.end(wz); z += window_stride)
            for (std::size_t y = ay.begin(wy); y < ay.end(wy); y += window_stride)
                for (std::size_t x = ax.begin(wx); x < ax.end(wx); x += window_stride)
                    if (mask(x, y, z) != 0 && std::isfinite(magnitude(x, y, z))) values.push_back(magnitude(x, y, z));
        if (!values.empty()) ends[w] = static_cast<float>(numerics::quantile(values, 0.9));
    });
    return ends;
}

}  // namespace

VolumeF sensitivity(const VolumeF& magnitude, const Mask& mask, double sigma_mm)
{
    require_same_grid(magnitude, mask, "sensitivity: magnitude and mask");
    require(sigma_mm > 0.0, str("sensitivity: sigma ", sigma_mm, " mm must be positive"));
    const Dims& d = magnitude.dims();
    const Vec3& h = magnitude.grid().voxel_mm;
    const std::array<Axis, 3> axes{Axis(d.nx, h[0]), Axis(d.ny, h[1]), Axis(d.nz, h[2])};
    const std::vector<float> ends = bright_ends(magnitude, mask, axes);

    VolumeF prevails(magnitude.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const float m = magnitude(x, y, z);
                int votes = 0;
                if (mask(x, y, z) != 0 && std::isfinite(m)) {
                    // A voxel lies in the windows centred at both ends of its cell.
                    const std::size_t wx = x / axes[0].spacing, wy = y / axes[1].spacing, wz = z / axes[2].spacing;
                    for (std::size_t corner = 0; corner < 8; ++corner) {
                        const float end = ends[wx + (corner & 1) + axes[0].windows * (wy + (corner >> 1 & 1) +
                                               axes[1].windows * (wz + (corner >> 2)))];
                        votes += std::abs(m - end) <= vote_tolerance * end && end > 0.0f ? 1 : 0;
                    }
                }
                prevails(x, y, z) = votes >= votes_needed ? 1.0f : 0.0f;
            }
    });
    double field_of_view_mm = 1e9;
    for (int axis = 0; axis < 3; ++axis)
        if (d[axis] > 1)
            field_of_view_mm = std::min(field_of_view_mm, static_cast<double>(d[axis]) * h[static_cast<std::size_t>(axis)]);
    return numerics::gaussian_smooth(magnitude, prevails, std::min(sigma_mm, 0.1 * field_of_view_mm));
}

}  // namespace qsmpi::swi
