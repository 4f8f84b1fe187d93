#include "qsmpi/inversion/tikhonov.hpp"

#include <algorithm>
#include <cmath>

#include "direct.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "weighted_domain.hpp"

namespace qsmpi::inversion {

double tikhonov_lambda(Penalty penalty, const Grid& grid, double noise_ppm)
{
    // Quadratic in the noise, as the squares that it is weighed against.
    const double for_a_step = std::clamp(1e3 * noise_ppm * noise_ppm, 3e-3, 0.1);
    const double square_mm2 = std::pow(grid.voxel_edge_mm(), 2.0);
    switch (penalty) {
        case Penalty::identity: return for_a_step;
        case Penalty::gradient: return for_a_step * square_mm2;
        case Penalty::laplacian: return for_a_step * square_mm2 * square_mm2;
    }
    return for_a_step;
}

Result tikhonov(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                const TikhonovOptions& options)
{
    require(std::isfinite(options.lambda) && options.lambda > 0.0,
            str("tikhonov: lambda ", options.lambda, "; expected a positive number"));
    const auto inverse = [penalty = options.penalty, lambda = static_cast<float>(options.lambda)](
                             float* d, const float* l, std::size_t n) {
        // Without a penalty at k = 0, and with D = 0 there, 0 would be divided by 0.
        constexpr float tiny = 1e-20F;
        switch (penalty) {
            case Penalty::identity:
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) d[i] /= d[i] * d[i] + lambda;
                break;
            case Penalty::gradient:
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) d[i] /= d[i] * d[i] + lambda * l[i] + tiny;
                break;
            case Penalty::laplacian:
#pragma omp simd
                for (std::size_t i = 0; i < n; ++i) d[i] /= d[i] * d[i] + lambda * l[i] * l[i] + tiny;
                break;
        }
    };
    const bool corrects = options.correct_underestimation && options.penalty == Penalty::identity;
    return detail::invert_directly(
        local_field_ppm, mask, b0_direction_ijk, inverse,
        options.penalty == Penalty::identity ? detail::NeedsLaplacian::no : detail::NeedsLaplacian::yes,
        corrects ? detail::Underestimation::corrected : detail::Underestimation::kept, options.pad_voxels,
        options.pad_fraction, "tikhonov");
}

extern const Method tikhonov_method;
constinit const Method tikhonov_method{
    .name = "tikhonov",
    .help = "quadratic penalty on the map, in closed form: fast, some streaks",
    .parameters = "lambda 1e3 / ppm^2 times the squared noise, 3e-3 to 0.1, corrected for underestimation",
    .sentence = "Susceptibility was computed by quadratic (Tikhonov) regularisation in closed form."
                " It was corrected for underestimation.",
    .citation = "Bilgic et al., J. Magn. Reson. Imaging 40(1):181-191, 2014, doi:10.1002/jmri.24365",
    .run = [](const Problem& p) {
        TikhonovOptions options;
        options.lambda =
            p.lambda > 0.0 ? p.lambda : tikhonov_lambda(options.penalty, p.mask->grid(), detail::unweighted_noise_ppm(p));
        return with_lambda(tikhonov(*p.field_ppm, *p.mask, p.b0_direction_ijk, options), options.lambda);
    }};

}  // namespace qsmpi::inversion
