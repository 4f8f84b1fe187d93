#pragma once
#include <complex>
#include <cstddef>
#include <span>
#include <vector>

namespace qsmpi::phase
{

/// Chooses the number of whole turns that a spatially unwrapped echo misses from how the other echoes go on.
///
/// If the echo has phase U + 2 pi n and the phases have no offset, echo k should have (U + 2 pi n) r_k with
/// r_k = TE_k / TE. The agreement for every n follows from one complex sum per echo,
/// C_k = sum_x w e^{i (phi_k - r_k U)}, since a shift by n only turns it by -2 pi n r_k. When all r_k are
/// whole numbers no n is better than another: the field is then known only modulo 1/TE.
class AliasEvidence
{
public:
    /// One echo of one voxel.
    void add(std::size_t i_echo, double weight, float residual_rad);
    AliasEvidence& operator+=(const AliasEvidence& other);
    /// Best n within [centre - 4, centre + 4]; the nearest to `centre` unless another is clearly better.
    /// @param echo_time_ratios  r_k of each echo
    [[nodiscard]] int best_turns(std::span<const double> echo_time_ratios, int centre) const;

private:
    std::vector<std::complex<double>> sums_;
    double weight_ = 0.0;
};

/// Whether any ratio is far enough from whole numbers to tell one alias from another.
[[nodiscard]] bool tells_aliases_apart(std::span<const double> echo_time_ratios);

}  // namespace qsmpi::phase
