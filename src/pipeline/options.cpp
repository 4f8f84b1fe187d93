#include "qsmpi/pipeline/options.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/mask/expression.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

struct Range {
    double low, high;
    bool or_zero = false;  ///< 0 stands for a default
};

/// Calls visit(name, member) for every option: the only list of them.
template <typename Options, typename Visit>
void for_each_option(Options& o, Visit&& visit)
{
    visit("preset", o.preset);
    visit("unwrapping", o.unwrapping);
    visit("bipolar", o.bipolar);
    visit("offset_removal", o.offset_removal);
    visit("offset_method", o.offset_method);
    visit("offset_sigma_mm", o.offset_sigma_mm);
    visit("field_map", o.field_map);
    visit("r2star", o.r2star);
    visit("mask", o.mask);
    visit("mask_quality_threshold", o.mask_quality_threshold);
    visit("mask_erosion_mm", o.mask_erosion_mm);
    visit("two_pass", o.two_pass);
    visit("background", o.background);
    visit("background_radius_mm", o.background_radius_mm);
    visit("background_rounds", o.background_rounds);
    visit("background_cleanup", o.background_cleanup);
    visit("inversion", o.inversion);
    visit("inversion_edges", o.inversion_edges);
    visit("inversion_lambda", o.inversion_lambda);
    visit("null_space", o.null_space);
    visit("reference", o.reference);
    visit("per_echo", o.per_echo);
    visit("swi", o.swi);
}

std::string joined(const std::vector<std::string>& words)
{
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
    return text;
}

void require_word(const char* option, const std::string& value, const std::vector<std::string>& allowed)
{
    for (const std::string& word : allowed)
        if (word == value) return;
    const std::string near = nearest_word(value, allowed);
    throw InputError(str(option, ": '", value, "' is not one of ", joined(allowed),
                         near.empty() ? "" : "; did you mean '" + near + "'?"));
}

const std::map<std::string, Range>& ranges()
{
    static const std::map<std::string, Range> table{
        {"offset_sigma_mm", {0.1, 100.0}},
        {"mask_quality_threshold", {0.0, 1.0}},
        {"mask_erosion_mm", {0.0, 50.0}},
        {"background_radius_mm", {1.0, 100.0, true}},
        {"background_rounds", {0.0, 100.0}},
        {"inversion_lambda", {0.0, 1e6}},
    };
    return table;
}

// Anything with a slash or the ending of an image is a path, the rest must be a word that we know.
bool is_path(const std::string& value)
{
    return value.find('/') != std::string::npos || value.find(".nii") != std::string::npos;
}

std::vector<std::string> with_default(std::vector<std::string> names)
{
    names.insert(names.begin(), "default");
    return names;
}

}  // namespace

std::vector<std::string> option_names()
{
    std::vector<std::string> names;
    const ChainOptions defaults;
    for_each_option(defaults, [&](const char* name, const auto&) { names.emplace_back(name); });
    return names;
}

void require_range(const std::string& shown_name, double value, const std::string& option)
{
    const auto& [low, high, or_zero] = ranges().at(option);
    if (or_zero && value == 0.0) return;
    require(std::isfinite(value) && value >= low && value <= high,
            str(shown_name, ": ", value, " is outside [", low, ", ", high, "]", or_zero ? " and not 0" : ""));
}

void validate(const ChainOptions& o)
{
    (void)preset(o.preset);
    require_word("unwrapping", o.unwrapping, {"romeo", "romeo-individual", "laplacian"});
    require_word("bipolar", o.bipolar, {"auto", "on", "off"});
    require_word("offset_method", o.offset_method, {"auto", "mcpc3ds", "aspire"});
    require_word("field_map", o.field_map, {"nonlinear", "average", "linear"});
    require_word("r2star", o.r2star, {"nlls", "arlo", "loglinear", "off"});
    require_word("two_pass", o.two_pass, {"off", "on"});
    require_word("swi", o.swi, {"off", "clear", "classic"});
    require_word("background", o.background, with_default(background_names()));
    require_word("background_cleanup", o.background_cleanup, {"auto", "on", "off"});
    require_word("inversion", o.inversion, with_default(inversion_names()));
    require_word("null_space", o.null_space, {"auto", "on", "off"});
    if (!is_path(o.reference)) require_word("reference", o.reference, {"mean", "csf", "none"});
    require(o.reference != "csf" || o.r2star != "off", "reference: 'csf' is found by its R2*, but r2star is off");
    (void)mask::parse_expression(o.mask);
    for_each_option(o, [](const char* name, const auto& value) {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, double>) require_range(name, value, name);
    });
    require(o.background_rounds == std::floor(o.background_rounds),
            str("background_rounds: ", o.background_rounds, " is not a whole number of rounds"));
}

void refuse_without_effect(const nlohmann::json& given, const ChainOptions& o)
{
    const nlohmann::json standard = ChainOptions{};
    const auto refuse_if = [&](const char* name, bool without_effect, const std::string& beside) {
        if (!without_effect || !given.contains(name) || given.at(name) == standard.at(name)) return;
        throw InputError(str(name, ": ", given.at(name).dump(), " has no effect with ", beside, "; leave it out"));
    };
    const ChainOptions used = resolved(o);
    const BackgroundUse takes = background_use(o);
    const std::string beside = takes.total_field ? str("inversion '", used.inversion, "', which starts from the total field")
                                                 : str("background '", used.background, "'");
    refuse_if("background", takes.total_field && o.background != used.background, beside);
    refuse_if("background_cleanup", takes.total_field && o.background_cleanup != used.background_cleanup, beside);
    refuse_if("background_radius_mm", !takes.radius, beside);
    refuse_if("background_rounds", !takes.rounds, beside);
}

void to_json(nlohmann::json& j, const ChainOptions& o)
{
    j = nlohmann::json::object();
    for_each_option(o, [&](const char* name, const auto& value) { j[name] = value; });
}

void from_json(const nlohmann::json& j, ChainOptions& o)
{
    require(j.is_object(), "options: expected a JSON object");
    const std::vector<std::string> known = option_names();
    for (const auto& [key, value] : j.items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        const std::string near = nearest_word(key, known);
        throw InputError(str("unknown option '", key, "'",
                             near.empty() ? "; known are " + joined(known) : "; did you mean '" + near + "'?"));
    }
    if (const auto named = j.find("preset"); named != j.end()) {
        require(named->is_string(), str("option 'preset': ", named->dump(), " is not a text"));
        o = {};
        nlohmann::json::parse(preset(named->get<std::string>()).values).get_to(o);
    }
    for_each_option(o, [&](const char* name, auto& value) {
        const auto found = j.find(name);
        if (found == j.end()) return;
        using T = std::remove_reference_t<decltype(value)>;
        const bool fits = std::is_same_v<T, bool>     ? found->is_boolean()
                          : std::is_same_v<T, double> ? found->is_number()
                                                      : found->is_string();
        require(fits, str("option '", name, "': ", found->dump(), " is not ",
                          std::is_same_v<T, bool>     ? "true or false"
                          : std::is_same_v<T, double> ? "a number"
                                                      : "a text"));
        value = found->template get<T>();
    });
    validate(o);
}

}  // namespace qsmpi::pipeline
