#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <omp.h>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::numerics {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// What lies beyond both ends of a line.
enum class Beyond { outside, nothing };

/// Distance along one row [voxels] to the nearest outside voxel, at most `cap`.
void row_distance(const std::uint8_t* inside, std::size_t n, float cap, Beyond beyond, float* distance)
{
    float last = beyond == Beyond::outside ? 0.0F : infinity;
    for (std::size_t x = 0; x < n; ++x) {
        last = inside[x] != 0 ? last + 1.0F : 0.0F;
        distance[x] = last;
    }
    last = beyond == Beyond::outside ? 0.0F : infinity;
    for (std::size_t x = n; x-- > 0;) {
        last = inside[x] != 0 ? last + 1.0F : 0.0F;
        distance[x] = std::min({distance[x], last, cap});
    }
}

/// Scratch for the lower envelope of one line of at most n samples (two more for the ends).
struct Envelope {
    explicit Envelope(std::size_t n) : line(n), vertex(n + 2), height(n + 2), start(n + 2) {}
    std::vector<float> line;
    std::vector<double> vertex, height, start;
};

/// line[i] <- min over j of line[j] + (h (i - j))^2 [mm^2], with zeros beyond the ends if these are outside.
///
/// A zero shields what lies behind it, so the line falls into segments between zeros, each with its own envelope.
void envelope(std::size_t n, double h, Beyond beyond, Envelope& e)
{
    const double h2 = h * h;
    std::vector<float>& f = e.line;
    std::size_t begin = 0;
    while (begin < n) {
        if (f[begin] == 0.0F) {
            ++begin;
            continue;
        }
        std::size_t end = begin;
        while (end < n && f[end] != 0.0F) ++end;

        std::size_t n_parabolas = 0;
        const auto add = [&](double position, double value) {
            while (n_parabolas > 0) {
                const double p = e.vertex[n_parabolas - 1], v = e.height[n_parabolas - 1];
                const double meet = 0.5 * (position + p + (value - v) / (h2 * (position - p)));
                if (meet > e.start[n_parabolas - 1]) {
                    e.start[n_parabolas] = meet;
                    break;
                }
                --n_parabolas;
            }
            if (n_parabolas == 0) e.start[0] = -std::numeric_limits<double>::infinity();
            e.vertex[n_parabolas] = position;
            e.height[n_parabolas] = value;
            ++n_parabolas;
        };
        if (begin > 0 || beyond == Beyond::outside) add(static_cast<double>(begin) - 1.0, 0.0);
        for (std::size_t i = begin; i < end; ++i)
            if (f[i] < infinity) add(static_cast<double>(i), static_cast<double>(f[i]));
        if (end < n || beyond == Beyond::outside) add(static_cast<double>(end), 0.0);

        if (n_parabolas > 0) {
            std::size_t k = 0;
            for (std::size_t i = begin; i < end; ++i) {
                const auto x = static_cast<double>(i);
                while (k + 1 < n_parabolas && e.start[k + 1] < x) ++k;
                const double d = x - e.vertex[k];
                f[i] = static_cast<float>(e.height[k] + h2 * d * d);
            }
        }
        begin = end;
    }
}

/// Envelopes of all lines of `n_lines` neighbouring columns of length n, `stride` apart.
void envelope_columns(float* data, std::size_t n_lines, std::size_t n, std::size_t stride, double h, Beyond beyond,
                      Envelope& e)
{
    for (std::size_t j = 0; j < n_lines; ++j) {
        bool any = false;
        for (std::size_t i = 0; i < n; ++i) {
            e.line[i] = data[i * stride + j];
            any |= e.line[i] != 0.0F;
        }
        if (!any) continue;
        envelope(n, h, beyond, e);
        for (std::size_t i = 0; i < n; ++i) data[i * stride + j] = e.line[i];
    }
}

/// to[x] = min(to[x], from[x] + add)
void lower(float* to, const float* from, float add, std::size_t n)
{
#pragma omp simd
    for (std::size_t x = 0; x < n; ++x) to[x] = std::min(to[x], from[x] + add);
}

/// 1 where no voxel with mask == `seed` lies within the ball; a bounded transform, vectorised along x.
Mask farther_than(const Mask& mask, bool seed, double radius_mm, Beyond beyond)
{
    const auto& d = mask.dims();
    const auto& h = mask.grid().voxel_mm;
    const double r2 = radius_mm * radius_mm * (1.0 + 1e-6);  // a voxel at exactly the radius belongs to the ball
    const auto far = static_cast<float>(4.0 * r2);
    const auto reach = [&](std::size_t axis) { return static_cast<std::size_t>(std::sqrt(r2) / h[axis]); };
    const std::size_t reach_y = reach(1), reach_z = reach(2);
    const auto square = [](double v) { return static_cast<float>(v * v); };

    // Squared distance within each slice, then over slices; beyond the radius any large value will do.
    VolumeF in_slice(mask.grid());
    std::vector<std::vector<float>> rows(static_cast<std::size_t>(parallel::threads()), std::vector<float>(d.nx * (d.ny + 1)));
    parallel::for_each(d.nz, [&](std::size_t z) {
        float* along_x = rows[static_cast<std::size_t>(omp_get_thread_num())].data();
        std::vector<std::uint8_t> keep(d.nx);
        const auto cap = static_cast<float>(2.0 * std::sqrt(r2) / h[0] + 1.0);
        for (std::size_t y = 0; y < d.ny; ++y) {
            const std::uint8_t* row = &mask(0, y, z);
            for (std::size_t x = 0; x < d.nx; ++x) keep[x] = (row[x] != 0) != seed;
            float* to = along_x + y * d.nx;
            row_distance(keep.data(), d.nx, cap, beyond, to);
            for (std::size_t x = 0; x < d.nx; ++x) to[x] = std::min(far, square(static_cast<double>(to[x]) * h[0]));
        }
        const std::vector<float> zeros(beyond == Beyond::outside ? d.nx : 0, 0.0F);
        for (std::size_t y = 0; y < d.ny; ++y) {
            float* to = &in_slice(0, y, z);
            std::copy_n(along_x + y * d.nx, d.nx, to);
            for (std::size_t j = 1; j <= reach_y; ++j) {
                const float add = square(static_cast<double>(j) * h[1]);
                if (y >= j) lower(to, along_x + (y - j) * d.nx, add, d.nx);
                if (y + j < d.ny) lower(to, along_x + (y + j) * d.nx, add, d.nx);
                if (beyond == Beyond::outside && (y < j || y + j >= d.ny)) lower(to, zeros.data(), add, d.nx);
            }
        }
    });
    Mask out(mask.grid());
    parallel::for_each(d.nz, [&](std::size_t z) {
        const std::vector<float> zeros(d.nx, 0.0F);
        std::vector<float> best(d.nx);
        for (std::size_t y = 0; y < d.ny; ++y) {
            std::copy_n(&in_slice(0, y, z), d.nx, best.data());
            for (std::size_t j = 1; j <= reach_z; ++j) {
                const float add = square(static_cast<double>(j) * h[2]);
                if (z >= j) lower(best.data(), &in_slice(0, y, z - j), add, d.nx);
                if (z + j < d.nz) lower(best.data(), &in_slice(0, y, z + j), add, d.nx);
                if (beyond == Beyond::outside && (z < j || z + j >= d.nz)) lower(best.data(), zeros.data(), add, d.nx);
            }
            std::uint8_t* to = &out(0, y, z);
            for (std::size_t x = 0; x < d.nx; ++x) to[x] = static_cast<double>(best[x]) > r2;
        }
    });
    return out;
}

Mask as_zeros_and_ones(const Mask& mask)
{
    Mask out(mask.grid());
    for (std::size_t i = 0; i < mask.size(); ++i) out[i] = mask[i] != 0;
    return out;
}

}  // namespace

VolumeF distance_inside_mm(const Mask& mask, bool border_is_outside)
{
    const auto& d = mask.dims();
    const auto& h = mask.grid().voxel_mm;
    const Beyond beyond = border_is_outside ? Beyond::outside : Beyond::nothing;
    VolumeF distance(mask.grid());
    std::vector<Envelope> scratch(static_cast<std::size_t>(parallel::threads()), Envelope(std::max(d.ny, d.nz)));
    const auto mine = [&]() -> Envelope& { return scratch[static_cast<std::size_t>(omp_get_thread_num())]; };

    parallel::for_each(d.nz, [&](std::size_t z) {
        const auto hx = static_cast<float>(h[0]);
        for (std::size_t y = 0; y < d.ny; ++y) {
            float* row = &distance(0, y, z);
            row_distance(&mask(0, y, z), d.nx, infinity, beyond, row);
            for (std::size_t x = 0; x < d.nx; ++x) row[x] = (row[x] * hx) * (row[x] * hx);
        }
        envelope_columns(&distance(0, 0, z), d.nx, d.ny, d.nx, h[1], beyond, mine());
    });
    parallel::for_each(d.ny, [&](std::size_t y) {
        envelope_columns(&distance(0, y, 0), d.nx, d.nz, d.nx * d.ny, h[2], beyond, mine());
        for (std::size_t z = 0; z < d.nz; ++z) {
            float* row = &distance(0, y, z);
            for (std::size_t x = 0; x < d.nx; ++x) row[x] = std::sqrt(row[x]);
        }
    });
    return distance;
}

Mask erode(const Mask& mask, double radius_mm, bool border_is_outside)
{
    if (!(radius_mm > 0.0)) return as_zeros_and_ones(mask);
    return farther_than(mask, false, radius_mm, border_is_outside ? Beyond::outside : Beyond::nothing);
}

Mask dilate(const Mask& mask, double radius_mm)
{
    if (!(radius_mm > 0.0)) return as_zeros_and_ones(mask);
    Mask out = farther_than(mask, true, radius_mm, Beyond::nothing);
    for (auto& v : out) v = v == 0;
    return out;
}

Mask close(const Mask& mask, double radius_mm) { return erode(dilate(mask, radius_mm), radius_mm, false); }

Mask open(const Mask& mask, double radius_mm) { return dilate(erode(mask, radius_mm, false), radius_mm); }

}  // namespace qsmpi::numerics
