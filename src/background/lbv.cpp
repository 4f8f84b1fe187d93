#include "qsmpi/background/lbv.hpp"

#include <cmath>

#include "laplace_solver.hpp"
#include "qsmpi/background/registry.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {
namespace {

/// Voxels of the mask with all six neighbours in it; the world beyond the grid is outside.
Mask without_rim(const Mask& mask)
{
    const Dims& d = mask.dims();
    Mask inner(mask.grid(), 0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        if (z == 0 || z + 1 == d.nz) return;
        for (std::size_t y = 1; y + 1 < d.ny; ++y)
            for (std::size_t x = 1; x + 1 < d.nx; ++x) {
                const std::size_t i = d.index(x, y, z);
                inner[i] = mask[i] != 0 && mask[i - 1] != 0 && mask[i + 1] != 0 && mask[i - d.nx] != 0 &&
                                   mask[i + d.nx] != 0 && mask[i - d.nx * d.ny] != 0 && mask[i + d.nx * d.ny] != 0
                               ? 1
                               : 0;
            }
    });
    return inner;
}

}  // namespace

LocalField lbv(const VolumeF& total_field_ppm, const Mask& mask, const LbvOptions& options)
{
    require_same_grid(total_field_ppm, mask, "lbv: field and mask");
    require_positive("lbv: tolerance", options.tolerance);
    require(options.max_iterations > 0, str("lbv: ", options.max_iterations, " iterations; expected at least 1"));
    require(!options.peel_mm || (std::isfinite(*options.peel_mm) && *options.peel_mm >= 0.0),
            str("lbv: peel ", options.peel_mm.value_or(0.0), " mm; expected a length from 0"));

    KnownField part = known_field(total_field_ppm, mask);
    const Mask peeled = options.peel_mm ? numerics::erode(part.known, *options.peel_mm) : without_rim(part.known);
    const Mask inner = without_rim(peeled);
    if (numerics::count(inner) == 0) return no_local_field(mask.grid());

    LaplaceSolver solver(inner);
    part.field = solver.apply(part.field);
    const Convergence end = solver.solve(part.field, options.max_iterations, options.tolerance);
    return {.local_field_ppm = numerics::uncrop(part.field, part.box, mask.grid()),
            .mask = numerics::uncrop(inner, part.box, mask.grid()),
            .iterations = end.iterations,
            .relative_residual = end.relative_residual,
            .converged = end.converged};
}

extern const Method lbv_method;
constinit const Method lbv_method{
    .name = "lbv",
    .help = "Laplacian boundary value (LBV): the background is harmonic inside the rim; keeps most of the mask",
    .parameters = "one layer of voxels peeled off, multigrid conjugate gradients, tolerance 1e-5",
    .sentence = "Background fields were removed by the Laplacian boundary value method.",
    .citation = "Zhou et al., NMR Biomed. 27(3):312-319, 2014, doi:10.1002/nbm.3064",
    .run = [](const Problem& p) { return lbv(*p.total_field_ppm, *p.mask); },
    .leaves_harmonics = true};

}  // namespace qsmpi::background
