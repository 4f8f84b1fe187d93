#include "qsmpi/background/vsharp.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::background {
namespace {

/// A ball of the sequence: its radius, and how far the centres of its voxels reach.
struct Ball {
    double radius_mm, reach_mm;
};

/// Largest distance of a voxel's centre from the ball's centre when any of its 4^3 sub-samples is inside.
double reach_of(double radius_mm, const Vec3& h)
{
    const auto nearest = [](int i) { return i == 0 ? 0.125 : i - 0.375; };
    int n[3];
    for (std::size_t a = 0; a < 3; ++a) n[a] = static_cast<int>(std::ceil(radius_mm / h[a])) + 1;
    double reach = 0.0;
    for (int i = 0; i <= n[0]; ++i)
        for (int j = 0; j <= n[1]; ++j)
            for (int k = 0; k <= n[2]; ++k)
                if (std::hypot(nearest(i) * h[0], nearest(j) * h[1], nearest(k) * h[2]) <= radius_mm + 1e-9)
                    reach = std::max(reach, std::hypot(i * h[0], j * h[1], k * h[2]));
    // A little more: distances come as float, and the same distance must not count as greater.
    return reach * (1.0 + 1e-6);
}

double smallest_radius(const VsharpOptions& o, const Vec3& h)
{
    return o.min_radius_mm > 0.0 ? o.min_radius_mm : std::max(2.0, 1.5 * std::max({h[0], h[1], h[2]}));
}

/// From the largest radius with a ball that fits somewhere down to the smallest.
std::vector<Ball> balls_that_fit(const VsharpOptions& o, const Vec3& h, double largest_distance_mm)
{
    std::vector<Ball> balls;
    const double smallest = smallest_radius(o, h);
    for (int i = 0;; ++i) {
        const double radius = std::max(o.max_radius_mm - i * o.step_mm, smallest);
        const Ball ball{radius, reach_of(radius, h)};
        if (ball.reach_mm < largest_distance_mm) balls.push_back(ball);
        if (radius == smallest) break;
    }
    return balls;
}

void check(const VsharpOptions& o)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.max_radius_mm) && positive(o.step_mm) && o.min_radius_mm >= 0.0,
            str("vsharp: radii from ", o.max_radius_mm, " to ", o.min_radius_mm, " mm in steps of ", o.step_mm,
                " mm; expected positive lengths"));
    require(o.threshold > 0.0 && o.threshold < 1.0, str("vsharp: threshold ", o.threshold, " is outside (0, 1)"));
}

VolumeF masked(const VolumeF& field, const Mask& mask, const numerics::Box& box)
{
    VolumeF part = numerics::crop(field, box);
    const Mask inside = numerics::crop(mask, box);
    parallel::for_blocks(part.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (inside[i] == 0 || !std::isfinite(part[i])) part[i] = 0.0F;
    });
    return part;
}

Grid padded_for(const Grid& box, double radius_mm)
{
    Grid padded = box;
    const auto length = [radius_mm](std::size_t n, double h) {
        // A ball needs an axis that it fits at all, and neighbours across the periodic border out of its reach.
        const auto reach = static_cast<std::size_t>(std::ceil(radius_mm / h)) + 1;
        return numerics::good_length(std::max(n + reach, 2 * reach + 1));
    };
    padded.dims = {length(box.dims.nx, box.voxel_mm[0]), length(box.dims.ny, box.voxel_mm[1]),
                   length(box.dims.nz, box.voxel_mm[2])};
    return padded;
}

/// Field minus its mean over the largest ball that fits, voxel by voxel; 0 where none fits. `largest_kernel` becomes the
/// spectrum of the largest ball.
VolumeF largest_fitting_filter(const numerics::Fft3& fft, const VolumeF& field, const VolumeF& distance_mm,
                               const std::vector<Ball>& balls, numerics::Spectrum& work,
                               std::vector<float>& largest_kernel)
{
    numerics::Spectrum field_spectrum(fft.grid().dims);
    fft.forward(field, field_spectrum);
    VolumeF filtered(field.grid()), result(field.grid(), 0.0F);
    double not_beyond_mm = INFINITY;
    for (const Ball& ball : balls) {
        std::vector<float> kernel = numerics::ball_spectrum(fft, ball.radius_mm, work);
        parallel::for_blocks(work.size(), [&](std::size_t begin, std::size_t end) {
            const auto* from = reinterpret_cast<const float*>(field_spectrum.data());
            auto* to = reinterpret_cast<float*>(work.data());
            for (std::size_t i = begin; i < end; ++i) {
                const float factor = 1.0F - kernel[i];
                to[2 * i] = factor * from[2 * i];
                to[2 * i + 1] = factor * from[2 * i + 1];
            }
        });
        fft.inverse(work, filtered);
        parallel::for_blocks(result.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                const auto d = static_cast<double>(distance_mm[i]);
                if (d > ball.reach_mm && d <= not_beyond_mm) result[i] = filtered[i];
            }
        });
        not_beyond_mm = ball.reach_mm;
        if (largest_kernel.empty()) largest_kernel = std::move(kernel);
    }
    return result;
}

}  // namespace

LocalField vsharp(const VolumeF& total_field_ppm, const Mask& mask, const VsharpOptions& options)
{
    require_same_grid(total_field_ppm, mask, "vsharp: field and mask");
    check(options);
    const numerics::Box box = numerics::bounding_box(mask);
    const VolumeF distance_mm = numerics::distance_inside_mm(numerics::crop(mask, box));
    const auto largest_distance = static_cast<double>(*std::max_element(distance_mm.begin(), distance_mm.end()));
    const std::vector<Ball> balls = balls_that_fit(options, total_field_ppm.grid().voxel_mm, largest_distance);
    if (balls.empty())
        return {.local_field_ppm = VolumeF(total_field_ppm.grid(), 0.0F), .mask = Mask(mask.grid(), 0)};

    VolumeF field = masked(total_field_ppm, mask, box);
    const numerics::Fft3 fft(padded_for(field.grid(), balls.front().radius_mm));
    numerics::Spectrum work(fft.grid().dims);
    std::vector<float> largest_kernel;
    field = largest_fitting_filter(fft, field, distance_mm, balls, work, largest_kernel);

    const auto threshold = static_cast<float>(options.threshold);
    const std::size_t half_x = work.half_x(), ny = fft.grid().dims.ny;
    fft.filter_tiles(field, field, [&](const numerics::Tile& tile) {
        AlignedBuffer<float> factors(tile.nz * numerics::Tile::width);
        for (std::size_t z = 0; z < tile.nz; ++z) {
            const float* kernel = largest_kernel.data() + half_x * (tile.y + ny * z) + tile.x0;
            float* row = factors.data() + z * numerics::Tile::width;
            std::fill_n(row, numerics::Tile::width, 0.0F);
            for (std::size_t j = 0; j < tile.n_x; ++j) {
                const float high_pass = 1.0F - kernel[j];
                row[j] = std::abs(high_pass) >= threshold ? 1.0F / high_pass : 0.0F;
            }
        }
        tile.multiply(factors.data());
    }, work);

    Mask valid(field.grid());
    parallel::for_blocks(field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            valid[i] = static_cast<double>(distance_mm[i]) > balls.back().reach_mm ? 1 : 0;
            if (valid[i] == 0) field[i] = 0.0F;
        }
    });
    return {.local_field_ppm = numerics::uncrop(field, box, total_field_ppm.grid()),
            .mask = numerics::uncrop(valid, box, mask.grid())};
}

extern const Method vsharp_method;
constinit const Method vsharp_method{
    .name = "vsharp",
    .help = "spherical mean values with the largest ball that fits (V-SHARP): fast, robust, loses the rim of the mask",
    .parameters = "radii 12 mm down to max(2 mm, 1.5 voxels) in steps of 1 mm, threshold 0.05",
    .sentence = "Background fields were removed with V-SHARP.",
    .citation = "Wu et al., Magn. Reson. Med. 67(1):137-147, 2012, doi:10.1002/mrm.23000",
    .run = [](const Problem& p) {
        VsharpOptions options;
        options.max_radius_mm = p.max_radius_mm;
        return vsharp(*p.total_field_ppm, *p.mask, options);
    }};

}  // namespace qsmpi::background
