#include "qsmpi/io/phase_image.hpp"

#include <nlohmann/json.hpp>

#include "phase_scaling.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io
{

namespace
{

/// "x.json" beside "x.nii" or "x.nii.gz"; an empty object if there is none that can be read.
nlohmann::json sidecar_of(fs::path file)
{
    if (file.extension() == ".gz") file.replace_extension();
    file.replace_extension(".json");
    std::error_code absent;
    if (!fs::exists(file, absent)) return nlohmann::json::object();
    auto sidecar = nlohmann::json::parse(read_file(file), nullptr, false);
    return sidecar.is_object() ? std::move(sidecar) : nlohmann::json::object();
}

std::string text_in(const nlohmann::json& sidecar, const char* key)
{
    const auto found = sidecar.find(key);
    return found != sidecar.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Image read_phase(const fs::path& file, const std::string& phase_units)
{
    NiftiHeader header = read_nifti_header(file);
    require_one_volume(file, header);
    const nlohmann::json sidecar = sidecar_of(file);
    const PhaseFacts facts{text_in(sidecar, "Units"), text_in(sidecar, "Manufacturer"), &header};
    Acquisition scan;
    Echo& echo = scan.echoes.emplace_back();
    echo.phase.file = file;
    std::optional<PhaseProblem> problem;
    echo.phase_scaling = decide_phase_scaling(facts, phase_units, problem);
    if (problem)
        throw InputError(Finding{Severity::error, "", file.string(), problem->field, problem->value, problem->problem, problem->remedy}
                             .line());
    VolumeF phase_rad = std::move(read_echoes(scan).front().phase_rad);
    for (const std::string& warning : scan.warnings) log::warn(str(file.string(), ": ", warning));
    return {std::move(phase_rad), std::move(header)};
}

}  // namespace qsmpi::io
