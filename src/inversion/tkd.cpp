#include "qsmpi/inversion/tkd.hpp"

#include <algorithm>
#include <cmath>

#include "direct.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::inversion {

Result tkd(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
           const TkdOptions& options)
{
    require(options.threshold > 0.0 && options.threshold < 2.0 / 3.0,
            str("tkd: threshold ", options.threshold, " is outside (0, 2/3)"));
    // Near the magic-angle cone D vanishes, so |D| is clamped and its sign kept.
    const auto inverse = [threshold = static_cast<float>(options.threshold)](float* d, const float*, std::size_t n) {
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) d[i] = 1.0F / std::copysign(std::max(std::abs(d[i]), threshold), d[i]);
    };
    return detail::invert_directly(
        local_field_ppm, mask, b0_direction_ijk, inverse, detail::NeedsLaplacian::no,
        options.correct_underestimation ? detail::Underestimation::corrected : detail::Underestimation::kept,
        options.pad_voxels, options.pad_fraction, "tkd");
}

extern const Method tkd_method;
constinit const Method tkd_method{
    .name = "tkd",
    .help = "thresholded k-space division: fastest, streaks",
    .parameters = "threshold 0.15 (lambda), corrected for underestimation",
    .sentence = "Susceptibility was computed by thresholded k-space division, corrected for underestimation.",
    .citation = "Shmueli et al., Magn. Reson. Med. 62(6):1510-1522, 2009, doi:10.1002/mrm.22135",
    .run = [](const Problem& p) {
        TkdOptions options;
        if (p.lambda > 0.0) options.threshold = p.lambda;
        return with_lambda(tkd(*p.field_ppm, *p.mask, p.b0_direction_ijk, options), options.threshold);
    }};

}  // namespace qsmpi::inversion
