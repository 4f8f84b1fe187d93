#include "tgv_solver.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion::detail {
namespace {

constexpr float half_root = 0.70710678F;  // what the off-diagonal of E, counted twice, adds to either of its parts
constexpr std::size_t slab_thickness = 12;
constexpr std::size_t kept_slices =
    7;  // of extrapolated variables: 2 at each end of a slab for its neighbours, 3 on the way

double sum_of(const std::array<float, 3>& a)
{
    return static_cast<double>(a[0]) + static_cast<double>(a[1]) + static_cast<double>(a[2]);
}

/// Zeros, written in parallel so that pages lie where they will be used.
VolumeF zeros(const Grid& grid)
{
    VolumeF v(grid);
    const std::size_t slice = grid.dims.nx * grid.dims.ny;
    parallel::for_each(grid.dims.nz, [&](std::size_t z) { std::fill_n(v.data() + z * slice, slice, 0.0F); });
    return v;
}

}  // namespace

TgvSolver::TgvSolver(const Mask& mask, const UnitVector& b, const VolumeF& squared_weight, const Settings& s)
    : n_(mask.dims()),
      h_(mask.grid().voxel_mm),
      edge_mm_(mask.grid().voxel_edge_mm()),
      oblique_(std::abs(b[0] * b[1]) + std::abs(b[0] * b[2]) + std::abs(b[1] * b[2]) > 1e-7),
      alpha1_(static_cast<float>(s.alpha1)),
      alpha0_(static_cast<float>(s.alpha0)),
      relaxation_(static_cast<float>(s.relaxation)),
      settings_(s),
      code_(mask.grid(), std::uint16_t{0}),
      ranges_(n_.ny * n_.nz),
      data_(zeros(mask.grid())),
      squared_weight_(zeros(mask.grid())),
      chi_(zeros(mask.grid())),
      psi_(zeros(mask.grid())),
      v_{zeros(mask.grid()), zeros(mask.grid()), zeros(mask.grid())},
      eta_(zeros(mask.grid())),
      p_{zeros(mask.grid()), zeros(mask.grid()), zeros(mask.grid())},
      q_{zeros(mask.grid()), zeros(mask.grid()), zeros(mask.grid()),
         zeros(mask.grid()), zeros(mask.grid()), zeros(mask.grid())},
      changes_(n_.ny * n_.nz),
      norms_(n_.ny * n_.nz)
{
    double box_size = 0.0;
    for (std::size_t a = 0; a < 3; ++a) {
        r_[a] = static_cast<float>(1.0 / h_[a]);
        second_[a] = static_cast<float>(1.0 / (h_[a] * h_[a]));
        box_[a] = static_cast<float>((1.0 / 3.0 - b[a] * b[a]) / (h_[a] * h_[a]));
        box_size += 2.0 * std::abs(static_cast<double>(box_[a]));
    }
    const auto cross = [&](std::size_t i, std::size_t j) {
        return static_cast<float>(-2.0 * b[i] * b[j] / (4.0 * h_[i] * h_[j]));
    };
    cross_ = {cross(0, 1), cross(0, 2), cross(1, 2)};
    box_size += 2.0 * std::abs(static_cast<double>(box_[0] + box_[1] + box_[2]));
    for (const float c : cross_) box_size += 4.0 * std::abs(static_cast<double>(c));

    laplacian_size_ = 4.0 * sum_of(second_);
    box_size_ = box_size;
    set_steps(settings_.p_scale * edge_mm_);

    mark(mask, oblique_);
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (mask[i] != 0) squared_weight_[i] = squared_weight[i];
    make_slabs();
}

// Sums of absolute values over the rows and columns of the operator, each variable in its expected size (Pock &
// Chambolle, ICCV 2011): any sizes give convergence, good ones give it fast.
void TgvSolver::set_steps(double p_scale_mm)
{
    const Settings& s = settings_;
    const double v_scale = s.v_scale / edge_mm_, eta_scale = s.eta_scale * edge_mm_ * edge_mm_;
    const double q_scale = s.q_scale_per_p * edge_mm_ * p_scale_mm;
    const double steep = static_cast<double>(*std::max_element(r_.begin(), r_.end()));
    const double root2 = std::sqrt(2.0);
    steps_.eta = static_cast<float>(eta_scale / (laplacian_size_ * s.psi_scale + box_size_));
    steps_.p = static_cast<float>(p_scale_mm / (2.0 * steep + v_scale));
    steps_.q = static_cast<float>(q_scale / (2.0 * root2 * steep * v_scale));
    steps_.psi = static_cast<float>(s.psi_scale / (laplacian_size_ * eta_scale));
    steps_.chi = static_cast<float>(1.0 / (box_size_ * eta_scale + 2.0 * sum_of(r_) * p_scale_mm));
    steps_.v = static_cast<float>(v_scale / (p_scale_mm + (2.0 + 2.0 * root2) * steep * q_scale));
}

void TgvSolver::mark(const Mask& mask, bool oblique)
{
    const std::size_t stride[3] = {1, n_.nx, n_.nx * n_.ny};
    // Whether the gradient along an axis is between two voxels of S.
    const auto has_gradient = [&](int axis, std::size_t i) { return mask[i] != 0 && mask[i + stride[axis]] != 0; };
    parallel::for_each(n_.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < n_.ny; ++y) {
            Range& range = ranges_[y + n_.ny * z];
            for (std::size_t x = 0; x < n_.nx; ++x) {
                const std::size_t i = n_.index(x, y, z);
                if (mask[i] == 0) continue;
                QSMPI_ASSERT(x > 0 && y > 0 && z > 0 && x + 1 < n_.nx && y + 1 < n_.ny && z + 1 < n_.nz);
                if (range.end == 0) range.begin = x;
                range.end = x + 1;
                unsigned code = 1;
                bool whole = true;
                for (const std::size_t s : stride) whole = whole && mask[i - s] != 0 && mask[i + s] != 0;
                for (int a = 0; oblique && a < 3; ++a)
                    for (int c = a + 1; c < 3; ++c)
                        whole = whole && mask[i - stride[a] - stride[c]] != 0 && mask[i - stride[a] + stride[c]] != 0 &&
                                mask[i + stride[a] - stride[c]] != 0 && mask[i + stride[a] + stride[c]] != 0;
                if (whole) code |= 2U;
                for (int a = 0; a < 3; ++a)
                    if (has_gradient(a, i)) code |= 4U << a;
                // E v between voxels where v is a gradient.
                const auto differs = [&](int component, int axis) {
                    return has_gradient(component, i) && has_gradient(component, i - stride[axis]);
                };
                for (int a = 0; a < 3; ++a)
                    if (differs(a, a)) code |= 32U << a;
                constexpr int pairs[3][2] = {{0, 1}, {0, 2}, {1, 2}};
                for (int k = 0; k < 3; ++k)
                    if (differs(pairs[k][0], pairs[k][1]) && differs(pairs[k][1], pairs[k][0])) code |= 256U << k;
                code_[i] = static_cast<std::uint16_t>(code);
            }
        }
    });
}

void TgvSolver::make_slabs()
{
    // The outermost slices are margin. The division does not depend on the threads, nor does any result on the
    // division.
    const std::size_t n_inner = n_.nz - 2, n_slabs = std::max<std::size_t>(1, n_inner / slab_thickness);
    slab_of_.assign(n_.nz, 0);
    for (std::size_t k = 0; k < n_slabs; ++k) {
        slabs_.push_back({1 + k * n_inner / n_slabs, (k + 1) * n_inner / n_slabs});
        for (std::size_t z = slabs_[k].first; z <= slabs_[k].last; ++z) slab_of_[z] = k;
        slab_bars_.emplace_back(kept_slices * n_bars * n_.nx * n_.ny);
    }
    parallel::for_each(n_slabs, [&](std::size_t k) { std::fill_n(slab_bars_[k].data(), slab_bars_[k].size(), 0.0F); });
    no_bars_ = AlignedBuffer<float>(n_bars * n_.nx * n_.ny);
    std::fill_n(no_bars_.data(), no_bars_.size(), 0.0F);
}

TgvSolver::Bars TgvSolver::bars(std::size_t z)
{
    const std::size_t slice = n_.nx * n_.ny;
    float* base = no_bars_.data();
    if (z > 0 && z + 1 < n_.nz) {
        const Slab& slab = slabs_[slab_of_[z]];
        const std::size_t from_first = z - slab.first, from_last = slab.last - z;
        const std::size_t slot = from_first < 2 ? from_first : from_last < 2 ? 2 + from_last : 4 + z % 3;
        base = slab_bars_[slab_of_[z]].data() + slot * n_bars * slice;
    }
    return {{base, base + slice, base + 2 * slice, base + 3 * slice, base + 4 * slice}};
}

void TgvSolver::set_field(const VolumeF& field_ppm)
{
    struct Sums {
        double n = 0.0, size = 0.0;
        Sums& operator+=(const Sums& o)
        {
            n += o.n;
            size += o.size;
            return *this;
        }
    };
    const std::size_t stride[3] = {1, n_.nx, n_.nx * n_.ny};
    const Sums sums = parallel::sum_blocks<Sums>(data_.size(), [&](std::size_t begin, std::size_t end) {
        Sums part;
        for (std::size_t i = begin; i < end; ++i) {
            if (!is_free(0, i)) continue;
            float sum = 0.0F;
            for (std::size_t a = 0; a < 3; ++a)
                sum += ((field_ppm[i + stride[a]] - field_ppm[i]) - (field_ppm[i] - field_ppm[i - stride[a]])) *
                       second_[a];
            data_[i] = sum;
            part += {1.0, std::abs(static_cast<double>(sum))};
        }
        return part;
    });
    // p is at most alpha1, and chi about as large as the field it makes: so their ratio comes from the data.
    const double chi_size = sums.n > 0.0 ? sums.size / sums.n / laplacian_size_ : 0.0;
    if (chi_size > 0.0)
        set_steps(std::clamp(settings_.p_scale_per_ratio * static_cast<double>(alpha1_) / chi_size, 1e-4 * edge_mm_, edge_mm_));
}

double TgvSolver::step(bool measure)
{
    // Duals of a slice may change once the primal slices around it have been made from their old values. Those at the
    // ends of a slab wait for the neighbours.
    parallel::for_each(slabs_.size(), [&](std::size_t k) {
        const auto [first, last] = slabs_[k];
        for (std::size_t z = first; z <= last; ++z) {
            primal_slice(z, measure);
            if (z > first + 1) dual_slice(z - 1);
        }
    });
    parallel::for_each(slabs_.size(), [&](std::size_t k) {
        const auto [first, last] = slabs_[k];
        dual_slice(first);
        if (last != first) dual_slice(last);
    });
    if (!measure) return 0.0;
    double change = 0.0, norm = 0.0;
    for (const double c : changes_) change += c;
    for (const double n : norms_) norm += n;
    return norm > 0.0 ? std::sqrt(change / norm) : 0.0;
}

void TgvSolver::primal_slice(std::size_t z, bool measure)
{
    const Bars out = bars(z);
    for (std::size_t y = 1; y + 1 < n_.ny; ++y) {
        if (oblique_)
            primal_row<true>(y, z, out, measure);
        else
            primal_row<false>(y, z, out, measure);
    }
}

void TgvSolver::dual_slice(std::size_t z)
{
    const Bars below = bars(z - 1), here = bars(z), above = bars(z + 1);
    for (std::size_t y = 1; y + 1 < n_.ny; ++y) {
        if (oblique_)
            dual_row<true>(y, z, below, here, above);
        else
            dual_row<false>(y, z, below, here, above);
    }
}

// x~ = prox(x - tau K^T y), what the duals see is 2 x~ - x, and x goes on to x + rho (x~ - x).
template <bool oblique>
void TgvSolver::primal_row(std::size_t y, std::size_t z, const Bars& out, bool measure)
{
    const auto [begin, end] = ranges_[y + n_.ny * z];
    const std::size_t in_slice = n_.nx * y, at = n_.index(0, y, z);
    for (float* variable : out.variable) {
        std::fill_n(variable + in_slice, begin, 0.0F);
        std::fill_n(variable + in_slice + end, n_.nx - end, 0.0F);
    }
    const auto sy = static_cast<std::ptrdiff_t>(n_.nx), sz = static_cast<std::ptrdiff_t>(n_.nx * n_.ny);
    const float rho = relaxation_, rx = r_[0], ry = r_[1], rz = r_[2];
    {
        const float lx = second_[0], ly = second_[1], lz = second_[2], bx = box_[0], by = box_[1], bz = box_[2];
        const float cxy = cross_[0], cxz = cross_[1], cyz = cross_[2];
        const float tau_psi = steps_.psi, tau_chi = steps_.chi;
        const float *e = eta_.data() + at, *px = p_[0].data() + at, *py = p_[1].data() + at, *pz = p_[2].data() + at;
        const float *e_up = e + sz, *e_down = e - sz, *e_back = e + sy, *e_front = e - sy;
        const float *py_front = py - sy, *pz_down = pz - sz;
        const float* w2 = squared_weight_.data() + at;
        float *psi = psi_.data() + at, *chi = chi_.data() + at;
        float *psi_bar = out.variable[0] + in_slice, *chi_bar = out.variable[1] + in_slice;
        float change = 0.0F, norm = 0.0F;
#pragma omp simd reduction(+ : change, norm)
        for (std::size_t i = begin; i < end; ++i) {
            const float dxx = e[i + 1] + e[i - 1] - 2.0F * e[i], dyy = e_back[i] + e_front[i] - 2.0F * e[i],
                        dzz = e_up[i] + e_down[i] - 2.0F * e[i];
            const float laplacian = lx * dxx + ly * dyy + lz * dzz;
            float box = bx * dxx + by * dyy + bz * dzz;
            if constexpr (oblique) {
                box += cxy * (e_back[i + 1] - e_back[i - 1] - e_front[i + 1] + e_front[i - 1]) +
                       cxz * (e_up[i + 1] - e_up[i - 1] - e_down[i + 1] + e_down[i - 1]) +
                       cyz * ((e_up + sy)[i] - (e_up - sy)[i] - (e_down + sy)[i] + (e_down - sy)[i]);
            }
            const float minus_div = rx * (px[i - 1] - px[i]) + ry * (py_front[i] - py[i]) + rz * (pz_down[i] - pz[i]);
            const float psi_step = (psi[i] + tau_psi * laplacian) / (1.0F + tau_psi * w2[i]) - psi[i];
            const float chi_step = -tau_chi * (box + minus_div);
            psi_bar[i] = psi[i] + 2.0F * psi_step;
            chi_bar[i] = chi[i] + 2.0F * chi_step;
            psi[i] += rho * psi_step;
            chi[i] += rho * chi_step;
            change += chi_step * chi_step;
            norm += chi[i] * chi[i];
        }
        if (measure) {
            changes_[y + n_.ny * z] = static_cast<double>(change) * static_cast<double>(rho) * static_cast<double>(rho);
            norms_[y + n_.ny * z] = static_cast<double>(norm);
        }
    }
    const float tau = steps_.v, s = half_root;
    const auto update = [&](float* v, float* bar, std::size_t i, float minus_gradient) {
        const float step = tau * minus_gradient;
        bar[i] = v[i] + 2.0F * step;
        v[i] += rho * step;
    };
    const float *px = p_[0].data() + at, *py = p_[1].data() + at, *pz = p_[2].data() + at;
    const float *xx = q_[0].data() + at, *yy = q_[1].data() + at, *zz = q_[2].data() + at, *xy = q_[3].data() + at,
                *xz = q_[4].data() + at, *yz = q_[5].data() + at;
    float *vx = v_[0].data() + at, *vy = v_[1].data() + at, *vz = v_[2].data() + at;
    float *bar_x = out.variable[2] + in_slice, *bar_y = out.variable[3] + in_slice, *bar_z = out.variable[4] + in_slice;
    const float *yy_back = yy + sy, *xy_back = xy + sy, *yz_back = yz + sy, *zz_up = zz + sz, *xz_up = xz + sz,
                *yz_up = yz + sz;
#pragma omp simd
    for (std::size_t i = begin; i < end; ++i) {
        update(vx, bar_x, i,
               px[i] + rx * (xx[i + 1] - xx[i]) + s * (ry * (xy_back[i] - xy[i]) + rz * (xz_up[i] - xz[i])));
        update(vy, bar_y, i,
               py[i] + ry * (yy_back[i] - yy[i]) + s * (rx * (xy[i + 1] - xy[i]) + rz * (yz_up[i] - yz[i])));
        update(vz, bar_z, i,
               pz[i] + rz * (zz_up[i] - zz[i]) + s * (rx * (xz[i + 1] - xz[i]) + ry * (yz_back[i] - yz[i])));
    }
}

// y~ = prox(y + sigma K x_bar), and y goes on to y + rho (y~ - y).
template <bool oblique>
void TgvSolver::dual_row(std::size_t y, std::size_t z, const Bars& below, const Bars& here, const Bars& above)
{
    const auto [begin, end] = ranges_[y + n_.ny * z];
    const std::size_t in_slice = n_.nx * y, at = n_.index(0, y, z);
    const auto sy = static_cast<std::ptrdiff_t>(n_.nx);
    const float rho = relaxation_, rx = r_[0], ry = r_[1], rz = r_[2];
    const std::uint16_t* code = code_.data() + at;
    const auto row = [&](const Bars& b, std::size_t variable) -> const float* {
        return b.variable[variable] + in_slice;
    };
    const auto open = [code](std::size_t i, unsigned bit) { return (code[i] & bit) != 0 ? 1.0F : 0.0F; };
    const float *chi = row(here, 1), *chi_up = row(above, 1), *chi_down = row(below, 1), *chi_back = chi + sy,
                *chi_front = chi - sy;
    {
        const float *psi = row(here, 0), *psi_up = row(above, 0), *psi_down = row(below, 0), *psi_back = psi + sy,
                    *psi_front = psi - sy;
        const float lx = second_[0], ly = second_[1], lz = second_[2], bx = box_[0], by = box_[1], bz = box_[2];
        const float cxy = cross_[0], cxz = cross_[1], cyz = cross_[2];
        const float step = rho * steps_.eta;  // no prox: the constraint is linear
        const float* data = data_.data() + at;
        float* eta = eta_.data() + at;
#pragma omp simd
        for (std::size_t i = begin; i < end; ++i) {
            const float c = 2.0F * chi[i], p = 2.0F * psi[i];
            float value = bx * (chi[i + 1] + chi[i - 1] - c) + by * (chi_back[i] + chi_front[i] - c) +
                          bz * (chi_up[i] + chi_down[i] - c) - lx * (psi[i + 1] + psi[i - 1] - p) -
                          ly * (psi_back[i] + psi_front[i] - p) - lz * (psi_up[i] + psi_down[i] - p);
            if constexpr (oblique) {
                value += cxy * (chi_back[i + 1] - chi_back[i - 1] - chi_front[i + 1] + chi_front[i - 1]) +
                         cxz * (chi_up[i + 1] - chi_up[i - 1] - chi_down[i + 1] + chi_down[i - 1]) +
                         cyz * ((chi_up + sy)[i] - (chi_up - sy)[i] - (chi_down + sy)[i] + (chi_down - sy)[i]);
            }
            eta[i] += open(i, 2U) * step * (value - data[i]);
        }
    }
    const float *vx = row(here, 2), *vy = row(here, 3), *vz = row(here, 4);
    {
        const float sigma = steps_.p, alpha = alpha1_;
        float *px = p_[0].data() + at, *py = p_[1].data() + at, *pz = p_[2].data() + at;
#pragma omp simd
        for (std::size_t i = begin; i < end; ++i) {
            const float x = px[i] + open(i, 4U) * sigma * (rx * (chi[i + 1] - chi[i]) - vx[i]);
            const float yy = py[i] + open(i, 8U) * sigma * (ry * (chi_back[i] - chi[i]) - vy[i]);
            const float zz = pz[i] + open(i, 16U) * sigma * (rz * (chi_up[i] - chi[i]) - vz[i]);
            const float length = std::sqrt(x * x + yy * yy + zz * zz);
            const float kept = alpha / std::max(length, alpha);
            px[i] += rho * (kept * x - px[i]);
            py[i] += rho * (kept * yy - py[i]);
            pz[i] += rho * (kept * zz - pz[i]);
        }
    }
    const float sigma = steps_.q, off = half_root * steps_.q, alpha = alpha0_;
    float *xx = q_[0].data() + at, *yy = q_[1].data() + at, *zz = q_[2].data() + at, *xy = q_[3].data() + at,
          *xz = q_[4].data() + at, *yz = q_[5].data() + at;
    const float *vx_front = vx - sy, *vy_front = vy - sy, *vz_front = vz - sy, *vx_down = row(below, 2),
                *vy_down = row(below, 3), *vz_down = row(below, 4);
#pragma omp simd
    for (std::size_t i = begin; i < end; ++i) {
        const float nxx = xx[i] + open(i, 32U) * sigma * rx * (vx[i] - vx[i - 1]);
        const float nyy = yy[i] + open(i, 64U) * sigma * ry * (vy[i] - vy_front[i]);
        const float nzz = zz[i] + open(i, 128U) * sigma * rz * (vz[i] - vz_down[i]);
        const float nxy = xy[i] + open(i, 256U) * off * (ry * (vx[i] - vx_front[i]) + rx * (vy[i] - vy[i - 1]));
        const float nxz = xz[i] + open(i, 512U) * off * (rz * (vx[i] - vx_down[i]) + rx * (vz[i] - vz[i - 1]));
        const float nyz = yz[i] + open(i, 1024U) * off * (rz * (vy[i] - vy_down[i]) + ry * (vz[i] - vz_front[i]));
        const float length = std::sqrt(nxx * nxx + nyy * nyy + nzz * nzz + nxy * nxy + nxz * nxz + nyz * nyz);
        const float kept = alpha / std::max(length, alpha);
        xx[i] += rho * (kept * nxx - xx[i]);
        yy[i] += rho * (kept * nyy - yy[i]);
        zz[i] += rho * (kept * nzz - zz[i]);
        xy[i] += rho * (kept * nxy - xy[i]);
        xz[i] += rho * (kept * nxz - xz[i]);
        yz[i] += rho * (kept * nyz - yz[i]);
    }
}

}  // namespace qsmpi::inversion::detail
