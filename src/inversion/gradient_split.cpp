#include "gradient_split.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion::detail {
namespace {

struct Inverse {
    explicit Inverse(const Vec3& h)
        : x(static_cast<float>(1.0 / h[0])), y(static_cast<float>(1.0 / h[1])), z(static_cast<float>(1.0 / h[2]))
    {
    }
    float x, y, z;
};

/// The part of a length that the dual keeps: u = factor v.
inline float dual_factor(float length_squared, float t)
{
    return length_squared > t * t ? t / std::sqrt(length_squared) : 1.0F;
}

/// Part of the threshold between two neighbours whose guide differs by d, which may be not a number.
inline float edge_weight(float d, float unknown)
{
    const float s = d * d;
    return s == s ? std::max(1.0F / (1.0F + s), GradientSplit::guide_floor) : unknown;
}

inline float clamp(float v, float t) { return std::min(std::max(v, -t), t); }

}  // namespace

GradientSplit::GradientSplit(const Grid& box, TvNorm norm, double threshold, double relaxation,
                             const VolumeF* guide, double unguided)
    : grid_(box),
      norm_(norm),
      threshold_(static_cast<float>(threshold)),
      relaxation_(static_cast<float>(relaxation)),
      guide_(guide),
      unguided_(static_cast<float>(unguided)),
      vx_(box),
      vy_(box),
      vz_(box)
{
    QSMPI_ASSERT(guide == nullptr || (norm == TvNorm::anisotropic && guide->dims() == box.dims));
    parallel::for_blocks(vx_.size(), [&](std::size_t begin, std::size_t end) {
        for (VolumeF* v : {&vx_, &vy_, &vz_}) std::fill(v->data() + begin, v->data() + end, 0.0F);
    });
}

// With v = 0 both z and u are 0, and the sweep with relaxation 1 leaves v = grad x.
void GradientSplit::start(const VolumeF& x)
{
    for (VolumeF* v : {&vx_, &vy_, &vz_}) v->fill(0.0F);
    static_cast<void>(dispatch<false>(x, 1.0F));
}

template <bool measure>
double GradientSplit::dispatch(const VolumeF& x, float relaxation)
{
    if (norm_ == TvNorm::isotropic) return sweep<true, measure, false>(x, relaxation);
    return guide_ != nullptr ? sweep<false, measure, true>(x, relaxation) : sweep<false, measure, false>(x, relaxation);
}

void GradientSplit::update(const VolumeF& x) { static_cast<void>(dispatch<false>(x, relaxation_)); }

double GradientSplit::update_and_measure(const VolumeF& x) { return dispatch<true>(x, relaxation_); }

template <bool isotropic, bool measure, bool guided>
double GradientSplit::sweep(const VolumeF& x, float relaxation)
{
    const auto [nx, ny, nz] = grid_.dims;
    const Inverse r(grid_.voxel_mm);
    const float t = threshold_;
    // u + (1 - a) z = (1 - a) v + a u
    const float a = relaxation, rest = 1.0F - relaxation;
    std::vector<double> per_slice(measure ? nz : 0, 0.0);
    parallel::for_each(nz, [&, nx = nx, ny = ny, nz = nz](std::size_t z) {
        for (std::size_t y = 0; y < ny; ++y) {
            const float* here = &x(0, y, z);
            // The row itself stands in for the neighbour that is not there: the difference is 0.
            const float* next_y = y + 1 < ny ? here + nx : here;
            const float* next_z = z + 1 < nz ? here + nx * ny : here;
            float* vx = &vx_(0, y, z);
            float* vy = &vy_(0, y, z);
            float* vz = &vz_(0, y, z);
            const float* guide = guided ? &(*guide_)(0, y, z) : nullptr;
            const float* guide_y = guided && y + 1 < ny ? guide + nx : guide;
            const float* guide_z = guided && z + 1 < nz ? guide + nx * ny : guide;
            float gap = 0.0F;
            const auto voxel = [&](std::size_t i, std::size_t next) {
                const float gx = (here[next] - here[i]) * r.x;
                const float gy = (next_y[i] - here[i]) * r.y;
                const float gz = (next_z[i] - here[i]) * r.z;
                float tx = t, ty = t, tz = t;
                if constexpr (guided) {
                    tx *= edge_weight(guide[next] - guide[i], unguided_);
                    ty *= edge_weight(guide_y[i] - guide[i], unguided_);
                    tz *= edge_weight(guide_z[i] - guide[i], unguided_);
                }
                if constexpr (isotropic) {
                    const float u = a * dual_factor(vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i], t) + rest;
                    vx[i] = a * gx + u * vx[i];
                    vy[i] = a * gy + u * vy[i];
                    vz[i] = a * gz + u * vz[i];
                } else {
                    vx[i] = a * (gx + clamp(vx[i], tx)) + rest * vx[i];
                    vy[i] = a * (gy + clamp(vy[i], ty)) + rest * vy[i];
                    vz[i] = a * (gz + clamp(vz[i], tz)) + rest * vz[i];
                }
                if constexpr (measure) {
                    float kept_x, kept_y, kept_z;
                    if constexpr (isotropic) {
                        const float u = dual_factor(vx[i] * vx[i] + vy[i] * vy[i] + vz[i] * vz[i], t);
                        kept_x = u * vx[i];
                        kept_y = u * vy[i];
                        kept_z = u * vz[i];
                    } else {
                        kept_x = clamp(vx[i], tx);
                        kept_y = clamp(vy[i], ty);
                        kept_z = clamp(vz[i], tz);
                    }
                    const float dx = gx - vx[i] + kept_x, dy = gy - vy[i] + kept_y, dz = gz - vz[i] + kept_z;
                    gap += std::sqrt(dx * dx + dy * dy + dz * dz);
                }
            };
#pragma omp simd reduction(+ : gap)
            for (std::size_t i = 0; i < nx - 1; ++i) voxel(i, i + 1);
            voxel(nx - 1, nx - 1);
            if constexpr (measure) per_slice[z] += static_cast<double>(gap);
        }
    });
    double total = 0.0;
    for (const double s : per_slice) total += s;
    return total;
}

template <bool guided>
void GradientSplit::anisotropic_row(std::size_t y, std::size_t z, float* out) const
{
    const std::size_t nx = grid_.dims.nx;
    const Inverse r(grid_.voxel_mm);
    const float t = threshold_;
    const std::size_t at = grid_.dims.index(0, y, z);
    const float *vx = vx_.data() + at, *vy = vy_.data() + at, *vz = vz_.data() + at;
    const float* guide = guided ? guide_->data() + at : nullptr;
    // Neighbours below; at the near faces there is none and its part is left out. Neighbours above, for the guide only.
    const std::size_t back_y = y > 0 ? nx : 0, back_z = z > 0 ? nx * grid_.dims.ny : 0;
    const std::size_t up_y = y + 1 < grid_.dims.ny ? nx : 0, up_z = z + 1 < grid_.dims.nz ? nx * grid_.dims.ny : 0;
    const float has_y = y > 0 ? r.y : 0.0F, has_z = z > 0 ? r.z : 0.0F;

    const auto threshold = [&](std::size_t i, std::ptrdiff_t step) {
        if constexpr (guided) return t * edge_weight(guide[static_cast<std::ptrdiff_t>(i) + step] - guide[i], unguided_);
        return t;
    };
    const auto reflected = [](float v, float limit) { return v - 2.0F * clamp(v, limit); };  // z - u
    const auto below = [](std::size_t step) { return -static_cast<std::ptrdiff_t>(step); };
    const auto above = [](std::size_t step) { return static_cast<std::ptrdiff_t>(step); };
    const auto voxel = [&](std::size_t i, std::size_t up_x) {
        return reflected((vy - back_y)[i], threshold(i, below(back_y))) * has_y -
               reflected(vy[i], threshold(i, above(up_y))) * r.y +
               reflected((vz - back_z)[i], threshold(i, below(back_z))) * has_z -
               reflected(vz[i], threshold(i, above(up_z))) * r.z - reflected(vx[i], threshold(i, above(up_x))) * r.x;
    };
    if (nx == 1) {
        out[0] = voxel(0, 0);
        return;
    }
    out[0] = voxel(0, 1);
#pragma omp simd
    for (std::size_t i = 1; i < nx - 1; ++i) out[i] = voxel(i, 1) + reflected(vx[i - 1], threshold(i, -1)) * r.x;
    out[nx - 1] = voxel(nx - 1, 0) + reflected(vx[nx - 2], threshold(nx - 1, -1)) * r.x;
}

void GradientSplit::row(std::size_t y, std::size_t z, float* out) const
{
    if (norm_ == TvNorm::anisotropic) {
        if (guide_ != nullptr) return anisotropic_row<true>(y, z, out);
        return anisotropic_row<false>(y, z, out);
    }
    const std::size_t nx = grid_.dims.nx;
    const Inverse r(grid_.voxel_mm);
    const float t = threshold_;
    const std::size_t at = grid_.dims.index(0, y, z);
    const float *vx = vx_.data() + at, *vy = vy_.data() + at, *vz = vz_.data() + at;
    const std::size_t back_y = y > 0 ? nx : 0, back_z = z > 0 ? nx * grid_.dims.ny : 0;
    const float has_y = y > 0 ? r.y : 0.0F, has_z = z > 0 ? r.z : 0.0F;
    // z - u = (1 - 2 factor) v with one factor for the three components of a voxel.
    const auto factor = [&](std::size_t i, std::size_t back) {
        const float x = (vx - back)[i], yy = (vy - back)[i], zz = (vz - back)[i];
        return 1.0F - 2.0F * dual_factor(x * x + yy * yy + zz * zz, t);
    };
    const auto voxel = [&](std::size_t i, float mine) {
        return factor(i, back_y) * (vy - back_y)[i] * has_y + factor(i, back_z) * (vz - back_z)[i] * has_z -
               mine * (vx[i] * r.x + vy[i] * r.y + vz[i] * r.z);
    };
    out[0] = voxel(0, factor(0, 0));
#pragma omp simd
    for (std::size_t i = 1; i < nx; ++i) out[i] = voxel(i, factor(i, 0)) + factor(i - 1, 0) * vx[i - 1] * r.x;
}

void GradientSplit::raise_penalty(double factor)
{
    QSMPI_ASSERT(guide_ == nullptr);
    // v = z + u becomes z + u / factor.
    const float t = threshold_, kept = static_cast<float>(1.0 / factor), taken = 1.0F - kept;
    parallel::for_blocks(vx_.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            if (norm_ == TvNorm::isotropic) {
                const float length_squared = vx_[i] * vx_[i] + vy_[i] * vy_[i] + vz_[i] * vz_[i];
                const float scale = 1.0F - taken * dual_factor(length_squared, t);
                vx_[i] *= scale;
                vy_[i] *= scale;
                vz_[i] *= scale;
            } else {
                vx_[i] -= taken * clamp(vx_[i], t);
                vy_[i] -= taken * clamp(vy_[i], t);
                vz_[i] -= taken * clamp(vz_[i], t);
            }
        }
    });
    threshold_ *= kept;
}

}  // namespace qsmpi::inversion::detail
