#pragma once
#include <span>
#include <string>
#include <string_view>

namespace qsmpi {
/// The candidate nearest to `word` by edit distance, or "" when none is near enough to be a likely slip.
[[nodiscard]] std::string nearest_word(std::string_view word, std::span<const std::string> candidates);
}  // namespace qsmpi
