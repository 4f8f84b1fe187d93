#include "chain_arguments.hpp"

#include <algorithm>
#include <map>

#include <nlohmann/json.hpp>

#include "qsmpi/core/error.hpp"

namespace qsmpi::apps {

using nlohmann::json;

namespace {

struct Help {
    const char* placeholder;
    const char* text;
};

const std::map<std::string, Help>& help_texts()
{
    static const std::map<std::string, Help> texts{
        {"preset", {"NAME", "set of values to start from, which the options given override; 'qsmpi presets' lists them"}},
        {"unwrapping", {"NAME", "romeo (first echo in space, the others in time) | romeo-individual | laplacian"}},
        {"bipolar", {"WORD", "correct the phase of alternating readouts: auto | on | off"}},
        {"offset_removal", {"on|off", "remove the coil phase at echo time 0; needs two echoes"}},
        {"offset_method", {"NAME", "how it is found: auto (aspire where the echo times allow it) | mcpc3ds | aspire"}},
        {"offset_sigma_mm", {"X", "smoothing of the coil phase, standard deviation, mm"}},
        {"field_map", {"NAME", "how echoes become one field: nonlinear | average | linear"}},
        {"r2star", {"NAME", "R2*, T2* and S0 of two and more echoes: nlls | arlo | loglinear | off"}},
        {"mask", {"MASK", "auto | quality | magnitude | FILE, or an expression: 'qsmpi mask --help'. In paths, {sub}, {ses}, {run}, {acq}, "
                          "{key} and {prefix} stand for those of each scan, labels alone: masks/sub-{sub}_mask.nii.gz"}},
        {"mask_quality_threshold", {"X", "phase quality above which a voxel is reliable, 0 to 1; 0: Otsu's threshold"}},
        {"mask_erosion_mm", {"X", "peeled off the mask, mm"}},
        {"two_pass", {"WORD", "reconstruct reliable phase alone too, against streaks of strong sources: off | on"}},
        {"background", {"NAME", "background field removal; 'qsmpi methods' lists the names"}},
        {"background_radius_mm", {"X", "largest ball of the spherical mean value filters, mm; 0: the method's own"}},
        {"background_rounds", {"N", "rounds of the separation method; more are more accurate and slower; 0: its default"}},
        {"background_cleanup",
         {"WORD", "take smooth harmonic fields out of the local field: auto (where the method leaves them) | on | off"}},
        {"inversion", {"NAME", "dipole inversion; 'qsmpi methods' lists the names"}},
        {"inversion_edges", {"on|off", "expect edges of susceptibility where the magnitude has them (tv, medi)"}},
        {"inversion_lambda", {"X", "strength of its regularisation, in the method's own unit; 0: the method's rule"}},
        {"null_space", {"WORD", "what the field cannot show of the map, smooth waves, settled by likeness of R2* or by modes of the map: auto (after separation) | on | off"}},
        {"reference", {"WORD", "what is 0 ppm: mean (of the mask) | csf | none, or the path of NIfTI weights, or of labels as "
                               "in labels-{sub}.nii.gz:4,43"}},
        {"per_echo", {"", "a field and a map of each echo and the mean of the maps; then there is no field of all echoes"}},
        {"swi", {"NAME", "susceptibility-weighted image and its 7 mm minimum projection: off | clear | classic"}},
    };
    return texts;
}

/// The text as the type that the default has.
json value_of(const std::string& option, const std::string& text, const json& standard)
{
    if (standard.is_string()) return text;
    if (standard.is_boolean()) {
        if (text != "on" && text != "off") throw UsageError(str("--", option, ": '", text, "' is neither on nor off"));
        return text == "on";
    }
    const json number = json::parse(text, nullptr, false);
    if (!number.is_number()) throw UsageError(str("--", option, ": '", text, "' is not a number"));
    return number;
}

}  // namespace

std::string text_of(const json& value)
{
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "on" : "off";
    return value.dump().ends_with(".0") ? value.dump().substr(0, value.dump().size() - 2) : value.dump();
}

std::string kebab(std::string name)
{
    std::replace(name.begin(), name.end(), '_', '-');
    return name;
}

void require_range(const char* option, double value, const char* chain_option)
{
    try {
        pipeline::require_range(str("--", option), value, chain_option);
    } catch (const InputError& e) {
        throw UsageError(e.what());
    }
}

void ChainArguments::add_to(CommandLine& line)
{
    line.group("Chain");
    const json defaults = pipeline::ChainOptions{};
    for (const std::string& name : pipeline::option_names()) {
        const auto help = help_texts().find(name);
        QSMPI_ASSERT(help != help_texts().end());  // a new option needs its line of help
        auto& [key, text] = texts_.emplace_back(name, std::nullopt);
        const json& standard = defaults.at(name);
        if (standard == json(false)) line.flag(kebab(name).c_str(), text, help->second.text);
        else line.option(kebab(name).c_str(), help->second.placeholder, text, text_of(standard), help->second.text);
    }
}

json ChainArguments::given() const
{
    const json defaults = pipeline::ChainOptions{};
    json given = json::object();
    for (const auto& [name, text] : texts_)
        if (text) given[name] = value_of(kebab(name), *text, defaults.at(name));
    return given;
}

pipeline::ChainOptions ChainArguments::options() const
{
    return options_from(given());
}

pipeline::ChainOptions options_from(const json& given)
{
    try {
        auto options = given.get<pipeline::ChainOptions>();
        pipeline::refuse_without_effect(given, options);
        return options;
    } catch (const InputError& e) {
        throw UsageError(e.what());
    }
}

}  // namespace qsmpi::apps
