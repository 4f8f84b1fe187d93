#include "qsmpi/mask/surface.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "mesh.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "sample.hpp"

namespace qsmpi::mask {
namespace {

using namespace detail;

constexpr int subdivisions = 4;
// Radii of curvature [mm] between which smoothing goes from strong to weak.
constexpr double tight_mm = 3.33, gentle_mm = 10.0;
// Depths [mm] below the surface in which the darkest and the brightest point are looked for.
constexpr int dark_depth_mm = 7, bright_depth_mm = 3;
// The surface may leave the field of view by this much: what it rounds off at its rim then lies outside.
constexpr double margin_mm = 15.0;
// After so many steps the mean edge is measured again; and growth ends if no vertex has moved by more than `still_mm` since.
constexpr int refresh = 50;
constexpr double still_mm = 0.1;

/// What the image says of the head as a whole.
struct HeadFacts {
    double dark = 0.0, bright = 0.0;  ///< 2 % and 98 % quantiles of what is not 0
    double threshold = 0.0;           ///< head against air
    double median = 0.0;              ///< within the first radius
    Vec3 centre_mm{};
    double radius_mm = 0.0;           ///< of a ball of the head's volume; 0: there is no head
};

struct Moments {
    double weight = 0.0, x = 0.0, y = 0.0, z = 0.0;
    std::size_t voxels = 0;
    Moments& operator+=(const Moments& o)
    {
        weight += o.weight;
        x += o.x;
        y += o.y;
        z += o.z;
        voxels += o.voxels;
        return *this;
    }
};

Vec3 position_mm(const Grid& grid, std::size_t i)
{
    const auto& d = grid.dims;
    return {static_cast<double>(i % d.nx) * grid.voxel_mm[0], static_cast<double>(i / d.nx % d.ny) * grid.voxel_mm[1],
            static_cast<double>(i / d.nx / d.ny) * grid.voxel_mm[2]};
}

HeadFacts facts_of(const VolumeF& magnitude)
{
    HeadFacts f;
    std::vector<float> sample = sorted_sample(magnitude);
    sample.erase(sample.begin(), std::upper_bound(sample.begin(), sample.end(), 0.0f));
    if (sample.empty()) return f;
    const auto at = [&](double q) { return static_cast<double>(sample[static_cast<std::size_t>(q * static_cast<double>(sample.size() - 1))]); };
    f.dark = at(0.02);
    f.bright = at(0.98);
    f.threshold = f.dark + 0.1 * (f.bright - f.dark);

    const Grid& grid = magnitude.grid();
    const auto m = parallel::sum_blocks<Moments>(magnitude.size(), [&](std::size_t begin, std::size_t end) {
        Moments part;
        for (std::size_t i = begin; i < end; ++i) {
            const double value = static_cast<double>(magnitude[i]);
            if (!std::isfinite(value) || value <= f.threshold) continue;
            const double w = std::min(value, f.bright) - f.dark;
            const Vec3 p = position_mm(grid, i);
            part += {w, w * p[0], w * p[1], w * p[2], 1};
        }
        return part;
    });
    if (m.voxels == 0 || m.weight <= 0.0) return f;
    f.centre_mm = {m.x / m.weight, m.y / m.weight, m.z / m.weight};
    const auto& h = grid.voxel_mm;
    const double volume_mm3 = static_cast<double>(m.voxels) * grid.voxel_mm3();
    f.radius_mm = std::cbrt(0.75 * volume_mm3 / units::pi);
    // A slab is a slice of a cylinder, not a small ball.
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const double extent_mm = static_cast<double>(grid.dims[static_cast<int>(axis)]) * h[axis];
        f.radius_mm = std::max(f.radius_mm, std::sqrt(volume_mm3 / (units::pi * extent_mm)));
    }

    std::vector<float> around;
    const std::size_t stride = std::max<std::size_t>(1, magnitude.size() / 2'000'000) | 1;
    for (std::size_t i = 0; i < magnitude.size(); i += stride) {
        const double value = static_cast<double>(magnitude[i]);
        if (!(value > f.dark && value < f.bright)) continue;
        const Vec3 r = position_mm(grid, i) - f.centre_mm;
        if (dot(r, r) < f.radius_mm * f.radius_mm) around.push_back(magnitude[i]);
    }
    f.median = f.bright;
    if (!around.empty()) {
        const auto middle = around.begin() + static_cast<std::ptrdiff_t>(around.size() / 2);
        std::nth_element(around.begin(), middle, around.end());
        f.median = static_cast<double>(*middle);
    }
    return f;
}

/// The image between its voxels; beyond the grid it goes on as it ends.
class Image {
public:
    explicit Image(const VolumeF& volume) : v_(volume) {}
    double operator()(const Vec3& p_mm) const
    {
        const Dims& d = v_.dims();
        std::array<std::size_t, 3> low{}, high{};
        std::array<double, 3> part{};
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const std::size_t last = d[static_cast<int>(axis)] - 1;
            const double x = std::clamp(p_mm[axis] / v_.grid().voxel_mm[axis], 0.0, static_cast<double>(last));
            low[axis] = static_cast<std::size_t>(x);
            high[axis] = std::min(low[axis] + 1, last);
            part[axis] = x - static_cast<double>(low[axis]);
        }
        const auto row = [&](std::size_t y, std::size_t z) {
            return (1.0 - part[0]) * value(low[0], y, z) + part[0] * value(high[0], y, z);
        };
        const double near = (1.0 - part[1]) * row(low[1], low[2]) + part[1] * row(high[1], low[2]);
        const double far = (1.0 - part[1]) * row(low[1], high[2]) + part[1] * row(high[1], high[2]);
        return (1.0 - part[2]) * near + part[2] * far;
    }

private:
    [[nodiscard]] double value(std::size_t x, std::size_t y, std::size_t z) const
    {
        const float value = v_(x, y, z);
        return std::isfinite(value) ? static_cast<double>(value) : 0.0;
    }
    const VolumeF& v_;
};

/// How far along its normal a point is pushed, in parts of an edge: positive while there is brain below it.
double push(const Image& image, const HeadFacts& head, const Vec3& p, const Vec3& normal, double fraction)
{
    double darkest = head.median, brightest = head.threshold;
    for (int depth = 1; depth <= dark_depth_mm; ++depth) {
        const double value = image(p - static_cast<double>(depth) * normal);
        darkest = std::min(darkest, value);
        if (depth <= bright_depth_mm) brightest = std::max(brightest, value);
    }
    darkest = std::max(darkest, head.dark);
    brightest = std::min(brightest, head.median);
    const double span = brightest - head.dark;
    if (span <= 0.0) return 0.0;
    return 0.1 * (darkest - head.dark - span * fraction) / span;
}

/// How much of the way to the middle of its neighbours a vertex goes, along its normal, by the curvature there.
double stiffness(double offset_mm, double edge_mm)
{
    constexpr double middle = 0.5 * (1.0 / tight_mm + 1.0 / gentle_mm), slope = 6.0 / (1.0 / tight_mm - 1.0 / gentle_mm);
    const double curvature = 2.0 * std::abs(offset_mm) / (edge_mm * edge_mm);
    return 0.5 * (1.0 + std::tanh(slope * (curvature - middle)));
}

double farthest_apart(const std::vector<Vec3>& a, const std::vector<Vec3>& b)
{
    double farthest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) farthest = std::max(farthest, dot(a[i] - b[i], a[i] - b[i]));
    return std::sqrt(farthest);
}

/// One growth of the surface. `stiffer` multiplies the pull on dents, and tapers off in the last quarter of the steps.
Mesh grown(const VolumeF& magnitude, const HeadFacts& head, const SurfaceOptions& options, double stiffer)
{
    const Image image(magnitude);
    const Grid& grid = magnitude.grid();
    // The fraction was found to act more evenly over (0, 1) with this power.
    const double fraction = std::pow(options.fractional_intensity, 0.275);
    Mesh mesh = icosphere(subdivisions, head.centre_mm, 0.5 * head.radius_mm);
    std::vector<Vec3> moved(mesh.vertices_mm.size()), before;
    double edge_mm = mesh.mean_edge_mm();
    for (int step = 0; step < options.iterations; ++step) {
        if (step % refresh == 0) {
            if (step > 0 && farthest_apart(mesh.vertices_mm, before) < still_mm) break;
            before = mesh.vertices_mm;
            edge_mm = mesh.mean_edge_mm();
        }
        const double left = 4.0 * (1.0 - static_cast<double>(step) / options.iterations);
        const double pull = 1.0 + (stiffer - 1.0) * std::min(1.0, left);
        for (std::size_t i = 0; i < moved.size(); ++i) {
            const Vec3& v = mesh.vertices_mm[i];
            const Ring& ring = mesh.rings[i];
            Vec3 middle{}, normal{};
            for (std::uint32_t k = 0; k < ring.size; ++k) {
                const Vec3& a = mesh.vertices_mm[ring.vertex[k]];
                middle = middle + a;
                normal = normal + cross(a - v, mesh.vertices_mm[ring.vertex[k + 1 == ring.size ? 0 : k + 1]] - v);
            }
            const double length = std::sqrt(dot(normal, normal));
            if (length > 0.0) normal = (1.0 / length) * normal;
            const Vec3 offset = (1.0 / ring.size) * middle - v;
            const double along = dot(offset, normal);
            const Vec3 tangential = offset - along * normal;
            double share = stiffness(along, edge_mm);
            if (along > 0.0) share = std::min(1.0, share * pull);
            const double outward = share * along + edge_mm * push(image, head, v, normal, fraction);
            moved[i] = v + 0.5 * tangential + outward * normal;
            for (std::size_t axis = 0; axis < 3; ++axis) {
                const double last = static_cast<double>(grid.dims[static_cast<int>(axis)] - 1) * grid.voxel_mm[axis];
                moved[i][axis] = std::clamp(moved[i][axis], -margin_mm, last + margin_mm);
            }
        }
        mesh.vertices_mm.swap(moved);
    }
    return mesh;
}

}  // namespace

BrainSurface brain_surface(const VolumeF& magnitude, const SurfaceOptions& options)
{
    require(options.fractional_intensity > 0.0 && options.fractional_intensity < 1.0,
            str("brain_surface: fractional intensity ", options.fractional_intensity, " is outside (0, 1)"));
    require(options.iterations >= 1 && options.most_passes >= 1, "brain_surface: iterations and passes must be at least 1");
    BrainSurface result{.mask = Mask(magnitude.grid(), 0)};
    const HeadFacts head = facts_of(magnitude);
    if (head.radius_mm == 0.0) return result;
    double stiffer = 1.0;
    Mesh mesh;
    do {
        mesh = grown(magnitude, head, options, stiffer);
        result.cuts_itself = cuts_itself(mesh);
        stiffer *= 10.0;
        ++result.passes;
    } while (result.cuts_itself && result.passes < options.most_passes);
    result.mask = voxels_inside(mesh, magnitude.grid());
    return result;
}

}  // namespace qsmpi::mask
