#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "qsmpi/mask/mask.hpp"

/// Masks by a line of text: sources, joined by set operators, then shaped by steps.
///
///     mask    := union { "," step }
///     union   := product { "|" product }
///     product := factor { ( "&" | "-" ) factor }           "-" is "and not"; it stands apart: a-b.nii is a name
///     factor  := "!" factor | "(" mask ")" | source
///     source  := word [ number ] | path                     path: in quotes, or plain with a "/" or ".nii" in it
///     step    := word [ number [ "mm" | "ml" ] ]
///
/// Example: quality & bet, close 2, fill, erode 1
///
/// The words auto, compact, quality and magnitude alone are whole recipes: brain_mask() with and without magnitude, auto also
/// without_fast_rim(), and the filled largest part of robust_threshold(). In company, or with a number, quality and magnitude are the bare thresholds.
namespace qsmpi::mask {

enum class SourceKind { automatic, compact, quality, magnitude, robust, otsu, gaussian, corrected, bet, signal, all, file };
struct Source {
    SourceKind kind = SourceKind::automatic;
    double parameter = 0.0;  ///< 0: none was given, the word's own rule counts
    std::string file{};      ///< of SourceKind::file, as it was written
    bool operator==(const Source&) const = default;
};

enum class StepKind { fill, patch, erode, peel, dilate, open, close, smooth, largest };
struct Step {
    StepKind kind = StepKind::fill;
    double amount = 0.0;  ///< mm; ml for fill; 0: none was given
    bool operator==(const Step&) const = default;
};

enum class NodeKind { source, both, either, without, inverse, shaped };
/// A tree: source at the leaves; both, either and without have two operands or more, inverse and shaped have one.
struct Node {
    NodeKind kind = NodeKind::source;
    Source source{};
    std::vector<Node> operands{};
    std::vector<Step> steps{};  ///< of NodeKind::shaped
    bool operator==(const Node&) const = default;
};

/// @throws InputError with the column, what was expected there, and the nearest word that is known
[[nodiscard]] Node parse_expression(std::string_view text);
/// The text in its plainest form: parse_expression(to_text(e)) == e, and two texts that differ in blanks give one.
[[nodiscard]] std::string to_text(const Node& node);
/// Words of sources and steps with what they mean, a line each, for help texts.
[[nodiscard]] std::string expression_help();

/// Calls visit(source) for every source, in the order of the text.
void for_each_source(const Node& node, const std::function<void(const Source&)>& visit);
/// Calls visit(step) for every step, in the order in which they are done.
void for_each_step(const Node& node, const std::function<void(const Step&)>& visit);
/// The word of a source with its number, or the file: "quality 0.4".
[[nodiscard]] std::string to_text(const Source& source);
/// The word of a step with its number and unit: "erode 1 mm".
[[nodiscard]] std::string to_text(const Step& step);

/// What sources look at. Pointers may be null; nothing is kept.
struct Inputs {
    Grid grid;
    const VolumeF* quality = nullptr;    ///< ROMEO quality, [0, 1]
    const VolumeF* magnitude = nullptr;  ///< root of the sum of squares, any unit
    const VolumeF* r2star_per_s = nullptr;  ///< of auto; null: nothing is known of it
    BrainMaskOptions brain{};            ///< of auto; its quality threshold also stands in where quality has no number
    std::function<Mask(const std::string& file)> read_file{};
};

/// How many voxels were left after a source or step; tells where a mask got lost.
struct Part {
    std::string text;
    std::size_t voxels = 0;
};
/// Such as "quality: 1234 voxels; fill: 1300 voxels".
[[nodiscard]] std::string describe(const std::vector<Part>& parts);
struct Evaluated {
    Mask mask;
    std::vector<Part> parts;
};

/// The mask that the expression describes; empty parts stay empty.
/// @throws InputError if a source needs what the inputs lack, or a file's mask lies on another grid
/// A few masks of memory for each nested pair of parentheses. Same bits for any number of threads.
[[nodiscard]] Evaluated evaluate(const Node& expression, const Inputs& inputs);

}  // namespace qsmpi::mask
