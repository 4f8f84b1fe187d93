#pragma once
#include <cstddef>
#include <vector>

namespace qsmpi::numerics {

/// Least squares with few unknowns: sum over rows of weight (target - row . c)^2, as normal equations.
class NormalEquations {
public:
    NormalEquations() = default;
    explicit NormalEquations(std::size_t n_unknowns) : matrix_(n_unknowns * (n_unknowns + 1) / 2), right_(n_unknowns) {}

    /// `weight` below 0 takes a row out again.
    void add(const double* row, double weight, double target);
    NormalEquations& operator+=(const NormalEquations& other);
    /// The unknowns, by Cholesky's method. Those that the rows do not tell from the ones before them are 0: in a slab of one
    /// slice, say.
    [[nodiscard]] std::vector<double> solved() const;

private:
    std::vector<double> matrix_;  ///< lower triangle by rows
    std::vector<double> right_;
};

}  // namespace qsmpi::numerics
