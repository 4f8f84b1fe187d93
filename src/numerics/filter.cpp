#include "qsmpi/numerics/filter.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <vector>

#include <omp.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::numerics {
namespace {

/// Columns that are smoothed side by side: one cache line of floats.
constexpr std::size_t width = 16;

/// A box of 2 radius + 1 voxels of weight `inner` with one more voxel of weight `edge` on either side; sum 1.
struct ExtendedBox {
    std::size_t radius = 0;
    double inner = 1.0, edge = 0.0;
};

/// The box of the given variance [voxels^2].
ExtendedBox extended_box(double variance)
{
    // Variance of the plain box of radius r: r (r + 1) / 3. The edge weight alpha (relative to the inner weight)
    // makes up the difference: v (2 r + 1 + 2 alpha) = r (r + 1)(2 r + 1)/3 + 2 alpha (r + 1)^2.
    const double r = std::floor(0.5 * std::sqrt(12.0 * variance + 1.0) - 0.5);
    const double alpha =
        (2.0 * r + 1.0) * (variance - r * (r + 1.0) / 3.0) / (2.0 * ((r + 1.0) * (r + 1.0) - variance));
    const double total = 2.0 * r + 1.0 + 2.0 * alpha;
    return {static_cast<std::size_t>(r), 1.0 / total, alpha / total};
}

/// One pass over n rows of `width` columns; the world beyond the ends is 0. Running sums are double: no drift.
void pass(const float* in, float* out, std::size_t n, const ExtendedBox& box)
{
    std::array<double, width> sum{};
    const std::size_t r = box.radius;
    for (std::size_t i = 0; i < std::min(r, n); ++i)
        for (std::size_t j = 0; j < width; ++j) sum[j] += static_cast<double>(in[i * width + j]);
    constexpr std::array<float, width> zero{};
    for (std::size_t i = 0; i < n; ++i) {
        const float* entering = i + r < n ? in + (i + r) * width : zero.data();
        const float* leaving = i >= r ? in + (i - r) * width : zero.data();
        const float* before = i >= r + 1 ? in + (i - r - 1) * width : zero.data();
        const float* after = i + r + 1 < n ? in + (i + r + 1) * width : zero.data();
        float* to = out + i * width;
#pragma omp simd
        for (std::size_t j = 0; j < width; ++j) {
            sum[j] += static_cast<double>(entering[j]);
            to[j] = static_cast<float>(box.inner * sum[j] + box.edge * (static_cast<double>(before[j]) +
                                                                        static_cast<double>(after[j])));
            sum[j] -= static_cast<double>(leaving[j]);
        }
    }
}

/// The cascade along one axis, and the reciprocal of its weight sum at every position (1 in the interior).
struct AxisFilter {
    ExtendedBox box;
    int passes = 0;
    std::vector<float> correction;

    AxisFilter(std::size_t n, const ExtendedBox& b, int n_passes, bool normalise) : box(b), passes(n_passes)
    {
        if (!normalise) return;
        std::vector<float> ones(n * width, 1.0F), scratch(n * width);
        const float* result = run(ones.data(), scratch.data(), n);
        for (std::size_t i = 0; i < n; ++i) correction.push_back(1.0F / result[i * width]);
    }
    /// Applies all passes to n rows of `width` columns in a or b by turns; returns where the result is.
    float* run(float* a, float* b, std::size_t n) const
    {
        for (int k = 0; k < passes; ++k) {
            pass(a, b, n, box);
            std::swap(a, b);
        }
        if (!correction.empty())
            for (std::size_t i = 0; i < n; ++i)
                for (std::size_t j = 0; j < width; ++j) a[i * width + j] *= correction[i];
        return a;
    }
};

struct Cascade {
    AxisFilter x, y, z;
};

enum class Edges { zero, normalised };

Cascade gaussian_cascade(const Grid& grid, double sigma_mm, Edges edges)
{
    constexpr int passes = 4;
    const auto axis = [&](int a) {
        const double sigma = sigma_mm / grid.voxel_mm[static_cast<std::size_t>(a)];
        return AxisFilter(grid.dims[a], extended_box(sigma * sigma / passes), passes,
                          edges == Edges::normalised);
    };
    return {axis(0), axis(1), axis(2)};
}

/// out = cascade of the rows that load(y, z, row) delivers. `out` may be what `load` reads from.
template <typename Load>
void smooth(const Cascade& cascade, VolumeF& out, Load&& load)
{
    const auto& d = out.dims();
    const std::size_t longest = std::max({d.nx, d.ny, d.nz});
    std::vector<AlignedBuffer<float>> buffers;
    for (int i = 0; i < parallel::threads(); ++i) buffers.emplace_back(2 * longest * width + d.nx);
    const auto scratch = [&] { return buffers[static_cast<std::size_t>(omp_get_thread_num())].data(); };

    parallel::for_each(d.nz, [&](std::size_t z) {
        float* a = scratch();
        float* b = a + longest * width;
        float* row = b + longest * width;
        for (std::size_t y0 = 0; y0 < d.ny; y0 += width) {  // along x: rows side by side, transposed
            const std::size_t n = std::min(width, d.ny - y0);
            if (n < width) std::fill_n(a, d.nx * width, 0.0F);
            for (std::size_t j = 0; j < n; ++j) {
                load(y0 + j, z, row);
                for (std::size_t x = 0; x < d.nx; ++x) a[x * width + j] = row[x];
            }
            const float* result = cascade.x.run(a, b, d.nx);
            for (std::size_t j = 0; j < n; ++j) {
                float* to = &out(0, y0 + j, z);
                for (std::size_t x = 0; x < d.nx; ++x) to[x] = result[x * width + j];
            }
        }
        for (std::size_t x0 = 0; x0 < d.nx; x0 += width) {
            const std::size_t n = std::min(width, d.nx - x0);
            if (n < width) std::fill_n(a, d.ny * width, 0.0F);
            for (std::size_t y = 0; y < d.ny; ++y) std::copy_n(&out(x0, y, z), n, a + y * width);
            const float* result = cascade.y.run(a, b, d.ny);
            for (std::size_t y = 0; y < d.ny; ++y) std::copy_n(result + y * width, n, &out(x0, y, z));
        }
    });
    parallel::for_each(d.ny, [&](std::size_t y) {
        float* a = scratch();
        float* b = a + longest * width;
        for (std::size_t x0 = 0; x0 < d.nx; x0 += width) {
            const std::size_t n = std::min(width, d.nx - x0);
            if (n < width) std::fill_n(a, d.nz * width, 0.0F);
            for (std::size_t z = 0; z < d.nz; ++z) std::copy_n(&out(x0, y, z), n, a + z * width);
            const float* result = cascade.z.run(a, b, d.nz);
            for (std::size_t z = 0; z < d.nz; ++z) std::copy_n(result + z * width, n, &out(x0, y, z));
        }
    });
}

/// Rows of a volume with what is not finite replaced by 0; tells whether there was any.
struct FiniteRows {
    const VolumeF& volume;
    std::atomic<bool>* found = nullptr;

    void operator()(std::size_t y, std::size_t z, float* row) const
    {
        const float* from = &volume(0, y, z);
        int n_bad = 0;
        for (std::size_t x = 0; x < volume.dims().nx; ++x) {
            const bool bad = !std::isfinite(from[x]);
            row[x] = bad ? 0.0F : from[x];
            n_bad += bad;
        }
        if (n_bad != 0 && found != nullptr) found->store(true, std::memory_order_relaxed);
    }
};

/// Mean of the positive weights, 0 if there is none.
double mean_positive(const VolumeF& weight)
{
    struct Sum {
        double total = 0.0;
        std::size_t n = 0, n_negative = 0;
        Sum& operator+=(const Sum& o)
        {
            total += o.total;
            n += o.n;
            n_negative += o.n_negative;
            return *this;
        }
    };
    const auto s = parallel::sum_blocks<Sum>(weight.size(), [&](std::size_t begin, std::size_t end) {
        Sum part;
        for (std::size_t i = begin; i < end; ++i) {
            const float w = weight[i];
            part.n_negative += w < 0.0F;
            if (!(w > 0.0F) || !std::isfinite(w)) continue;
            part.total += static_cast<double>(w);
            ++part.n;
        }
        return part;
    });
    require(s.n_negative == 0,
            str("gaussian_smooth: ", s.n_negative, " weights are negative; expected 0 or more"));
    return s.n == 0 ? 0.0 : s.total / static_cast<double>(s.n);
}

/// Weighted means of blocks of `coarsening`^3 voxels, and their weights.
constexpr std::size_t coarsening = 4;

struct Coarse {
    VolumeF value, weight;
};

/// Weight of a voxel: 1 without a weight volume, 0 where value or weight is not finite.
struct UsableWeight {
    const VolumeF& volume;
    const VolumeF* weight;

    float operator()(std::size_t i) const
    {
        const float w = weight == nullptr ? 1.0F : (*weight)[i];
        return std::isfinite(w) && std::isfinite(volume[i]) ? w : 0.0F;
    }
};

Coarse coarsen(const VolumeF& volume, const UsableWeight& weight_at)
{
    const auto& d = volume.dims();
    const auto& h = volume.grid().voxel_mm;
    const auto blocks = [](std::size_t n) { return (n + coarsening - 1) / coarsening; };
    constexpr auto wider = static_cast<double>(coarsening);
    const Grid grid{{blocks(d.nx), blocks(d.ny), blocks(d.nz)}, {wider * h[0], wider * h[1], wider * h[2]}};
    Coarse coarse{VolumeF(grid), VolumeF(grid)};
    parallel::for_each(grid.dims.nz, [&](std::size_t block_z) {
        std::vector<double> product(grid.dims.nx * grid.dims.ny, 0.0), weight(product.size(), 0.0);
        for (std::size_t z = block_z * coarsening; z < std::min(d.nz, (block_z + 1) * coarsening); ++z)
            for (std::size_t y = 0; y < d.ny; ++y)
                for (std::size_t x = 0; x < d.nx; ++x) {
                    const std::size_t i = d.index(x, y, z),
                                      block = x / coarsening + grid.dims.nx * (y / coarsening);
                    const auto w = static_cast<double>(weight_at(i));
                    if (!(w > 0.0)) continue;
                    product[block] += w * static_cast<double>(volume[i]);
                    weight[block] += w;
                }
        for (std::size_t i = 0; i < product.size(); ++i) {
            const std::size_t at = i + product.size() * block_z;
            coarse.weight[at] = static_cast<float>(weight[i]);
            coarse.value[at] = weight[i] > 0.0 ? static_cast<float>(product[i] / weight[i]) : 0.0F;
        }
    });
    return coarse;
}

/// Trilinear value of a coarse volume at a voxel of the fine grid; constant beyond the outer block centres.
float interpolate(const VolumeF& coarse, const std::array<std::size_t, 3>& voxel)
{
    std::array<std::size_t, 3> low{}, high{};
    std::array<double, 3> part{};
    for (std::size_t a = 0; a < 3; ++a) {
        const auto last = static_cast<double>(coarse.dims()[static_cast<int>(a)] - 1);
        const double position = (static_cast<double>(voxel[a]) + 0.5) / static_cast<double>(coarsening) - 0.5;
        const double inside = std::clamp(position, 0.0, last);
        low[a] = static_cast<std::size_t>(inside);
        high[a] = std::min(low[a] + 1, static_cast<std::size_t>(last));
        part[a] = inside - static_cast<double>(low[a]);
    }
    double sum = 0.0;
    for (unsigned corner = 0; corner < 8; ++corner) {
        const bool ux = (corner & 1U) != 0, uy = (corner & 2U) != 0, uz = (corner & 4U) != 0;
        sum +=
            (ux ? part[0] : 1.0 - part[0]) * (uy ? part[1] : 1.0 - part[1]) * (uz ? part[2] : 1.0 - part[2]) *
            static_cast<double>(coarse(ux ? high[0] : low[0], uy ? high[1] : low[1], uz ? high[2] : low[2]));
    }
    return static_cast<float>(sum);
}

/// Normalised convolution; no weight volume means 1 everywhere. `full` is the weight that counts as full.
VolumeF normalised_convolution(const VolumeF& volume, const VolumeF* weight, double sigma_mm, double full)
{
    const Grid& grid = volume.grid();
    const auto& d = grid.dims;
    if (full <= 0.0) return VolumeF(grid, 0.0F);
    const UsableWeight usable{volume, weight};
    VolumeF numerator(grid), denominator(grid);
    const Cascade cascade = gaussian_cascade(grid, sigma_mm, Edges::normalised);
    smooth(cascade, numerator, [&](std::size_t y, std::size_t z, float* row) {
        const std::size_t first = d.index(0, y, z);
        for (std::size_t x = 0; x < d.nx; ++x) {
            const float w = usable(first + x);
            row[x] = w > 0.0F ? w * volume[first + x] : 0.0F;
        }
    });
    smooth(cascade, denominator, [&](std::size_t y, std::size_t z, float* row) {
        const std::size_t first = d.index(0, y, z);
        for (std::size_t x = 0; x < d.nx; ++x) row[x] = usable(first + x);
    });
    const auto smallest = static_cast<float>(1e-3 * full);
    const auto n_missing =
        parallel::sum_blocks<std::size_t>(grid.size(), [&](std::size_t begin, std::size_t end) {
            std::size_t missing = 0;
            for (std::size_t i = begin; i < end; ++i) {
                missing += denominator[i] < smallest;
                numerator[i] = denominator[i] < smallest ? 0.0F : numerator[i] / denominator[i];
            }
            return missing;
        });
    if (n_missing == 0) return numerator;

    // What is too far from any weight comes from wider smoothing of a coarser grid, which fills its own gaps so.
    const Coarse coarse = coarsen(volume, usable);
    const VolumeF wide =
        normalised_convolution(coarse.value, &coarse.weight, sigma_mm * static_cast<double>(coarsening),
                               mean_positive(coarse.weight));
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x)
                if (denominator(x, y, z) < smallest) numerator(x, y, z) = interpolate(wide, {x, y, z});
    });
    return numerator;
}

}  // namespace

VolumeF gaussian_smooth(const VolumeF& volume, double sigma_mm)
{
    if (!(sigma_mm > 0.0)) return volume.clone();
    VolumeF out(volume.grid());
    std::atomic<bool> found_bad = false;
    smooth(gaussian_cascade(volume.grid(), sigma_mm, Edges::normalised), out, FiniteRows{volume, &found_bad});
    if (!found_bad) return out;
    return normalised_convolution(volume, nullptr, sigma_mm, 1.0);
}

VolumeF gaussian_smooth(const VolumeF& volume, const VolumeF& weight, double sigma_mm)
{
    require_same_grid(volume, weight, "gaussian_smooth: volume and weight");
    if (!(sigma_mm > 0.0)) return volume.clone();
    return normalised_convolution(volume, &weight, sigma_mm, mean_positive(weight));
}

void gaussian_smooth_complex(VolumeF& real, VolumeF& imaginary, double sigma_mm)
{
    require_same_grid(real, imaginary, "gaussian_smooth_complex: real and imaginary part");
    if (!(sigma_mm > 0.0)) return;
    const Cascade cascade = gaussian_cascade(real.grid(), sigma_mm, Edges::zero);
    smooth(cascade, real, FiniteRows{real});
    smooth(cascade, imaginary, FiniteRows{imaginary});
}

VolumeF box_mean(const VolumeF& volume, int radius_voxels)
{
    require(radius_voxels >= 0, str("box_mean: radius ", radius_voxels, "; expected 0 or more voxels"));
    const auto radius = static_cast<std::size_t>(radius_voxels);
    const ExtendedBox box{radius, 1.0 / static_cast<double>(2 * radius + 1), 0.0};
    const auto& d = volume.dims();
    const Cascade cascade{AxisFilter(d.nx, box, 1, true), AxisFilter(d.ny, box, 1, true),
                          AxisFilter(d.nz, box, 1, true)};
    VolumeF out(volume.grid());
    smooth(cascade, out, FiniteRows{volume});
    return out;
}

}  // namespace qsmpi::numerics
