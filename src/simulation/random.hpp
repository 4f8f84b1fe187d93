#pragma once
#include <cmath>
#include <cstdint>
#include <utility>

#include "qsmpi/core/mixed.hpp"
#include "qsmpi/core/units.hpp"

/// Random numbers by counter: entry n of a stream is a hash of (stream, n), so any thread may draw any entry.
namespace qsmpi::simulation {

/// A stream of its own for each (seed, purpose).
[[nodiscard]] constexpr std::uint64_t stream_of(std::uint64_t seed, std::uint64_t purpose)
{
    return mixed(mixed(seed) ^ (purpose * 0xD1342543DE82EF95ULL));
}

/// Uniform in (0, 1), never an end.
[[nodiscard]] inline double uniform_at(std::uint64_t stream, std::uint64_t n)
{
    return (static_cast<double>(mixed(stream + n * 0x9E3779B97F4A7C15ULL) >> 11) + 0.5) * 0x1.0p-53;
}

/// Two independent standard normals (Box and Muller).
[[nodiscard]] inline std::pair<double, double> normals_at(std::uint64_t stream, std::uint64_t n)
{
    const double radius = std::sqrt(-2.0 * std::log(uniform_at(stream, 2 * n)));
    const double angle = units::two_pi * uniform_at(stream, 2 * n + 1);
    return {radius * std::cos(angle), radius * std::sin(angle)};
}

/// One number after the other.
class Random {
public:
    explicit Random(std::uint64_t stream) : stream_(stream) {}
    [[nodiscard]] double uniform(double low, double high) { return low + (high - low) * uniform_at(stream_, n_++); }
    [[nodiscard]] double normal() { return normals_at(stream_, n_++).first; }

private:
    std::uint64_t stream_;
    std::uint64_t n_ = 0;
};

}  // namespace qsmpi::simulation
