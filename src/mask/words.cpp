#include "words.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace qsmpi::mask {
namespace detail {
namespace {

constexpr std::array sources{
    SourceWord{"auto", SourceKind::automatic, "", 0, 0,
               "brain: the compact part of good phase and magnitude, less sinuses (R2*)", true, false},
    SourceWord{"compact", SourceKind::compact, "", 0, 0, "auto with what decays fast at its surface: sinuses, bleeds", true, false},
    SourceWord{"quality", SourceKind::quality, "a quality", 0, 1,
               "ROMEO phase quality above T, between 0 and 1; without T: Otsu's", true, false},
    SourceWord{"magnitude", SourceKind::magnitude, "a factor", 0, 1000,
               "magnitude above a robust threshold, times a factor", false, true},
    SourceWord{"robust", SourceKind::robust, "a factor", 0, 1000, "the same, also when it stands alone", false, true},
    SourceWord{"otsu", SourceKind::otsu, "a factor", 0, 1000, "magnitude above Otsu's threshold, times a factor", false, true},
    SourceWord{"gaussian", SourceKind::gaussian, "", 0, 0, "magnitude above where two normal distributions part", false, true},
    SourceWord{"corrected", SourceKind::corrected, "a factor", 0, 1000,
               "as robust, but of the magnitude without coil sensitivity", false, true},
    SourceWord{"bet", SourceKind::bet, "a fraction", 0, 1,
               "inside a surface grown in the head to the brain's edge; F = 0.5, less takes more", false, true},
    SourceWord{"signal", SourceKind::signal, "", 0, 0, "magnitude above 0: what a stripped image left", false, true},
    SourceWord{"all", SourceKind::all, "", 0, 0, "every voxel", false, false},
};

constexpr std::array steps{
    StepWord{"fill", StepKind::fill, "ml", false, 1e6, "fill enclosed holes, up to a volume; without it: all"},
    StepWord{"patch", StepKind::patch, "", false, 0, "fill single voxels that 25 of 26 neighbours surround"},
    StepWord{"erode", StepKind::erode, "mm", true, 100, "take off from the surface and from holes"},
    StepWord{"peel", StepKind::peel, "mm", true, 100, "take off from the outer surface; holes stay as they are"},
    StepWord{"dilate", StepKind::dilate, "mm", true, 100, "add to the surface"},
    StepWord{"open", StepKind::open, "mm", true, 100, "cut what is thinner than twice this"},
    StepWord{"close", StepKind::close, "mm", true, 100, "bridge gaps thinner than twice this"},
    StepWord{"smooth", StepKind::smooth, "mm", true, 100, "round edges by a Gaussian of this standard deviation"},
    StepWord{"largest", StepKind::largest, "", false, 0, "keep the largest connected part"},
};

template <typename Words, typename Kind>
const auto& find_kind(const Words& words, Kind kind)
{
    const auto found = std::find_if(words.begin(), words.end(), [&](const auto& w) { return w.kind == kind; });
    QSMPI_ASSERT(found != words.end());
    return *found;
}

}  // namespace

std::span<const SourceWord> source_words() { return sources; }
std::span<const StepWord> step_words() { return steps; }
const SourceWord& word_of(SourceKind kind) { return find_kind(sources, kind); }
const StepWord& word_of(StepKind kind) { return find_kind(steps, kind); }

bool is_path(std::string_view word)
{
    return word.find('/') != std::string_view::npos || word.find(".nii") != std::string_view::npos;
}

}  // namespace detail

namespace {

// The shortest text that reads back as the same number.
std::string number_text(double value)
{
    std::array<char, 32> buffer{};
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

std::string path_text(const std::string& file)
{
    const bool plain = detail::is_path(file) && file.find_first_of(" \t\n,&|()!\"'") == std::string::npos && file[0] != '-';
    if (plain) return file;
    const char quote = file.find('"') == std::string::npos ? '"' : '\'';
    return str(quote, file, quote);
}

// How tightly a node holds together; operands that hold less tightly are put in parentheses.
int tightness(const Node& node)
{
    switch (node.kind) {
        case NodeKind::shaped: return 0;
        case NodeKind::either: return 1;
        case NodeKind::both:
        case NodeKind::without: return 2;
        case NodeKind::inverse: return 3;
        case NodeKind::source: break;
    }
    return 4;
}

std::string in_context(const Node& node, int needed)
{
    return tightness(node) >= needed ? to_text(node) : str("(", to_text(node), ")");
}

std::string joined(const Node& node, const char* symbol)
{
    const int own = tightness(node);
    std::string text = in_context(node.operands.front(), own);
    for (std::size_t i = 1; i < node.operands.size(); ++i) text += symbol + in_context(node.operands[i], own + 1);
    return text;
}

}  // namespace

std::string to_text(const Source& source)
{
    if (source.kind == SourceKind::file) return path_text(source.file);
    std::string text(detail::word_of(source.kind).word);
    if (source.parameter != 0.0) text += str(" ", number_text(source.parameter));
    return text;
}

std::string to_text(const Step& step)
{
    const detail::StepWord& word = detail::word_of(step.kind);
    std::string text(word.word);
    if (step.amount != 0.0) text += str(" ", number_text(step.amount), " ", word.unit);
    return text;
}

std::string to_text(const Node& node)
{
    switch (node.kind) {
        case NodeKind::source: return to_text(node.source);
        case NodeKind::inverse: return str("!", in_context(node.operands.front(), 3));
        case NodeKind::both: return joined(node, " & ");
        case NodeKind::without: return joined(node, " - ");
        case NodeKind::either: return joined(node, " | ");
        case NodeKind::shaped: break;
    }
    std::string text = in_context(node.operands.front(), 1);
    for (const Step& step : node.steps) text += str(", ", to_text(step));
    return text;
}

std::string expression_help()
{
    const auto row = [](std::string left, std::string_view help) {
        left.resize(std::max<std::size_t>(left.size() + 2, 30), ' ');
        return str("  ", left, help, "\n");
    };
    std::string text = "Masks: sources joined by & (and), | (or), - (and not), ! (not) and parentheses; then steps after commas\n"
                       "  for example 'quality & bet, close 2, fill, erode 1'\n";
    for (const detail::SourceWord& w : detail::source_words())
        text += row(str(w.word, w.number.empty() ? "" : w.kind == SourceKind::quality ? " [T]" : w.kind == SourceKind::bet ? " [F]" : " [X]"), w.help);
    text += row("FILE", "voxels of a NIfTI mask that are not 0; quotes around odd names");
    for (const detail::StepWord& w : detail::step_words()) {
        std::string unit(w.unit);
        std::transform(unit.begin(), unit.end(), unit.begin(), [](char c) { return c == 'm' ? 'M' : 'L'; });
        text += row(str(", ", w.word, unit.empty() ? "" : w.number_is_needed ? " " + unit : " [" + unit + "]"), w.help);
    }
    text += "auto, quality and magnitude alone are whole recipes, in company the last two are bare thresholds.";
    return text;
}

void for_each_source(const Node& node, const std::function<void(const Source&)>& visit)
{
    if (node.kind == NodeKind::source) visit(node.source);
    for (const Node& operand : node.operands) for_each_source(operand, visit);
}

void for_each_step(const Node& node, const std::function<void(const Step&)>& visit)
{
    for (const Node& operand : node.operands) for_each_step(operand, visit);
    for (const Step& step : node.steps) visit(step);
}

}  // namespace qsmpi::mask
