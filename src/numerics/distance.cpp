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

/// Distance along one row [voxels] to the nearest outside voxel.
void row_distance(const std::uint8_t* inside, std::size_t n, Beyond beyond, float* distance)
{
    float last = beyond == Beyond::outside ? 0.0F : infinity;
    for (std::size_t x = 0; x < n; ++x) {
        last = inside[x] != 0 ? last + 1.0F : 0.0F;
        distance[x] = last;
    }
    last = beyond == Beyond::outside ? 0.0F : infinity;
    for (std::size_t x = n; x-- > 0;) {
        last = inside[x] != 0 ? last + 1.0F : 0.0F;
        distance[x] = std::min(distance[x], last);
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
void envelope_columns(float* data, std::size_t n_lines, std::size_t n, std::size_t stride, double h,
                      Beyond beyond, Envelope& e)
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

}  // namespace

VolumeF distance_inside_mm(const Mask& mask, bool border_is_outside)
{
    const auto& d = mask.dims();
    const auto& h = mask.grid().voxel_mm;
    const Beyond beyond = border_is_outside ? Beyond::outside : Beyond::nothing;
    VolumeF distance(mask.grid());
    std::vector<Envelope> scratch(static_cast<std::size_t>(parallel::threads()),
                                  Envelope(std::max(d.ny, d.nz)));
    const auto mine = [&]() -> Envelope& { return scratch[static_cast<std::size_t>(omp_get_thread_num())]; };

    parallel::for_each(d.nz, [&](std::size_t z) {
        const auto hx = static_cast<float>(h[0]);
        for (std::size_t y = 0; y < d.ny; ++y) {
            float* row = &distance(0, y, z);
            row_distance(&mask(0, y, z), d.nx, beyond, row);
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

}  // namespace qsmpi::numerics
