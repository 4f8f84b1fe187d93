#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
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
    bool force = false;               ///< from the first stage, whatever outputs and record hold
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

/// Told when a stage begins (never for stages that the record already holds): its name and the part of the chain
/// that is done, in [0, 1].
using StageObserver = std::function<void(const std::string& stage, double fraction_done)>;

/// Runs the whole chain for one acquisition and publishes its outputs. Never throws for a failed job.
///
/// Stages whose hash is found in OUT_DIR/intermediates/<key>.h5 are not run again; a job whose outputs carry its hash
/// does nothing ("skipped"). Stages that finished before a failure stay in the record. With `force` all of it is done again.
///
/// A hook for tests: the environment variable QSMPI_INJECT="<fault>@<stage>[@<key>]" provokes a fault when that stage
/// begins (of that job only, if a key is given): segfault | hang | throw | oom (allocates until it is stopped).
[[nodiscard]] JobResult run_job(const JobSpec& spec, const StageObserver& observe = {});

/// Hash of everything the job depends on: inputs, options, program version. Equal hash and present outputs = done.
[[nodiscard]] std::string job_hash(const JobSpec& spec);
/// True if every file that a finished job leaves is there. Looks at names only: microseconds.
[[nodiscard]] bool outputs_complete(const JobSpec& spec);
/// Names of the stages in order: "phase", "unwrap", "field", "r2star", "mask", "local_field", "chi", "swi".
[[nodiscard]] std::vector<std::string> stage_names();

/// Peak memory estimate [bytes] and relative cost (voxels * echoes) from the header alone.
[[nodiscard]] std::uint64_t estimate_memory_bytes(const io::Acquisition& acquisition, const ChainOptions& options);
[[nodiscard]] double estimate_cost(const io::Acquisition& acquisition, const ChainOptions& options);

/// The raw data set that a dataset_description.json in the folder names as a local path, or "".
[[nodiscard]] std::filesystem::path described_raw_data(const std::filesystem::path& output_dir);

/// Writes dataset_description.json (BIDS derivative).
/// @param bids_dir  where the inputs are, for the dataset link "raw"; may be empty
/// @throws IoError if it cannot be written
void write_dataset_description(const std::filesystem::path& output_dir, const std::filesystem::path& bids_dir = {});
/// Writes methods.txt: what was done with these scans, in sentences, with the papers to cite. Scans of which the same can be said
/// share a paragraph; sidecars of other versions, which say nothing of it, are passed by.
/// @throws IoError if a sidecar cannot be read, or the file not be written
void write_methods(const std::filesystem::path& output_dir, const std::vector<std::filesystem::path>& map_sidecars);

/// An image that an option names, for this acquisition.
struct OptionFile {
    std::string option;  ///< as on the command line: "--mask"
    std::filesystem::path file;
};
/// Those of `mask` and `reference`, whether they are there or not.
[[nodiscard]] std::vector<OptionFile> option_files(const JobSpec& spec);

void to_json(nlohmann::json& j, const JobSpec& s);
void from_json(const nlohmann::json& j, JobSpec& s);
void to_json(nlohmann::json& j, const JobResult& r);
void from_json(const nlohmann::json& j, JobResult& r);

}  // namespace qsmpi::pipeline
