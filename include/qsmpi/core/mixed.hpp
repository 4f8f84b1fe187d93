#pragma once
#include <cstdint>

namespace qsmpi {

/// A number that depends on every bit of another, one to one: entries by counter, and places drawn at random that are the
/// same in every run. The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t x)
{
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

}  // namespace qsmpi
