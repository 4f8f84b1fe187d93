#include "alias.hpp"

#include <cmath>

#include "qsmpi/core/units.hpp"

namespace qsmpi::phase
{

void AliasEvidence::add(std::size_t i_echo, double weight, float residual_rad)
{
    if (!std::isfinite(residual_rad) || !(weight > 0.0) || !std::isfinite(weight)) return;
    if (sums_.size() <= i_echo) sums_.resize(i_echo + 1);
    sums_[i_echo] += weight * std::complex<double>(std::cos(residual_rad), std::sin(residual_rad));
    weight_ += weight;
}

AliasEvidence& AliasEvidence::operator+=(const AliasEvidence& other)
{
    if (sums_.size() < other.sums_.size()) sums_.resize(other.sums_.size());
    for (std::size_t k = 0; k < other.sums_.size(); ++k) sums_[k] += other.sums_[k];
    weight_ += other.weight_;
    return *this;
}

int AliasEvidence::best_turns(std::span<const double> echo_time_ratios, int centre) const
{
    if (!(weight_ > 0.0)) return centre;
    constexpr int reach = 4;
    // What another alias must gain, as a part of full agreement: systematic phase errors reach some percent.
    constexpr double gain_per_turn = 0.03;
    int best = centre;
    double best_score = -2.0;
    for (int step = 0; step <= 2 * reach; ++step) {
        const int distance = (step + 1) / 2;
        const int n = centre + (step % 2 == 1 ? distance : -distance);
        double agreement = 0.0;
        for (std::size_t k = 0; k < sums_.size(); ++k) {
            agreement += (sums_[k] * std::polar(1.0, -units::two_pi * n * echo_time_ratios[k])).real();
        }
        const double score = agreement / weight_ - gain_per_turn * distance;
        if (score > best_score) {
            best_score = score;
            best = n;
        }
    }
    return best;
}

bool tells_aliases_apart(std::span<const double> echo_time_ratios)
{
    for (const double r : echo_time_ratios) {
        if (std::abs(r - std::round(r)) > 0.02) return true;
    }
    return false;
}

}  // namespace qsmpi::phase
