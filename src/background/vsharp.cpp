#include "qsmpi/background/vsharp.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {
namespace {

/// A ball of the sequence: its radius, and how far the centres of its voxels reach.
struct Ball {
    double radius_mm, reach_mm;
};

double smallest_radius(const VsharpOptions& o, const Vec3& h)
{
    return std::max(o.min_radius_mm > 0.0 ? o.min_radius_mm : 2.0, least_radius_mm(h));
}

/// From the largest radius with a ball that fits somewhere down to the smallest.
std::vector<Ball> balls_that_fit(const VsharpOptions& o, const Vec3& h, double largest_distance_mm)
{
    std::vector<Ball> balls;
    const double smallest = smallest_radius(o, h);
    for (int i = 0;; ++i) {
        const double radius = std::max(o.max_radius_mm - i * o.step_mm, smallest);
        const Ball ball{radius, ball_reach_mm(radius, h)};
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
    auto [box, field, known] = known_field(total_field_ppm, mask);
    const VolumeF distance_mm = numerics::distance_inside_mm(known);
    const auto largest_distance = static_cast<double>(*std::max_element(distance_mm.begin(), distance_mm.end()));
    const std::vector<Ball> balls = balls_that_fit(options, total_field_ppm.grid().voxel_mm, largest_distance);
    if (balls.empty()) return no_local_field(mask.grid());

    const numerics::Fft3 fft(padded_for(field.grid(), balls.front().radius_mm));
    numerics::Spectrum work(fft.grid().dims);
    std::vector<float> largest_kernel;
    field = largest_fitting_filter(fft, field, distance_mm, balls, work, largest_kernel);

    const auto threshold = static_cast<float>(options.threshold);
    fft.filter_tiles(field, field, multiply_by(largest_kernel, fft.grid().dims, [threshold](float mean) {
        const float high_pass = 1.0F - mean;
        return std::abs(high_pass) >= threshold ? 1.0F / high_pass : 0.0F;
    }), work);

    const Mask valid = deeper_than(distance_mm, balls.back().reach_mm);
    keep_inside(field, valid);
    return {.local_field_ppm = numerics::uncrop(field, box, total_field_ppm.grid()),
            .mask = numerics::uncrop(valid, box, mask.grid()),
            .radius_mm = balls.front().radius_mm};
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
        if (p.max_radius_mm > 0.0) options.max_radius_mm = p.max_radius_mm;
        return vsharp(*p.total_field_ppm, *p.mask, options);
    },
    .leaves_harmonics = true,
    .takes_radius = true};

}  // namespace qsmpi::background
