#include "qsmpi/background/resharp.hpp"

#include <algorithm>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {

LocalField resharp(const VolumeF& total_field_ppm, const Mask& mask, const ResharpOptions& options)
{
    require_same_grid(total_field_ppm, mask, "resharp: field and mask");
    require_positive("resharp: radius [mm]", options.radius_mm);
    require_positive("resharp: lambda", options.lambda);
    require_positive("resharp: tolerance", options.tolerance);
    require(options.max_iterations > 0, str("resharp: ", options.max_iterations, " iterations; expected at least 1"));

    KnownField part = known_field(total_field_ppm, mask);
    const FittingBall ball = fitting_ball(part.known, options.radius_mm);
    if (numerics::count(ball.fits) == 0) return no_local_field(mask.grid());

    // What is not 0 where the ball fits reaches the known voxels only, all in the box: nothing wraps around.
    const numerics::Fft3 fft(tight_grid(part.field.grid(), ball.radius_mm));
    numerics::Spectrum work(fft.grid().dims);
    const std::vector<float> mean = numerics::ball_spectrum(fft, ball.radius_mm, work);
    const auto high_pass = multiply_by(mean, fft.grid().dims, [](float s) { return 1.0F - s; });
    const auto high_pass_twice = multiply_by(mean, fft.grid().dims, [](float s) { return (1.0F - s) * (1.0F - s); });

    VolumeF& field = part.field;
    fft.filter_tiles(field, field, high_pass, work);
    keep_inside(field, ball.fits);
    const Convergence end = solve_in_region(fft, high_pass_twice, options.lambda, ball.fits, field,
                                            options.max_iterations, options.tolerance, work);
    fft.filter_tiles(field, field, high_pass, work);
    keep_inside(field, ball.fits);
    return local_field(part, ball, end, mask.grid());
}

extern const Method resharp_method;
constinit const Method resharp_method{
    .name = "resharp",
    .help = "regularised spherical mean values with one ball (RESHARP): accurate deep inside, loses a rim of its radius",
    .parameters = "radius 6 mm, lambda 1e-4, at most 120 iterations of conjugate gradients, tolerance 0.003",
    .sentence = "Background fields were removed with RESHARP.",
    .citation = "Sun and Wilman, Magn. Reson. Med. 71(3):1151-1157, 2014, doi:10.1002/mrm.24765",
    .run = [](const Problem& p) {
        ResharpOptions options;
        if (p.max_radius_mm > 0.0) options.radius_mm = p.max_radius_mm;
        return resharp(*p.total_field_ppm, *p.mask, options);
    },
    .takes_radius = true};

}  // namespace qsmpi::background
