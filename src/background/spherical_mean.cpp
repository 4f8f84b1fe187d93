#include "spherical_mean.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::background {

KnownField known_field(const VolumeF& field, const Mask& mask)
{
    const numerics::Box box = numerics::bounding_box(mask);
    KnownField part{box, numerics::crop(field, box), numerics::crop(mask, box)};
    parallel::for_blocks(part.field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            part.known[i] = part.known[i] != 0 && std::isfinite(part.field[i]) ? 1 : 0;
            if (part.known[i] == 0) part.field[i] = 0.0F;
        }
    });
    return part;
}

double least_radius_mm(const Vec3& voxel_mm) { return 1.5 * std::max({voxel_mm[0], voxel_mm[1], voxel_mm[2]}); }

double ball_reach_mm(double radius_mm, const Vec3& h)
{
    const auto nearest = [](int i) { return i == 0 ? 0.125 : i - 0.375; };
    int n[3];
    for (std::size_t a = 0; a < 3; ++a) n[a] = static_cast<int>(std::ceil(radius_mm / h[a])) + 1;
    double reach = 0.0;
    for (int i = 0; i <= n[0]; ++i)
        for (int j = 0; j <= n[1]; ++j)
            for (int k = 0; k <= n[2]; ++k)
                if (std::hypot(nearest(i) * h[0], nearest(j) * h[1], nearest(k) * h[2]) <= radius_mm + 1e-9)
                    reach = std::max(reach, std::hypot(i * h[0], j * h[1], k * h[2]));
    // A little more: distances come as float, and the same distance must not count as greater.
    return reach * (1.0 + 1e-6);
}

Mask deeper_than(const VolumeF& distance_mm, double depth_mm)
{
    Mask deep(distance_mm.grid());
    parallel::for_blocks(deep.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) deep[i] = static_cast<double>(distance_mm[i]) > depth_mm ? 1 : 0;
    });
    return deep;
}

FittingBall fitting_ball(const Mask& known, double radius_mm)
{
    const Vec3& h = known.grid().voxel_mm;
    const double radius = std::max(radius_mm, least_radius_mm(h));
    return {radius, deeper_than(numerics::distance_inside_mm(known), ball_reach_mm(radius, h))};
}

LocalField no_local_field(const Grid& grid) { return {.local_field_ppm = VolumeF(grid, 0.0F), .mask = Mask(grid, 0)}; }

void keep_inside(VolumeF& field, const Mask& mask)
{
    parallel::for_blocks(field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (mask[i] == 0) field[i] = 0.0F;
    });
}

void require_positive(const char* what, double value)
{
    require(std::isfinite(value) && value > 0.0, str(what, " ", value, "; expected a positive number"));
}

Grid tight_grid(const Grid& box, double radius_mm)
{
    const auto length = [radius_mm](std::size_t n, double h) {
        return numerics::good_length(std::max(n, 2 * static_cast<std::size_t>(std::ceil(radius_mm / h)) + 1));
    };
    return {{length(box.dims.nx, box.voxel_mm[0]), length(box.dims.ny, box.voxel_mm[1]),
             length(box.dims.nz, box.voxel_mm[2])},
            box.voxel_mm};
}

namespace {

/// The vectors of conjugate gradients, one step a call.
class RegionCg {
public:
    RegionCg(const numerics::Fft3& fft, const numerics::TileBody& filter, double shift, const Mask& region,
             VolumeF& b_to_x)
        : fft_(fft),
          filter_(filter),
          shift_(static_cast<float>(shift)),
          region_(region),
          dims_(region.dims()),
          x_(b_to_x),
          residual_(b_to_x.clone()),
          direction_(b_to_x.grid(), 0.0F),
          image_(b_to_x.grid(), 0.0F),
          is_used_(dims_.ny * dims_.nz),
          rows_(dims_.ny * dims_.nz)
    {
        x_.fill(0.0F);
        for (std::size_t i = 0; i < is_used_.size(); ++i) {
            const std::uint8_t* row = region.data() + i * dims_.nx;
            is_used_[i] = std::any_of(row, row + dims_.nx, [](std::uint8_t m) { return m != 0; }) ? 1 : 0;
        }
    }

    /// One iteration; false when there is nothing left to do.
    bool step(numerics::Spectrum& work)
    {
        fft_.filter_rows(
            dims_, [&](std::size_t y, std::size_t z, float* row) { advance(y, z, row); }, dims_,
            [&](std::size_t y, std::size_t z, const float* row) { take_image(y, z, row); }, filter_, work);
        Sums total;
        for (const Sums& s : rows_) {
            total.residual += s.residual;
            total.direction_image += s.direction_image;
            total.image += s.image;
        }
        alpha_ = beta_ = 0.0F;
        if (start_ == 0.0) start_ = total.residual;
        squared_ = total.residual;
        if (!(total.residual > 0.0 && total.direction_image > 0.0)) return false;
        const double alpha = total.residual / total.direction_image;
        // The next residual's norm follows from what is known: <r, A p> = <p, A p>. Its own sum comes one step later.
        squared_ = std::max(0.0, alpha * alpha * total.image - total.residual);
        alpha_ = static_cast<float>(alpha);
        beta_ = static_cast<float>(squared_ / total.residual);
        return true;
    }
    /// x of the last step.
    void finish()
    {
        parallel::for_blocks(x_.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) x_[i] += alpha_ * direction_[i];
        });
    }
    [[nodiscard]] double relative_residual() const { return start_ > 0.0 ? std::sqrt(squared_ / start_) : 0.0; }

private:
    struct Sums {
        double residual = 0.0, direction_image = 0.0, image = 0.0;
    };

    // x += alpha p; r -= alpha q; p <- r + beta p.
    void advance(std::size_t y, std::size_t z, float* row)
    {
        const std::size_t i_row = y + dims_.ny * z;
        if (is_used_[i_row] == 0) {
            std::fill_n(row, dims_.nx, 0.0F);
            return;
        }
        float *x = &x_(0, y, z), *r = &residual_(0, y, z), *p = &direction_(0, y, z);
        const float* q = &image_(0, y, z);
        double sum = 0.0;
#pragma omp simd reduction(+ : sum)
        for (std::size_t i = 0; i < dims_.nx; ++i) {
            x[i] += alpha_ * p[i];
            r[i] -= alpha_ * q[i];
            p[i] = r[i] + beta_ * p[i];
            row[i] = p[i];
            sum += static_cast<double>(r[i]) * static_cast<double>(r[i]);
        }
        rows_[i_row].residual = sum;
    }
    // q <- A p.
    void take_image(std::size_t y, std::size_t z, const float* row)
    {
        const std::size_t i_row = y + dims_.ny * z;
        if (is_used_[i_row] == 0) return;
        float* q = &image_(0, y, z);
        const float* p = &direction_(0, y, z);
        const std::uint8_t* inside = &region_(0, y, z);
        double pq = 0.0, qq = 0.0;
#pragma omp simd reduction(+ : pq, qq)
        for (std::size_t i = 0; i < dims_.nx; ++i) {
            const float value = inside[i] != 0 ? row[i] + shift_ * p[i] : 0.0F;
            q[i] = value;
            pq += static_cast<double>(p[i]) * static_cast<double>(value);
            qq += static_cast<double>(value) * static_cast<double>(value);
        }
        rows_[i_row].direction_image = pq;
        rows_[i_row].image = qq;
    }

    const numerics::Fft3& fft_;
    const numerics::TileBody& filter_;
    float shift_;
    const Mask& region_;
    Dims dims_;
    VolumeF& x_;
    VolumeF residual_, direction_, image_;
    std::vector<std::uint8_t> is_used_;
    std::vector<Sums> rows_;
    float alpha_ = 0.0F, beta_ = 0.0F;
    double start_ = 0.0, squared_ = 0.0;
};

}  // namespace

Convergence solve_in_region(const numerics::Fft3& fft, const numerics::TileBody& filter, double shift,
                            const Mask& region, VolumeF& b_to_x, int max_iterations, double tolerance,
                            numerics::Spectrum& work)
{
    RegionCg cg(fft, filter, shift, region, b_to_x);
    Convergence end;
    while (end.iterations < max_iterations && cg.step(work)) {
        ++end.iterations;
        if (cg.relative_residual() <= tolerance) break;
    }
    cg.finish();
    end.relative_residual = cg.relative_residual();
    end.converged = end.relative_residual <= tolerance;
    return end;
}

LocalField local_field(const KnownField& part, const FittingBall& ball, const Convergence& end, const Grid& whole)
{
    return {.local_field_ppm = numerics::uncrop(part.field, part.box, whole),
            .mask = numerics::uncrop(ball.fits, part.box, whole),
            .iterations = end.iterations,
            .relative_residual = end.relative_residual,
            .converged = end.converged,
            .radius_mm = ball.radius_mm};
}

}  // namespace qsmpi::background
