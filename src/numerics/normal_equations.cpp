#include "qsmpi/numerics/normal_equations.hpp"

#include <cmath>

namespace qsmpi::numerics {

void NormalEquations::add(const double* row, double weight, double target)
{
    double* sums = matrix_.data();
    for (std::size_t i = 0; i < right_.size(); ++i) {
        const double weighted = weight * row[i];
        right_[i] += weighted * target;
        for (std::size_t j = 0; j <= i; ++j) *sums++ += weighted * row[j];
    }
}

NormalEquations& NormalEquations::operator+=(const NormalEquations& other)
{
    for (std::size_t i = 0; i < matrix_.size(); ++i) matrix_[i] += other.matrix_[i];
    for (std::size_t i = 0; i < right_.size(); ++i) right_[i] += other.right_[i];
    return *this;
}

std::vector<double> NormalEquations::solved() const
{
    constexpr double independent = 1e-9;
    std::vector<double> triangle = matrix_, c = right_;
    const std::size_t n = c.size();
    const auto entry = [&](std::size_t i, std::size_t j) -> double& { return triangle[i * (i + 1) / 2 + j]; };
    for (std::size_t i = 0; i < n; ++i) {
        const double before = entry(i, i);
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = entry(i, j);
            for (std::size_t k = 0; k < j; ++k) sum -= entry(i, k) * entry(j, k);
            if (j < i)
                entry(i, j) = entry(j, j) > 0.0 ? sum / entry(j, j) : 0.0;
            else
                entry(i, i) = sum > independent * before ? std::sqrt(sum) : 0.0;
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) c[i] -= entry(i, k) * c[k];
        c[i] = entry(i, i) > 0.0 ? c[i] / entry(i, i) : 0.0;
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) c[i] -= entry(k, i) * c[k];
        c[i] = entry(i, i) > 0.0 ? c[i] / entry(i, i) : 0.0;
    }
    return c;
}

}  // namespace qsmpi::numerics
