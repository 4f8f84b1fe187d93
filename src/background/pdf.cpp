#include "qsmpi/background/pdf.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "source_solver.hpp"

namespace qsmpi::background {
namespace {

struct Mean {
    double sum = 0.0;
    std::size_t n = 0;
    Mean& operator+=(const Mean& other)
    {
        sum += other.sum;
        n += other.n;
        return *this;
    }
};

/// 1 / sigma^2 over its mean where the field is known; all 0 if it is known nowhere.
VolumeF squared_weights(const VolumeF& field, const Mask& mask, const VolumeF* sigma)
{
    VolumeF weight(field.grid());
    const Mean mean = parallel::sum_blocks<Mean>(field.size(), [&](std::size_t begin, std::size_t end) {
        Mean part;
        for (std::size_t i = begin; i < end; ++i) {
            weight[i] = 0.0F;
            if (mask[i] == 0 || !std::isfinite(field[i])) continue;
            const double s = sigma == nullptr ? 1.0 : static_cast<double>((*sigma)[i]);
            if (!std::isfinite(s) || s <= 0.0) continue;
            weight[i] = static_cast<float>(1.0 / (s * s));
            part.sum += static_cast<double>(weight[i]);
            ++part.n;
        }
        return part;
    });
    if (mean.n == 0) return weight;
    const auto scale = static_cast<float>(static_cast<double>(mean.n) / mean.sum);
    parallel::for_blocks(weight.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) weight[i] *= scale;
    });
    return weight;
}

}  // namespace

LocalField pdf(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
               const PdfOptions& options, const VolumeF* sigma_ppm)
{
    require_same_grid(total_field_ppm, mask, "pdf: field and mask");
    if (sigma_ppm != nullptr) require_same_grid(total_field_ppm, *sigma_ppm, "pdf: field and sigma");
    require(options.max_iterations > 0, str("pdf: ", options.max_iterations, " iterations; expected at least 1"));
    require(options.tolerance >= 0.0, str("pdf: tolerance ", options.tolerance, "; expected a number from 0"));

    // One voxel more, so that there is a place for sources on either side.
    const numerics::Box box = numerics::bounding_box(mask, {1, 1, 1});
    const Mask inner = numerics::crop(mask, box);
    VolumeF field = numerics::crop(total_field_ppm, box);
    const VolumeF sigma = sigma_ppm == nullptr ? VolumeF() : numerics::crop(*sigma_ppm, box);
    const VolumeF weight = squared_weights(field, inner, sigma_ppm == nullptr ? nullptr : &sigma);
    Volume<std::uint8_t> regions(field.grid());
    parallel::for_blocks(field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            regions[i] = inner[i] != 0 ? inside : no_signal;
            if (weight[i] == 0.0F) field[i] = 0.0F;
        }
    });

    // Sources of unbounded size outside: the prior of the solver, || y ||^2, is then nothing against the data.
    constexpr float unbounded = 1e4F;
    SourceSolver solver(numerics::padded_grid(field.grid(), 0.0, options.pad_fraction), b0_direction_ijk, regions,
                        weight, LowOrder::constant);
    solver.set_sizes({unbounded, unbounded, 0.0F});
    solver.solve(field, options.max_iterations, options.tolerance);
    const VolumeF outside = solver.background_ppm();
    parallel::for_blocks(field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) field[i] = weight[i] > 0.0F ? field[i] - outside[i] : 0.0F;
    });
    return {.local_field_ppm = numerics::uncrop(field, box, mask.grid()),
            .mask = mask.clone(),
            .iterations = solver.iterations(),
            .relative_residual = solver.relative_residual(),
            .converged = solver.relative_residual() <= options.tolerance};
}

extern const Method pdf_method;
constinit const Method pdf_method{
    .name = "pdf",
    .help = "projection onto dipole fields (PDF): keeps the whole mask, weighted by the noise where it is known",
    .parameters = "at most 30 iterations of conjugate gradients, tolerance 0.002, padding 30 %",
    .sentence = "Background fields were removed by projection onto dipole fields.",
    .citation = "Liu T. et al., NMR Biomed. 24(9):1129-1136, 2011, doi:10.1002/nbm.1670",
    .run = [](const Problem& p) {
        LocalField local = pdf(*p.total_field_ppm, *p.mask, p.b0_direction_ijk, {}, p.sigma_ppm);
        // The number of iterations is the regularisation: that it was reached is no failure.
        local.converged = true;
        return local;
    }};

}  // namespace qsmpi::background
