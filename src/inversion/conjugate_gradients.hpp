#pragma once
#include <cmath>
#include <utility>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/volume.hpp"
#include "qsmpi/numerics/statistics.hpp"

namespace qsmpi::inversion::detail {

struct CgReport {
    int iterations = 0;
    double relative_residual = 0.0;  ///< ||b - A x|| relative to where it began
};

/// Conjugate gradients on A x = b for symmetric A >= 0.
/// @param apply     double apply(const VolumeF& p, VolumeF& q): q = A p, returns <p, q>
/// @param x         start; improved in place
/// @param residual  b - A x; kept up to date
/// Stops at ||residual|| < tolerance times its start, at `max_iterations`, or where A has no say. 2 more volumes.
template <typename Apply>
CgReport conjugate_gradients(Apply&& apply, VolumeF& x, VolumeF& residual, int max_iterations, double tolerance)
{
    CgReport report;
    const double start = numerics::dot(residual, residual);
    double squared = start;
    if (!(start > 0.0)) return report;
    VolumeF p = residual.clone(), q(residual.grid());
    while (report.iterations < max_iterations && squared > tolerance * tolerance * start) {
        const double curvature = apply(std::as_const(p), q);
        if (!(curvature > 0.0)) break;
        const auto alpha = static_cast<float>(squared / curvature);
        const double next = parallel::sum_blocks<double>(x.size(), [&](std::size_t begin, std::size_t end) {
            double sum = 0.0;
#pragma omp simd reduction(+ : sum)
            for (std::size_t i = begin; i < end; ++i) {
                x[i] += alpha * p[i];
                residual[i] -= alpha * q[i];
                sum += static_cast<double>(residual[i]) * static_cast<double>(residual[i]);
            }
            return sum;
        });
        const auto beta = static_cast<float>(next / squared);
        squared = next;
        ++report.iterations;
        parallel::for_blocks(x.size(), [&](std::size_t begin, std::size_t end) {
#pragma omp simd
            for (std::size_t i = begin; i < end; ++i) p[i] = residual[i] + beta * p[i];
        });
    }
    report.relative_residual = std::sqrt(squared / start);
    return report;
}

}  // namespace qsmpi::inversion::detail
