#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/io/bids.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::pipeline {

/// One unit of work, complete and self-contained: what a child process is given as JSON.
struct JobSpec {
    io::Acquisition acquisition;
    ChainOptions options;
    std::filesystem::path output_dir;
    std::string input_hash;           ///< content hash of all input files (32 hex digits)
    std::filesystem::path wisdom_file;
    int threads = 1;
};

/// What a finished job says. States other than done carry a one-line message with subject and stage.
struct JobResult {
    std::string state = "done";       ///< done | failed | skipped (everything was up to date)
    std::string message;
    std::vector<std::string> outputs; ///< relative to output_dir
    std::vector<std::string> warnings;
    double seconds = 0.0;
    double peak_mb = 0.0;
    std::vector<std::pair<std::string, double>> stage_seconds;
};

using StageObserver = std::function<void(const std::string& stage, double fraction_done)>;

/// Runs the whole chain for one acquisition and publishes its outputs. Never throws for a failed job.
[[nodiscard]] JobResult run_job(const JobSpec& spec, const StageObserver& observe = {});

/// Hash of everything the job depends on: inputs, options, program version. Equal hash and present outputs = done.
[[nodiscard]] std::string job_hash(const JobSpec& spec);
/// Peak memory estimate [bytes] and relative cost (voxels * echoes) from the header alone.
[[nodiscard]] std::uint64_t estimate_memory_bytes(const io::Acquisition& acquisition, const ChainOptions& options);
[[nodiscard]] double estimate_cost(const io::Acquisition& acquisition, const ChainOptions& options);

void to_json(nlohmann::json& j, const JobSpec& s);
void from_json(const nlohmann::json& j, JobSpec& s);
void to_json(nlohmann::json& j, const JobResult& r);
void from_json(const nlohmann::json& j, JobResult& r);

}  // namespace qsmpi::pipeline
