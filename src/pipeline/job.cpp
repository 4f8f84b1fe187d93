#include "qsmpi/pipeline/job.hpp"

#include <nlohmann/json.hpp>

#include "chain.hpp"
#include "qsmpi/core/hash.hpp"

namespace qsmpi::pipeline {

using nlohmann::json;

std::string job_hash(const JobSpec& spec)
{
    Hasher hasher;
    hasher.add(stage_hashes(spec).back());
    hasher.add(spec.acquisition.prefix());
    return hasher.hex();
}

std::vector<OptionFile> option_files(const JobSpec& spec)
{
    std::vector<OptionFile> files;
    for (const std::filesystem::path& file : mask_files(spec)) files.push_back({"--mask", file});
    if (const auto reference = reference_file(spec)) files.push_back({"--reference", reference->file});
    return files;
}

void to_json(json& j, const JobSpec& s)
{
    j = {{"acquisition", s.acquisition},
         {"options", s.options},
         {"output_dir", s.output_dir.string()},
         {"input_hash", s.input_hash},
         {"wisdom_file", s.wisdom_file.string()},
         {"threads", s.threads},
         {"force", s.force}};
}

void from_json(const json& j, JobSpec& s)
{
    j.at("acquisition").get_to(s.acquisition);
    j.at("options").get_to(s.options);
    s.output_dir = j.at("output_dir").get<std::string>();
    j.at("input_hash").get_to(s.input_hash);
    s.wisdom_file = j.at("wisdom_file").get<std::string>();
    j.at("threads").get_to(s.threads);
    j.at("force").get_to(s.force);
}

void to_json(json& j, const JobResult& r)
{
    j = {{"state", r.state},       {"message", r.message}, {"outputs", r.outputs},
         {"warnings", r.warnings}, {"seconds", r.seconds}, {"peak_mb", r.peak_mb}};
    // Pairs in the order of the chain, not an object: that would be sorted by name.
    j["stage_seconds"] = json::array();
    for (const auto& [stage, seconds] : r.stage_seconds) j["stage_seconds"].push_back({stage, seconds});
}

void from_json(const json& j, JobResult& r)
{
    j.at("state").get_to(r.state);
    j.at("message").get_to(r.message);
    j.at("outputs").get_to(r.outputs);
    j.at("warnings").get_to(r.warnings);
    j.at("seconds").get_to(r.seconds);
    j.at("peak_mb").get_to(r.peak_mb);
    r.stage_seconds.clear();
    for (const json& pair : j.at("stage_seconds"))
        r.stage_seconds.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<double>());
}

}  // namespace qsmpi::pipeline
