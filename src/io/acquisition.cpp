#include <algorithm>

#include <nlohmann/json.hpp>

#include "bids_name.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/bids.hpp"

namespace qsmpi::io
{

using nlohmann::json;

fs::path Acquisition::folder() const
{
    fs::path out = "sub-" + subject;
    if (!session.empty()) out /= "ses-" + session;
    return out / "anat";
}

std::string Acquisition::prefix() const
{
    std::vector<std::pair<std::string, std::string>> ordered(entities.begin(), entities.end());
    std::stable_sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) {
        return entity_rank(a.first) < entity_rank(b.first);
    });
    std::string out = "sub-" + subject;
    if (!session.empty()) out += "_ses-" + session;
    for (const auto& [name, value] : ordered) out += "_" + name + "-" + value;
    return out;
}

std::vector<fs::path> Acquisition::files() const
{
    std::vector<fs::path> out;
    for (const Echo& echo : echoes) {
        for (const ImageRef* ref : {&echo.magnitude, &echo.phase, &echo.real, &echo.imaginary}) {
            if (ref->present()) out.push_back(ref->file);
        }
    }
    if (!t1w.empty()) out.push_back(t1w);
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

std::string Finding::line() const
{
    return acquisition.empty() ? text() : acquisition + ": " + text();
}

std::string Finding::text() const
{
    std::string out = file.empty() ? "" : file + ": ";
    if (!field.empty()) out += value.empty() ? field + ": " : field + " = " + value + ": ";
    if (field.empty() && !value.empty()) out += value + ": ";
    out += problem;
    return remedy.empty() ? out : out + "; " + remedy;
}

static void to_json(json& j, const ImageRef& r)
{
    j = {{"file", r.file.string()}, {"i_volume", r.i_volume}};
}

static void from_json(const json& j, ImageRef& r)
{
    r.file = j.at("file").get<std::string>();
    j.at("i_volume").get_to(r.i_volume);
}

static void to_json(json& j, const PhaseScaling& s)
{
    j = {{"slope", s.slope},     {"intercept", s.intercept},   {"reason", s.reason},
         {"assumed", s.assumed}, {"convention", s.convention}, {"settled", s.settled}};
}

static void from_json(const json& j, PhaseScaling& s)
{
    j.at("slope").get_to(s.slope);
    j.at("intercept").get_to(s.intercept);
    j.at("reason").get_to(s.reason);
    j.at("assumed").get_to(s.assumed);
    j.at("convention").get_to(s.convention);
    j.at("settled").get_to(s.settled);
}

static void to_json(json& j, const Echo& e)
{
    j = {{"number", e.number},
         {"echo_time_s", e.echo_time_s},
         {"magnitude", e.magnitude},
         {"phase", e.phase},
         {"real", e.real},
         {"imaginary", e.imaginary},
         {"phase_scaling", e.phase_scaling}};
}

static void from_json(const json& j, Echo& e)
{
    j.at("number").get_to(e.number);
    j.at("echo_time_s").get_to(e.echo_time_s);
    j.at("magnitude").get_to(e.magnitude);
    j.at("phase").get_to(e.phase);
    j.at("real").get_to(e.real);
    j.at("imaginary").get_to(e.imaginary);
    j.at("phase_scaling").get_to(e.phase_scaling);
}

/// JSON has no NaN: it is written as null.
static float float_from(const json& j)
{
    return j.is_null() ? std::numeric_limits<float>::quiet_NaN() : j.get<float>();
}

static void to_json(json& j, const Geometry& g)
{
    const Dims& d = g.grid.dims;
    j = {{"dims", {d.nx, d.ny, d.nz}},
         {"voxel_mm", g.grid.voxel_mm},
         {"sform", g.sform},
         {"qform", g.qform},
         {"qfac", g.qfac},
         {"pixdim_mm", g.pixdim_mm},
         {"sform_code", g.sform_code},
         {"qform_code", g.qform_code},
         {"xyzt_units", static_cast<int>(g.xyzt_units)}};
    if (g.given_b0_direction_ijk) j["given_b0_direction_ijk"] = *g.given_b0_direction_ijk;
}

static void from_json(const json& j, Geometry& g)
{
    const auto dims = j.at("dims").get<std::array<std::size_t, 3>>();
    g.grid.dims = {dims[0], dims[1], dims[2]};
    j.at("voxel_mm").get_to(g.grid.voxel_mm);
    for (std::size_t i = 0; i < 12; ++i)
        g.sform[i / 4][i % 4] = float_from(j.at("sform").at(i / 4).at(i % 4));
    for (std::size_t i = 0; i < 6; ++i) g.qform[i] = float_from(j.at("qform").at(i));
    g.qfac = float_from(j.at("qfac"));
    j.at("pixdim_mm").get_to(g.pixdim_mm);
    j.at("sform_code").get_to(g.sform_code);
    j.at("qform_code").get_to(g.qform_code);
    g.xyzt_units = static_cast<char>(j.at("xyzt_units").get<int>());
    g.given_b0_direction_ijk.reset();
    if (const auto given = j.find("given_b0_direction_ijk"); given != j.end())
        g.given_b0_direction_ijk = given->get<UnitVector>();
}

void to_json(json& j, const Acquisition& a)
{
    j = {{"key", a.key},           {"subject", a.subject},   {"session", a.session},
         {"suffix", a.suffix},     {"entities", a.entities}, {"echoes", a.echoes},
         {"b0_tesla", a.b0_tesla}, {"geometry", a.geometry}, {"t1w", a.t1w.string()},
         {"warnings", a.warnings}};
}

void from_json(const json& j, Acquisition& a)
{
    j.at("key").get_to(a.key);
    j.at("subject").get_to(a.subject);
    j.at("session").get_to(a.session);
    j.at("suffix").get_to(a.suffix);
    a.entities = j.at("entities").get<std::map<std::string, std::string>>();
    a.echoes = j.at("echoes").get<std::vector<Echo>>();
    j.at("b0_tesla").get_to(a.b0_tesla);
    j.at("geometry").get_to(a.geometry);
    a.t1w = j.at("t1w").get<std::string>();
    a.warnings = j.at("warnings").get<std::vector<std::string>>();
}

void to_json(json& j, const Finding& f)
{
    j = {{"severity", f.severity == Severity::error ? "error" : "warning"},
         {"acquisition", f.acquisition},
         {"file", f.file},
         {"field", f.field},
         {"value", f.value},
         {"problem", f.problem},
         {"remedy", f.remedy},
         {"line", f.line()}};
}

void to_json(json& j, const ImageDecision& d)
{
    const char* const use = d.use == Use::used ? "used" : d.use == Use::ignored ? "ignored" : "refused";
    j = {{"file", d.file}, {"use", use}, {"reason", d.reason}};
}

}  // namespace qsmpi::io
