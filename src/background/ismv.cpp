#include "qsmpi/background/ismv.hpp"

#include <algorithm>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {

LocalField ismv(const VolumeF& total_field_ppm, const Mask& mask, const IsmvOptions& options)
{
    require_same_grid(total_field_ppm, mask, "ismv: field and mask");
    const Vec3& h = mask.grid().voxel_mm;
    const double radius_mm = options.radius_mm != 0.0 ? options.radius_mm : 2.0 * std::max({h[0], h[1], h[2]});
    require_positive("ismv: radius [mm]", radius_mm);
    require_positive("ismv: tolerance", options.tolerance);
    require(options.max_iterations > 0, str("ismv: ", options.max_iterations, " iterations; expected at least 1"));

    KnownField part = known_field(total_field_ppm, mask);
    const FittingBall ball = fitting_ball(part.known, radius_mm);
    if (numerics::count(ball.fits) == 0) return no_local_field(mask.grid());

    const numerics::Fft3 fft(tight_grid(part.field.grid(), ball.radius_mm));
    numerics::Spectrum work(fft.grid().dims);
    const std::vector<float> mean = numerics::ball_spectrum(fft, ball.radius_mm, work);
    const auto high_pass = multiply_by(mean, fft.grid().dims, [](float s) { return 1.0F - s; });

    VolumeF& field = part.field;
    fft.filter_tiles(field, field, high_pass, work);
    keep_inside(field, ball.fits);
    const Convergence end = solve_in_region(fft, high_pass, 0.0, ball.fits, field, options.max_iterations,
                                            options.tolerance, work);
    return local_field(part, ball, end, mask.grid());
}

extern const Method ismv_method;
constinit const Method ismv_method{
    .name = "ismv",
    .help = "iterated spherical mean values (iSMV): the background is harmonic inside a thin rim, which is lost",
    .parameters = "radius 2 voxels, at most 300 iterations of conjugate gradients, tolerance 0.001",
    .sentence = "Background fields were removed by iterative spherical mean value filtering.",
    .citation = "Wen et al., Magn. Reson. Med. 72(4):1065-1071, 2014, doi:10.1002/mrm.24998",
    .run = [](const Problem& p) {
        return ismv(*p.total_field_ppm, *p.mask, {.radius_mm = p.max_radius_mm});
    },
    .leaves_harmonics = true,
    .takes_radius = true};

}  // namespace qsmpi::background
