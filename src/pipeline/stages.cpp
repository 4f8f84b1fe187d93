#include <algorithm>
#include <utility>

#include "chain.hpp"
#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

using nlohmann::json;

// Everything that decides how phase becomes radians. Paths are left out: a moved data set is the same data set.
json input_facts(const JobSpec& spec)
{
    json echoes = json::array();
    for (const io::Echo& e : spec.acquisition.echoes) {
        json echo{{"echo_time_s", e.echo_time_s},
                  {"convention", e.phase_scaling.convention},
                  {"slope", e.phase_scaling.slope},
                  {"intercept", e.phase_scaling.intercept}};
        // Which echoes are odd matters to alternating readouts; where none is missing it goes without saying.
        if (e.number != static_cast<int>(echoes.size()) + 1) echo["number"] = e.number;
        for (const auto& [name, image] : {std::pair{"magnitude", &e.magnitude}, {"phase", &e.phase},
                                          {"real", &e.real}, {"imaginary", &e.imaginary}})
            if (image->present()) echo[name] = image->i_volume;
        echoes.push_back(std::move(echo));
    }
    return {{"inputs", spec.input_hash}, {"echoes", std::move(echoes)}};
}

json no_facts(const JobSpec&) { return json::object(); }

json mask_facts(const JobSpec& spec)
{
    json facts = json::object();
    for (const std::filesystem::path& file : mask_files(spec)) {
        // A missing file is reported by the stage, not here: hashes are also made for plans.
        std::error_code missing;
        facts["mask_files"].push_back(std::filesystem::exists(file, missing) ? hash_of(io::read_file(file)) : "missing");
    }
    return facts;
}

json reference_facts(const JobSpec& spec)
{
    const auto reference = reference_file(spec);
    if (!reference) return json::object();
    std::error_code missing;
    return {{"reference_file",
             std::filesystem::exists(reference->file, missing) ? hash_of(io::read_file(reference->file)) : "missing"}};
}

json field_strength(const JobSpec& spec) { return {{"b0_tesla", spec.acquisition.b0_tesla}}; }

std::vector<Product> phase_products(Chain& c)
{
    std::vector<Product> p{{.name = "quality", .unit = "1", .volume = &c.quality}};
    if (!c.spec.acquisition.echoes.empty() && has_magnitude(c.spec.acquisition))
        p.push_back({.name = "magnitude", .unit = "arbitrary", .volume = &c.magnitude_rss, .last_use = "swi"});
    return p;
}

std::vector<Product> no_products(Chain&) { return {}; }

// "field_hz", or "echo-2_field_hz" for the maps of single echoes.
std::string name_of(const MapState& map, const char* what)
{
    return map.echo_number == 0 ? what : str("echo-", map.echo_number, "_", what);
}

std::vector<Product> field_products(Chain& c)
{
    std::vector<Product> p;
    for (std::size_t i = 0; i < c.n_fields(); ++i) {
        p.push_back({.name = name_of(c.maps[i], "field_hz"), .unit = "Hz", .volume = &c.maps[i].field_hz});
        p.push_back({.name = name_of(c.maps[i], "sigma_hz"), .unit = "Hz", .volume = &c.maps[i].sigma_hz});
        p.push_back({.name = name_of(c.maps[i], "relative_residual"), .unit = "1", .volume = &c.maps[i].relative_residual,
                     .last_use = "chi", .optional = true});
    }
    return p;
}

// R2* waits for the inversion if that looks at it; as outputs both are read again, for the stages in between need memory.
std::vector<Product> r2star_products(Chain& c)
{
    const char* last_use = keeps_r2star(c.spec.options) ? "chi" : "mask";
    return {{.name = "r2star_per_s", .unit = "1/s", .volume = &c.r2star_per_s, .last_use = last_use, .optional = true,
             .published = true},
            {.name = "s0", .unit = "arbitrary", .volume = &c.s0, .last_use = "r2star", .optional = true, .published = true}};
}

std::vector<Product> mask_products(Chain& c)
{
    return {{.name = "mask", .unit = "1", .mask = &c.mask},
            {.name = "reliable_mask", .unit = "1", .mask = &c.reliable_mask, .last_use = "local_field", .optional = true}};
}

std::vector<Product> local_field_products(Chain& c)
{
    std::vector<Product> p;
    for (std::size_t i = 0; i < c.n_fields(); ++i) {
        p.push_back({.name = name_of(c.maps[i], "local_field_ppm"), .unit = "ppm", .volume = &c.maps[i].local_field_ppm});
        p.push_back({.name = name_of(c.maps[i], "mask"), .unit = "1", .mask = &c.maps[i].local_mask});
        p.push_back({.name = name_of(c.maps[i], "weight"), .unit = "1", .volume = &c.maps[i].local_weight,
                     .last_use = "chi", .optional = true});
    }
    for (MapState& map : c.reliable_maps) {
        const std::string name = name_of(map, "reliable_");
        p.push_back({.name = name + "local_field_ppm", .unit = "ppm", .volume = &map.local_field_ppm, .last_use = "chi",
                     .optional = true});
        p.push_back({.name = name + "mask", .unit = "1", .mask = &map.local_mask, .last_use = "chi", .optional = true});
        p.push_back({.name = name + "weight", .unit = "1", .volume = &map.local_weight, .last_use = "chi", .optional = true});
    }
    return p;
}

std::vector<Product> chi_products(Chain& c)
{
    std::vector<Product> p;
    for (MapState& map : c.maps)
        p.push_back({.name = name_of(map, "chi_ppm"), .unit = "ppm", .volume = &map.chi_ppm});
    return p;
}

std::vector<Product> swi_products(Chain& c)
{
    return {{.name = "swi", .unit = "arbitrary", .volume = &c.swi, .optional = true}};
}

}  // namespace

const std::vector<Stage>& stage_table()
{
    static const std::vector<Stage> table{
        {"phase", 2, 0.15, {"bipolar", "offset_removal", "offset_method", "offset_sigma_mm"},
         input_facts, run_phase, phase_products, true},
        {"unwrap", 3, 0.10, {"unwrapping"}, no_facts, run_unwrap, no_products, true},
        {"field", 2, 0.10, {"field_map", "per_echo"}, no_facts, run_field, field_products, true},
        {"r2star", 1, 0.02, {"r2star"}, no_facts, run_r2star, r2star_products},
        {"mask", 3, 0.10, {"mask", "mask_quality_threshold", "mask_erosion_mm", "two_pass"}, mask_facts, run_mask, mask_products},
        {"local_field", 9, 0.25,
         {"background", "background_radius_mm", "background_rounds", "background_cleanup", "inversion_edges"},
         field_strength, run_local_field, local_field_products},
        {"chi", 4, 0.23, {"inversion", "inversion_lambda", "null_space", "reference"}, reference_facts, run_chi, chi_products},
        {"swi", 1, 0.0, {"swi"}, no_facts, run_swi, swi_products},
    };
    return table;
}

void let_go(Chain& chain, const std::string& finished)
{
    for (const Stage& stage : stage_table())
        for (const Product& p : stage.products(chain)) {
            if (p.last_use != finished) continue;
            if (p.volume) p.volume->reset();
            if (p.mask) p.mask->reset();
        }
}

std::vector<std::string> stage_names()
{
    std::vector<std::string> names;
    for (const Stage& stage : stage_table()) names.emplace_back(stage.name);
    return names;
}

std::vector<std::string> stage_hashes(const JobSpec& spec)
{
    const json options = resolved(spec.options);
    std::vector<std::string> hashes;
    for (const Stage& stage : stage_table()) {
        json own = json::object();
        for (const std::string& name : stage.options) own[name] = options.at(name);
        Hasher hasher;
        hasher.add(hashes.empty() ? str("qsmpi ", version()) : hashes.back());
        hasher.add(str(stage.name, " ", stage.revision));
        hasher.add(own.dump());
        hasher.add(stage.facts(spec).dump());
        hashes.push_back(hasher.hex());
    }
    return hashes;
}

Chain::Chain(const JobSpec& job) : spec(job) { restart(); }

void Chain::restart()
{
    magnitude.clear();
    phase_rad.clear();
    domain = {};
    quality = magnitude_rss = nullptr;
    r2star_per_s = s0 = swi = nullptr;
    mask = given_mask = reliable_mask = nullptr;
    maps.clear();
    notes = nlohmann::json::object();
    echo_times_s.clear();
    used_echoes.clear();
    for (const io::Echo& echo : spec.acquisition.echoes) {
        echo_times_s.push_back(echo.echo_time_s);
        used_echoes.push_back(echo.number);
    }
    used_times_s = echo_times_s;
    if (spec.options.per_echo && echo_times_s.size() > 1) {
        for (const io::Echo& echo : spec.acquisition.echoes) maps.emplace_back().echo_number = echo.number;
    }
    maps.emplace_back();
    reliable_maps.clear();
    if (spec.options.two_pass == "off") return;
    for (std::size_t i = 0; i < n_fields(); ++i) reliable_maps.emplace_back().echo_number = maps[i].echo_number;
}

std::size_t Chain::n_fields() const { return maps.size() == 1 ? 1 : maps.size() - 1; }

void Chain::warn(const std::string& message)
{
    log::warn(message);
    notes[stage]["warnings"].push_back(message);
}

}  // namespace qsmpi::pipeline
