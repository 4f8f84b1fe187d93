#include "qsmpi/inversion/tgv.hpp"

#include <algorithm>
#include <cmath>

#include "domain.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "tgv_solver.hpp"

namespace qsmpi::inversion {
namespace {

constexpr int check_every = 10;  // iterations
// Phase of 1 ppm at 3 T and 27 ms, where the weights of the paper come from.
constexpr double paper_radians_per_ppm = 21.67;

void check(const TgvOptions& o)
{
    const auto positive = [](double v) { return std::isfinite(v) && v > 0.0; };
    require(positive(o.alpha1), str("tgv: alpha1 ", o.alpha1, " ppm mm; expected a positive number, such as 2e-5"));
    require(positive(o.alpha0), str("tgv: alpha0 ", o.alpha0, " ppm mm^2; expected a positive number, such as 7e-5"));
    require(std::isfinite(o.rim_voxels) && o.rim_voxels >= 0.0,
            str("tgv: rim of ", o.rim_voxels, " voxels; expected a number from 0"));
    require(o.relaxation >= 1.0 && o.relaxation < 2.0, str("tgv: relaxation ", o.relaxation, " is outside [1, 2)"));
    require(o.max_iterations > 0, str("tgv: ", o.max_iterations, " iterations; expected at least 1"));
    require(o.tolerance >= 0.0, str("tgv: tolerance ", o.tolerance, "; expected a number from 0"));
}

/// The part of a volume in the box, in a grid that has one more voxel of zeros on every side.
template <typename T>
Volume<T> with_margin(const Volume<T>& whole, const numerics::Box& box)
{
    const Dims& n = box.dims;
    Volume<T> out({{n.nx + 2, n.ny + 2, n.nz + 2}, whole.grid().voxel_mm}, T{});
    for (std::size_t z = 0; z < n.nz; ++z)
        for (std::size_t y = 0; y < n.ny; ++y)
            std::copy_n(&whole(box.first.nx, box.first.ny + y, box.first.nz + z), n.nx, &out(1, y + 1, z + 1));
    return out;
}

/// w^2 <- 0 in the outermost layers: there psi takes whatever the stencils make of fields that are steep for them.
void free_rim(const Mask& inside, double rim_voxels, VolumeF& squared_weight)
{
    if (rim_voxels <= 0.0) return;
    const Vec3& h = inside.grid().voxel_mm;
    const Mask deep = numerics::erode(inside, (rim_voxels + 0.1) * *std::max_element(h.begin(), h.end()));
    for (std::size_t i = 0; i < deep.size(); ++i)
        if (deep[i] == 0) squared_weight[i] = 0.0F;
}

}  // namespace

TgvOptions tgv_defaults(const Grid& grid, double radians_per_ppm)
{
    const double h = grid.voxel_edge_mm();
    const double s = radians_per_ppm > 0.0 ? radians_per_ppm : paper_radians_per_ppm;
    return {.alpha1 = 0.0005 * h / s, .alpha0 = 0.0015 * h * h / s};
}

Result tgv(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
           const TgvOptions& options, const VolumeF* weight, const Observer& observer)
{
    check(options);
    require_same_grid(total_field_ppm, mask, "tgv: field and mask");
    if (weight != nullptr) require_same_grid(total_field_ppm, *weight, "tgv: field and weight");
    (void)numerics::DipoleKernel({{1, 1, 1}}, b0_direction_ijk);  // checks the direction
    Result result{.chi_ppm = VolumeF(total_field_ppm.grid(), 0.0F)};
    if (detail::is_empty(mask)) return result;

    const numerics::Box box = numerics::bounding_box(mask);
    Mask inside = with_margin(mask, box);
    VolumeF field = with_margin(total_field_ppm, box);
    VolumeF squared_weight = weight == nullptr ? VolumeF(inside.grid(), 1.0F) : with_margin(*weight, box);
    for (std::size_t i = 0; i < inside.size(); ++i) {
        if (inside[i] == 0) continue;
        const float w = squared_weight[i];
        require(w >= 0.0F && std::isfinite(w), str("tgv: a weight in the mask is ", w,
                                                   "; expected finite numbers from 0, 0 where the field is unknown"));
        squared_weight[i] = w * w;
        if (!std::isfinite(field[i])) inside[i] = 0;
    }
    free_rim(inside, options.rim_voxels, squared_weight);
    detail::TgvSolver solver(inside, b0_direction_ijk, squared_weight,
                             {.alpha1 = options.alpha1, .alpha0 = options.alpha0, .relaxation = options.relaxation});
    solver.set_field(field);
    field = {};
    squared_weight = {};

    result.converged = false;
    while (!result.converged && result.iterations < options.max_iterations) {
        ++result.iterations;
        const bool look = result.iterations % check_every == 0 || result.iterations == options.max_iterations;
        const double change = solver.step(look);
        if (!look) continue;
        result.relative_residual = change;
        result.converged = change < options.tolerance;
        if (observer) observer(result.iterations, change);
    }
    const VolumeF& chi = solver.chi();
    const Dims& n = box.dims;
    for (std::size_t z = 0; z < n.nz; ++z)
        for (std::size_t y = 0; y < n.ny; ++y)
            for (std::size_t x = 0; x < n.nx; ++x)
                if (inside(x + 1, y + 1, z + 1) != 0)
                    result.chi_ppm(box.first.nx + x, box.first.ny + y, box.first.nz + z) = chi(x + 1, y + 1, z + 1);
    return result;
}

extern const Method tgv_method;
constinit const Method tgv_method{
    .name = "tgv",
    .help = "single step from the total field by total generalised variation: no background removal needed",
    .parameters =
        "alpha1 0.0005 h / s ppm mm (lambda), alpha0 three times that, h mm the voxel size, s radians per ppm; at most 1000 iterations, tolerance 1e-4",
    .sentence = "Susceptibility was computed from the total field in a single step by total generalised variation.",
    .citation = "Langkammer et al., NeuroImage 111:622-630, 2015, doi:10.1016/j.neuroimage.2015.02.041",
    .input = Input::total_field,
    .run = [](const Problem& p) {
        TgvOptions options = tgv_defaults(p.mask->grid(), p.radians_per_ppm);
        if (p.lambda > 0.0) {
            options.alpha0 *= p.lambda / options.alpha1;
            options.alpha1 = p.lambda;
        }
        return with_lambda(tgv(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.alpha1);
    }};

}  // namespace qsmpi::inversion
