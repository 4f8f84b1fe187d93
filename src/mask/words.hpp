#pragma once
#include <span>
#include <string>
#include <string_view>

#include "qsmpi/mask/expression.hpp"

/// The vocabulary of mask expressions: the only list of its words.
namespace qsmpi::mask::detail {

struct SourceWord {
    std::string_view word;
    SourceKind kind;
    std::string_view number;  ///< what its number is, for messages; "" if it takes none
    double low, high;         ///< the number lies between, both excluded
    std::string_view help;
    bool needs_quality, needs_magnitude;
};

struct StepWord {
    std::string_view word;
    StepKind kind;
    std::string_view unit;  ///< "" if it takes no number
    bool number_is_needed;
    double high;            ///< the number lies in (0, high]
    std::string_view help;
};

[[nodiscard]] std::span<const SourceWord> source_words();
[[nodiscard]] std::span<const StepWord> step_words();
[[nodiscard]] const SourceWord& word_of(SourceKind kind);  ///< not for files
[[nodiscard]] const StepWord& word_of(StepKind kind);

/// A name with a slash or the ending of an image.
[[nodiscard]] bool is_path(std::string_view word);

}  // namespace qsmpi::mask::detail
