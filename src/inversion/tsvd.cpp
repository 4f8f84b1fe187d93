#include "qsmpi/inversion/tsvd.hpp"

#include <cmath>

#include "direct.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::inversion {

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
    .parameters = "threshold 0.15 (lambda), corrected for underestimation",
    .sentence = "Susceptibility was computed by truncated singular value decomposition in k-space, corrected for underestimation.",
    .citation = "Wharton et al., Magn. Reson. Med. 63(5):1292-1304, 2010, doi:10.1002/mrm.22334",
    .run = [](const Problem& p) {
        TsvdOptions options;
        if (p.lambda > 0.0) options.threshold = p.lambda;
        return tsvd(*p.field_ppm, *p.mask, p.b0_direction_ijk, options);
    }};

}  // namespace qsmpi::inversion
