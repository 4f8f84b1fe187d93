#include "qsmpi/inversion/tsvd.hpp"

#include <algorithm>
#include <cmath>

#include "direct.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "weighted_domain.hpp"

namespace qsmpi::inversion {

double tsvd_threshold(double noise_ppm)
{
    return noise_ppm > 0.0 ? std::min(0.2, 0.05 + 20.0 * noise_ppm) : 0.1;
}

Result tsvd(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
            const TsvdOptions& options)
{
    require(options.threshold > 0.0 && options.threshold < 2.0 / 3.0,
            str("tsvd: threshold ", options.threshold, " is outside (0, 2/3)"));
    const auto inverse = [threshold = static_cast<float>(options.threshold)](float* d, const float*, std::size_t n) {
#pragma omp simd
        for (std::size_t i = 0; i < n; ++i) d[i] = std::abs(d[i]) > threshold ? 1.0F / d[i] : 0.0F;
    };
    return detail::invert_directly(
        local_field_ppm, mask, b0_direction_ijk, inverse, detail::NeedsLaplacian::no,
        options.correct_underestimation ? detail::Underestimation::corrected : detail::Underestimation::kept,
        options.pad_voxels, options.pad_fraction, "tsvd");
}

extern const Method tsvd_method;
constinit const Method tsvd_method{
    .name = "tsvd",
    .help = "truncated singular values: only well-conditioned frequencies are used",
    .parameters = "threshold (lambda) 0.05 and 20 / ppm times the noise, at most 0.2, or 0.1; corrected for "
                  "underestimation",
    .sentence = "Susceptibility was computed by truncated singular value decomposition in k-space, corrected for "
                "underestimation.",
    .citation = "Wharton et al., Magn. Reson. Med. 63(5):1292-1304, 2010, doi:10.1002/mrm.22334",
    .run = [](const Problem& p) {
        TsvdOptions options;
        options.threshold = p.lambda > 0.0 ? p.lambda : tsvd_threshold(detail::unweighted_noise_ppm(p));
        return with_lambda(tsvd(*p.field_ppm, *p.mask, p.b0_direction_ijk, options), options.threshold);
    }};

}  // namespace qsmpi::inversion
