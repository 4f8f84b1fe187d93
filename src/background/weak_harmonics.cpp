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

/// Calls body(i, z-slice) with the index of every voxel that counts, slices in parallel.
template <typename Body>
void for_each_voxel(const Mask& mask, const numerics::Box& box, Body&& body)
{
    parallel::for_each(box.dims.nz, [&](std::size_t k) {
        for (std::size_t j = 0; j < box.dims.ny; ++j)
            for (std::size_t i = 0; i < box.dims.nx; ++i) {
                const std::size_t x = box.first.nx + i, y = box.first.ny + j, z = box.first.nz + k;
                if (mask(x, y, z) != 0) body(x, y, z, k);
            }
    });
}

numerics::NormalEquations normal_equations(const LocalField& local, const numerics::Box& box,
                                           const numerics::HarmonicPolynomials& harmonics)
{
    std::vector<numerics::NormalEquations> slices(box.dims.nz, numerics::NormalEquations(harmonics.size()));
    for_each_voxel(local.mask, box, [&](std::size_t x, std::size_t y, std::size_t z, std::size_t slice) {
        const auto field = static_cast<double>(local.local_field_ppm(x, y, z));
        if (!std::isfinite(field)) return;
        const double trust = local.weight.empty() ? 1.0 : static_cast<double>(local.weight(x, y, z));
        numerics::HarmonicPolynomials::Values h;
        harmonics.at(x, y, z, h);
        slices[slice].add(h.data(), trust * trust, field);
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

    const std::vector<double> coefficients = normal_equations(local, box, harmonics).solved();
    for_each_voxel(local.mask, box, [&](std::size_t x, std::size_t y, std::size_t z, std::size_t) {
        numerics::HarmonicPolynomials::Values h;
        harmonics.at(x, y, z, h);
        double sum = 0.0;
        for (std::size_t i = 0; i < coefficients.size(); ++i) sum += coefficients[i] * h[i];
        local.local_field_ppm(x, y, z) -= static_cast<float>(sum);
    });
}

}  // namespace qsmpi::background
