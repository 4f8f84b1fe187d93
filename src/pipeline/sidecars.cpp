// What a sidecar says: units, how the map was made, from what, and what to beware of.
#include <algorithm>
#include <map>

#include "chain.hpp"
#include "qsmpi/core/version.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Description {
    const char* units;
    const char* text;
    const char* last_stage;  ///< the stage that made it
};

const Description& description_of(const std::string& suffix)
{
    static const std::map<std::string, Description> table{
        {"Chimap", {"ppm", "Magnetic susceptibility; 0 where it was not reconstructed", "chi"}},
        {"mask", {"1", "Voxels with reliable phase that belong to the object", "mask"}},
        {"fieldmap", {"Hz", "Total field relative to the centre frequency; 0 outside the unwrapped region", "field"}},
        {"desc-local_fieldmap", {"Hz", "Field of sources inside the mask; 0 where it was not reconstructed", "local_field"}},
        {"R2starmap", {"1/s", "Effective transverse relaxation rate; 0 where there is no signal", "r2star"}},
        {"T2starmap", {"s", "Effective transverse relaxation time, at most 1 s; 0 where there is no signal", "r2star"}},
        {"S0map", {"arbitrary", "Magnitude at echo time 0, in units of the images; 0 where there is no signal", "r2star"}},
        {"swi", {"arbitrary", "Susceptibility-weighted image: magnitude darkened by positive phase", "swi"}},
        {"minIP", {"arbitrary", "Smallest value of the susceptibility-weighted image over axial slabs of 7 mm, centred on "
                                "every slice", "swi"}},
        {"desc-sigma_fieldmap", {"Hz", "Standard deviation of the total field; 0 where the field is unknown", "field"}},
        {"desc-romeo_quality", {"1", "ROMEO phase quality, 0 to 1, in steps of 1/256", "phase"}},
    };
    return table.at(suffix);
}

// "bids:raw:sub-01/anat/...": the same words wherever the data set lies.
std::string source_uri(const fs::path& file)
{
    fs::path inside;
    for (const fs::path& part : file)
        if (!inside.empty() || part.string().starts_with("sub-")) inside /= part;
    return "bids:raw:" + (inside.empty() ? file.filename() : inside).generic_string();
}

// Some steps are left out when the data do not call for them: the options alone do not tell.
bool happened(const Method& method, const Chain& chain)
{
    const auto notes = chain.notes.value("phase", nlohmann::json::object());
    if (method.name == bipolar_method) return notes.value("bipolar_corrected", false);
    if (method.name == mcpc3ds_method || method.name == aspire_method)
        return notes.value("offset_method", "none") == method.name;
    if (method.stage == "r2star") return r2star_method(chain.spec.acquisition, chain.spec.options) == method.name;
    if (method.stage == "swi") return swi_method(chain.spec.acquisition, chain.spec.options) != "off";
    if (method.name == two_pass_method) return chain.notes.value("chi", nlohmann::json::object()).value("two_passes", false);
    if (method.name == null_space_method) {
        const auto chi = chain.notes.value("chi", nlohmann::json::object());
        const auto reports = chi.value("null_space", nlohmann::json::array());
        return std::any_of(reports.begin(), reports.end(), [](const auto& r) { return r.at("share").template get<double>() > 0.0; });
    }
    if (method.name == nonlinear_method) return chain.echo_times_s.size() > 1;
    return true;
}

std::vector<fs::path> sources_of(const io::Acquisition& acquisition)
{
    std::vector<fs::path> sources;
    for (const io::Echo& echo : acquisition.echoes)
        for (const io::ImageRef* image : {&echo.magnitude, &echo.phase, &echo.real, &echo.imaginary})
            if (image->present()) sources.push_back(image->file);
    std::sort(sources.begin(), sources.end());
    sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
    return sources;
}

}  // namespace

Json sidecar(const Chain& chain, const MapState& map, const std::string& suffix, const std::string& hash)
{
    const io::Acquisition& acquisition = chain.spec.acquisition;
    const Description& what = description_of(suffix);
    Json j;
    j["Description"] = what.text;
    j["Units"] = what.units;
    j["EchoTime"] = Json::array();
    for (const io::Echo& echo : acquisition.echoes)
        if (map.echo_number == 0 || echo.number == map.echo_number) j["EchoTime"].push_back(echo.echo_time_s);
    j["MagneticFieldStrength"] = acquisition.b0_tesla;
    j["B0DirectionVoxelAxes"] = acquisition.geometry.b0_direction_ijk();

    Json methods = Json::object(), parameters = Json::object(), findings = Json::object();
    Json warnings = acquisition.warnings;
    const nlohmann::json options = resolved(chain.spec.options);
    const std::vector<Method> used = methods_of(chain.spec.options);
    for (const Stage& stage : stage_table()) {
        for (const std::string& name : stage.options) parameters[name] = options.at(name);
        for (const Method& method : used)
            if (method.stage == stage.name && happened(method, chain)) methods[stage.name].push_back(method.name);
        if (chain.notes.contains(stage.name)) {
            Json notes = chain.notes.at(stage.name);
            if (const auto own = notes.find("warnings"); own != notes.end()) {
                for (const auto& warning : *own) warnings.push_back(warning);
                notes.erase("warnings");
            }
            notes.erase(phase_scaling_note);
            if (!notes.empty()) findings[stage.name] = std::move(notes);
        }
        if (std::string(stage.name) == what.last_stage) break;
    }
    j["Preset"] = chain.spec.options.preset;
    j["Method"] = std::move(methods);
    j["Parameters"] = std::move(parameters);
    j["Findings"] = std::move(findings);
    j["PhaseScaling"] = chain.notes.at("phase").at(phase_scaling_note);
    j["Sources"] = Json::array();
    for (const fs::path& file : sources_of(acquisition)) j["Sources"].push_back(source_uri(file));
    j["Warnings"] = std::move(warnings);
    j["GeneratedBy"] = {{"Name", "qsmpi"}, {"Version", version()}, {"Commit", commit()}};
    j["InputHash"] = chain.spec.input_hash;
    j["JobHash"] = hash;
    return j;
}

}  // namespace qsmpi::pipeline
