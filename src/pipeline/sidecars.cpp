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

Account account_of(const Chain& chain, const std::function<bool(const std::string&)>& ran, const std::string& last_stage)
{
    Account account{Json::object(), Json::object(), Json::object(), Json::array()};
    const nlohmann::json options = resolved(chain.spec.options);
    const std::vector<Method> chosen = methods_of(chain);
    for (const Stage& stage : stage_table()) {
        Json notes = chain.notes.value(stage.name, nlohmann::json::object());
        if (ran(stage.name)) {
            for (const std::string& name : stage.options) account.parameters[name] = options.at(name);
            const Json used = notes.value(used_note, Json::object());
            for (const auto& [name, value] : used.items()) account.parameters[name] = value;
            for (const Method& method : chosen)
                if (method.stage == stage.name) account.methods[stage.name].push_back(method.name);
        }
        for (const auto& warning : notes.value("warnings", Json::array())) account.warnings.push_back(warning);
        for (const char* shown_elsewhere : {"warnings", used_note, phase_scaling_note}) notes.erase(shown_elsewhere);
        if (!notes.empty()) account.findings[stage.name] = std::move(notes);
        if (stage.name == last_stage) break;
    }
    return account;
}

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

    Account account = account_of(chain, [](const std::string&) { return true; }, what.last_stage);
    Json warnings = acquisition.warnings;
    warnings.insert(warnings.end(), account.warnings.begin(), account.warnings.end());
    j["Preset"] = chain.spec.options.preset;
    j["Method"] = std::move(account.methods);
    if (suffix == "Chimap" && map.echo_number == 0) {
        for (const Method& method : methods_of(chain)) {
            Json& sentence = j[sentences_key].emplace_back(Json{{"Sentence", method.sentence}});
            if (!method.citation.empty()) sentence["Reference"] = method.citation;
        }
    }
    j["Parameters"] = std::move(account.parameters);
    j["Findings"] = std::move(account.findings);
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
