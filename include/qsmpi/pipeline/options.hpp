#pragma once
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace qsmpi::pipeline {

/// Everything that alters a voxel of the output; JSON keys equal the member names and the long options of the CLI
/// (with '-' for '_').
struct ChainOptions {
    std::string preset = "default";        ///< the named set of values that the others started from; see presets()
    std::string unwrapping = "romeo";      ///< romeo | romeo-individual | laplacian
    std::string bipolar = "auto";          ///< auto | on | off
    bool offset_removal = true;
    std::string offset_method = "auto";    ///< auto (by echo times) | mcpc3ds | aspire
    double offset_sigma_mm = 7.0;
    std::string field_map = "nonlinear";   ///< nonlinear | average | linear
    std::string r2star = "nlls";           ///< nlls | arlo | loglinear | off
    std::string mask = "auto";             ///< an expression: qsmpi/mask/expression.hpp; files may hold "{sub}"
    double mask_quality_threshold = 0.0;   ///< 0: Otsu
    double mask_erosion_mm = 0.0;
    std::string two_pass = "off";          ///< off | on
    std::string background = "default";    ///< names from the registry
    double background_radius_mm = 0.0;     ///< 0: the method's own
    double background_rounds = 0;          ///< of methods that alternate with an inversion; 0: the method's own number
    std::string background_cleanup = "auto";  ///< auto | on | off
    std::string inversion = "default";     ///< names from the registry
    bool inversion_edges = true;           ///< spare edges of the magnitude, in methods that can
    double inversion_lambda = 0.0;         ///< 0: the method's own rule
    std::string null_space = "auto";      ///< auto (with background `separation`) | on | off
    std::string reference = "mean";        ///< mean | csf | none | path of NIfTI weights or "labels.nii.gz:4,43", with "{sub}"...
    bool per_echo = false;
    std::string swi = "off";               ///< off | clear | classic
};

/// JSON keys of all options, in the order of the members.
[[nodiscard]] std::vector<std::string> option_names();

/// Checks words and ranges, also against the registries of background and inversion methods.
/// @throws InputError naming the option, its value, what is allowed and the nearest allowed word
void validate(const ChainOptions& o);
/// The check of one number: that the option of the chain would take `value`, whatever name it is shown under.
/// @throws InputError naming `shown_name`, the value and the range
void require_range(const std::string& shown_name, double value, const std::string& option);

/// Options that were asked for by name and alter nothing beside the others, such as a background method before an inversion of
/// the total field.
/// @param given  what was asked for, as for from_json(), and made `o`
/// @throws InputError naming the option, why it has no effect and what to do
void refuse_without_effect(const nlohmann::json& given, const ChainOptions& o);

void to_json(nlohmann::json& j, const ChainOptions& o);
/// Keys that are absent keep their value, or have that of the preset if j names one. Calls validate().
/// @throws InputError for an unknown key, naming the nearest known one
void from_json(const nlohmann::json& j, ChainOptions& o);

/// A named set of values of chain options.
struct Preset {
    const char* name;
    const char* help;    ///< one line: what for
    const char* values;  ///< JSON: what differs from the defaults
};

/// All presets; the first is "default" and changes nothing.
[[nodiscard]] std::span<const Preset> presets();
/// The preset of this name. @throws InputError naming all presets and the nearest name
[[nodiscard]] const Preset& preset(const std::string& name);

}  // namespace qsmpi::pipeline
