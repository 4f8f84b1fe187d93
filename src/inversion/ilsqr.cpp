#include "qsmpi/inversion/ilsqr.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "conjugate_gradients.hpp"
#include "dipole_filter.hpp"
#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "weighted_gradient.hpp"

namespace qsmpi::inversion {
namespace {

using detail::DipoleFilter;
using numerics::Tile;

void check(const IlsqrOptions& o)
{
    const auto ordered = [](double a, double b) { return a >= 0.0 && a <= b && b <= 1.0; };
    require(ordered(o.flat_quantile, o.steep_quantile),
            str("ilsqr: quantiles ", o.flat_quantile, " and ", o.steep_quantile,
                " of the Laplacian; expected 0 to 1 in order"));
    require(ordered(o.smooth_gradient_quantile, o.edge_gradient_quantile),
            str("ilsqr: quantiles ", o.smooth_gradient_quantile, " and ", o.edge_gradient_quantile,
                " of the gradient; expected 0 to 1 in order"));
    require(o.tolerance >= 0.0, str("ilsqr: tolerance ", o.tolerance, "; expected a number from 0"));
    require(o.max_iterations > 0, str("ilsqr: ", o.max_iterations, " iterations; expected at least 1"));
    require(o.cone_threshold > 0.0 && o.cone_threshold < 2.0 / 3.0,
            str("ilsqr: cone threshold ", o.cone_threshold, " is outside (0, 2/3)"));
    require(std::isfinite(o.smooth_mm) && o.smooth_mm > 0.0,
            str("ilsqr: radius ", o.smooth_mm, " mm; expected a positive length"));
}

/// 1 up to `low`, 0 from `high` on, linear in between.
float falling(float value, float low, float high)
{
    if (value <= low) return 1.0F;
    return value >= high ? 0.0F : (high - value) / (high - low);
}

/// |Laplacian| of the field in the mask [ppm/mm^2]; neighbours outside the mask do not count.
VolumeF laplacian_magnitude(const VolumeF& field, const Mask& mask)
{
    const Dims& n = field.dims();
    const Vec3& h = field.grid().voxel_mm;
    VolumeF out(field.grid());
    parallel::for_each(n.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < n.ny; ++y)
            for (std::size_t x = 0; x < n.nx; ++x) {
                const std::size_t i = n.index(x, y, z);
                float sum = 0.0F;
                const auto add = [&](bool exists, std::size_t j, double spacing) {
                    if (exists && mask[j] != 0)
                        sum += (field[j] - field[i]) * static_cast<float>(1.0 / (spacing * spacing));
                };
                add(x > 0, i - 1, h[0]);
                add(x + 1 < n.nx, i + 1, h[0]);
                add(y > 0, i - n.nx, h[1]);
                add(y + 1 < n.ny, i + n.nx, h[1]);
                add(z > 0, i - n.nx * n.ny, h[2]);
                add(z + 1 < n.nz, i + n.nx * n.ny, h[2]);
                out[i] = mask[i] != 0 ? std::abs(sum) : 0.0F;
            }
    });
    return out;
}

/// W of step 1 on the box.
VolumeF data_weight(const detail::Domain& domain, const VolumeF* weight, const IlsqrOptions& o)
{
    VolumeF w = laplacian_magnitude(domain.field_ppm, domain.mask);
    std::vector<float> values = numerics::inside(w, domain.mask);
    const auto low = static_cast<float>(numerics::quantile(values, o.flat_quantile));
    const auto high = static_cast<float>(numerics::quantile(values, o.steep_quantile));
    const VolumeF trust = weight == nullptr ? VolumeF() : numerics::crop(*weight, domain.box);
    for (std::size_t i = 0; i < w.size(); ++i) {
        const float t = domain.mask[i] == 0 ? 0.0F : trust.empty() ? 1.0F : trust[i];
        require(t >= 0.0F && std::isfinite(t), str("ilsqr: a weight in the mask is ", t,
                                                   "; expected finite numbers from 0, 0 where the field is unknown"));
        w[i] = t * t * falling(w[i], low, high);
    }
    return w;
}

/// A volume times another, entry by entry, into `out`.
void multiply(const VolumeF& a, const VolumeF& b, VolumeF& out)
{
    parallel::for_blocks(a.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = a[i] * b[i];
    });
}

void clear_outside(const Mask& mask, VolumeF& v)
{
    parallel::for_blocks(v.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (mask[i] == 0) v[i] = 0.0F;
    });
}

/// Step 1.
detail::CgReport least_squares(DipoleFilter& dipole, const VolumeF& field, const VolumeF& w, const IlsqrOptions& o,
                               VolumeF& x)
{
    VolumeF scratch(field.grid()), residual(field.grid());
    multiply(w, field, scratch);
    dipole.apply(scratch, residual);
    x.fill(0.0F);
    return detail::conjugate_gradients(
        [&](const VolumeF& p, VolumeF& q) {
            dipole.apply(p, scratch);
            multiply(w, scratch, scratch);
            dipole.apply(scratch, q);
            return numerics::dot(p, q);
        },
        x, residual, o.max_iterations, o.tolerance);
}

/// Quantiles 0.01 and 0.3 of |D(k)|, from every 7th frequency.
std::array<float, 2> kernel_quantiles(const Grid& padded, const numerics::DipoleKernel& kernel)
{
    const Dims& n = padded.dims;
    std::vector<float> row(n.nx / 2 + 1), values;
    std::size_t count = 0;
    for (std::size_t z = 0; z < n.nz; ++z)
        for (std::size_t y = 0; y < n.ny; ++y) {
            kernel.row(y, z, row.data());
            for (const float d : row)
                if (count++ % 7 == 0) values.push_back(std::abs(d));
        }
    return {static_cast<float>(numerics::quantile(values, 0.01)), static_cast<float>(numerics::quantile(values, 0.3))};
}

/// Step 2, up to a factor and a constant, which no quantile of its gradient sees.
VolumeF edge_map(DipoleFilter& dipole, const detail::Domain& domain, const IlsqrOptions& o)
{
    const Grid& padded = domain.padded;
    const double smallest_axis = std::min({static_cast<double>(padded.dims.nx - 1) / 2 * padded.voxel_mm[0],
                                           static_cast<double>(padded.dims.ny - 1) / 2 * padded.voxel_mm[1],
                                           static_cast<double>(padded.dims.nz - 1) / 2 * padded.voxel_mm[2]});
    const bool ball_fits =
        o.smooth_mm + std::max({padded.voxel_mm[0], padded.voxel_mm[1], padded.voxel_mm[2]}) < smallest_axis;
    const std::vector<float> ball = ball_fits ? numerics::ball_spectrum(dipole.fft(), o.smooth_mm, dipole.work())
                                              : std::vector<float>(dipole.work().size(), 0.0F);
    // The paper's weight |D|^0.001, stretched over two of its quantiles, is a logarithm in all but name.
    const auto q = kernel_quantiles(padded, dipole.kernel());
    const float low = std::log(std::max(q[0], 1e-6F)), span = std::max(std::log(std::max(q[1], 1e-6F)) - low, 1e-6F);
    const std::size_t half_x = dipole.work().half_x();
    const auto blend = [&](const Tile& t, float* d, bool with_sign) {
        for (std::size_t z = 0; z < t.nz; ++z)
            for (std::size_t j = 0; j < t.n_x; ++j) {
                float& factor = d[z * Tile::width + j];
                const float w = std::clamp((std::log(std::max(std::abs(factor), 1e-6F)) - low) / span, 0.0F, 1.0F);
                const float mean = ball[t.x0 + j + half_x * (t.y + padded.dims.ny * z)];
                factor = (with_sign ? std::copysign(1.0F, factor) : 1.0F) * (w + (1.0F - w) * mean);
            }
        if (t.x0 == 0 && t.y == 0) d[0] = 0.0F;
    };
    VolumeF map(domain.field_ppm.grid());
    dipole.apply_changed(domain.field_ppm, map, [&](const Tile& t, float* d) { blend(t, d, true); });
    clear_outside(domain.mask, map);
    dipole.apply_changed(map, map, [&](const Tile& t, float* d) { blend(t, d, false); });
    return map;
}

/// W_e^2 of step 3: within the mask only.
void set_edge_weights(const VolumeF& map, const Mask& mask, const IlsqrOptions& o, detail::WeightedGradient& gradient)
{
    const Dims& n = mask.dims();
    const std::size_t stride[3] = {1, n.nx, n.nx * n.ny};
    const auto has_next = [&](int axis, std::size_t i) {
        const std::size_t at = i / stride[axis] % n[axis];
        return mask[i] != 0 && at + 1 < n[axis] && mask[i + stride[axis]] != 0;
    };
    std::array<float, 3> low{}, high{};
    for (int axis = 0; axis < 3; ++axis) {
        std::vector<float> values;
        for (std::size_t i = 0; i < map.size(); ++i)
            if (has_next(axis, i)) values.push_back(std::abs(map[i + stride[axis]] - map[i]));
        if (values.empty()) continue;
        const auto per_mm = static_cast<float>(1.0 / map.grid().voxel_mm[static_cast<std::size_t>(axis)]);
        low[static_cast<std::size_t>(axis)] =
            per_mm * static_cast<float>(numerics::quantile(values, o.smooth_gradient_quantile));
        high[static_cast<std::size_t>(axis)] =
            per_mm * static_cast<float>(numerics::quantile(values, o.edge_gradient_quantile));
    }
    gradient.set_weights(map, [&](int axis, std::size_t i, float g) {
        if (!has_next(axis, i)) return 0.0F;
        const float w = falling(std::abs(g), low[static_cast<std::size_t>(axis)], high[static_cast<std::size_t>(axis)]);
        return w * w;
    });
}

/// Step 3: x <- x - artefact.
detail::CgReport take_artefacts_away(DipoleFilter& dipole, const detail::WeightedGradient& gradient,
                                     const IlsqrOptions& o, VolumeF& x)
{
    const auto threshold = static_cast<float>(o.cone_threshold);
    const auto cone = [&](const VolumeF& in, VolumeF& out) {
        dipole.apply_changed(in, out, [threshold](const Tile& t, float* d) {
#pragma omp simd
            for (std::size_t i = 0; i < t.nz * Tile::width; ++i) d[i] = std::abs(d[i]) < threshold ? 1.0F : 0.0F;
            if (t.x0 == 0 && t.y == 0) d[0] = 0.0F;
        });
    };
    VolumeF scratch(x.grid()), other(x.grid()), artefact(x.grid(), 0.0F), residual(x.grid());
    gradient.apply(x, scratch);
    cone(scratch, residual);
    const auto report = detail::conjugate_gradients(
        [&](const VolumeF& p, VolumeF& q) {
            cone(p, scratch);
            gradient.apply(scratch, other);
            cone(other, q);
            return numerics::dot(p, q);
        },
        artefact, residual, o.max_iterations, o.tolerance);
    cone(artefact, scratch);
    parallel::for_blocks(x.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) x[i] -= scratch[i];
    });
    return report;
}

}  // namespace

Result ilsqr(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
             const IlsqrOptions& options, const VolumeF* weight, const Observer& observer)
{
    check(options);
    if (weight != nullptr) require_same_grid(local_field_ppm, *weight, "ilsqr: field and weight");
    const detail::Domain domain =
        detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "ilsqr");
    if (detail::is_empty(domain.mask)) {
        (void)numerics::DipoleKernel(domain.padded, b0_direction_ijk);  // a wrong direction is wrong for any mask
        return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};
    }
    DipoleFilter dipole(domain.padded, b0_direction_ijk);

    Result result;
    VolumeF x(domain.mask.grid());
    const auto tell = [&](const detail::CgReport& report) {
        result.iterations += report.iterations;
        result.relative_residual = report.relative_residual;
        if (observer) observer(result.iterations, result.relative_residual);
    };
    tell(least_squares(dipole, domain.field_ppm, data_weight(domain, weight, options), options, x));
    clear_outside(domain.mask, x);
    detail::WeightedGradient gradient(x.grid());
    set_edge_weights(edge_map(dipole, domain, options), domain.mask, options, gradient);
    tell(take_artefacts_away(dipole, gradient, options, x));
    // The number of iterations is part of the regularisation: that it was reached is no failure.
    result.chi_ppm = detail::to_whole(x, domain, local_field_ppm.grid());
    return result;
}

extern const Method ilsqr_method;
constinit const Method ilsqr_method{
    .name = "ilsqr",
    .help = "iLSQR: least squares, then streaks are estimated and taken away",
    .parameters = "at most 50 + 50 iterations, tolerance 0.01, artefacts from |D| < 0.1 (lambda)",
    .sentence = "Susceptibility was computed by the iLSQR method.",
    .citation = "Li et al., NeuroImage 108:111-122, 2015, doi:10.1016/j.neuroimage.2014.12.043",
    .run = [](const Problem& p) {
        IlsqrOptions options;
        if (p.lambda > 0.0) options.cone_threshold = p.lambda;
        return with_lambda(ilsqr(*p.field_ppm, *p.mask, p.b0_direction_ijk, options, p.weight, p.observer), options.cone_threshold);
    }};

}  // namespace qsmpi::inversion
