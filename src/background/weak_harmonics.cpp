#include "qsmpi/background/weak_harmonics.hpp"

#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/harmonic_polynomials.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/normal_equations.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::background {
namespace {

numerics::NormalEquations normal_equations(const LocalField& local, const numerics::Box& box,
                                           const numerics::HarmonicPolynomials& harmonics)
{
    std::vector<numerics::NormalEquations> slices(box.dims.nz, numerics::NormalEquations(harmonics.size()));
    parallel::for_each(box.dims.nz, [&](std::size_t slice) {
        const std::size_t z = box.first.nz + slice;
        numerics::HarmonicPolynomials::Values h;
        for (std::size_t y = box.first.ny; y < box.first.ny + box.dims.ny; ++y)
            for (std::size_t x = box.first.nx; x < box.first.nx + box.dims.nx; ++x) {
                const auto field = static_cast<double>(local.local_field_ppm(x, y, z));
                if (local.mask(x, y, z) == 0 || !std::isfinite(field)) continue;
                const double trust = local.weight.empty() ? 1.0 : static_cast<double>(local.weight(x, y, z));
                harmonics.at(x, y, z, h);
                slices[slice].add(h.data(), trust * trust, field);
            }
    });
    numerics::NormalEquations total(harmonics.size());
    for (const numerics::NormalEquations& slice : slices) total += slice;
    return total;
}

}  // namespace

void remove_weak_harmonics(LocalField& local, const WeakHarmonicsOptions& options)
{
    require_same_grid(local.local_field_ppm, local.mask, "remove_weak_harmonics: field and mask");
    if (!local.weight.empty()) require_same_grid(local.weight, local.mask, "remove_weak_harmonics: weight and mask");
    const numerics::Box box = numerics::bounding_box(local.mask);
    const numerics::HarmonicPolynomials harmonics(local.mask.grid(), box, options.order);
    if (numerics::count(local.mask) == 0) return;

    harmonics.subtract_from(local.local_field_ppm, local.mask, normal_equations(local, box, harmonics).solved());
}

}  // namespace qsmpi::background
