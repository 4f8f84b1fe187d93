#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace qsmpi::runtime {

/// One job as the journals of an output folder tell it.
struct JobStatus {
    std::string key = {};
    std::string hash = {};
    std::string state = {};      ///< done | failed | refused | running | interrupted
    std::string cause = {};      ///< of a failure: reported, exit, signal, oom, timeout, lost, memory, ...
    std::string message = {};
    std::vector<std::string> warnings = {};
    double seconds = 0.0;        ///< of the latest attempt
    double total_seconds = 0.0;  ///< of all attempts whose end was told
    double peak_mb = 0.0;
    std::string host = {};
    int rank = 0;
    int threads = 0;
    int attempts = 0;       ///< times it was started, all runs together
    int rank_deaths = 0;    ///< times since its last end that it was running when a rank or a whole run died
    std::string time = {};       ///< of the latest event, UTC
};

/// A whole output folder: the journal of a run, or those of all the shards of an array, merged.
struct RunStatus {
    std::string state = "none";    ///< none | running | ended | interrupted | died
    std::optional<int> exit_code;  ///< of the latest run, if it ended
    std::size_t total = 0;
    std::size_t done = 0;
    std::size_t failed = 0;
    std::size_t refused = 0;       ///< could not be run at all
    std::size_t running = 0;
    std::size_t interrupted = 0;   ///< put back; the next run does them
    std::size_t lost_ranks = 0;    ///< in the latest run
    std::size_t damaged_lines = 0; ///< of the journals, skipped
    std::vector<JobStatus> jobs;   ///< by key; those never started are not listed

    [[nodiscard]] std::size_t pending() const
    {
        const std::size_t known = done + failed + refused + running + interrupted;
        return total > known ? total - known : 0;
    }
};

/// Reads OUT/journal*.jsonl, status and lock files; changes none of them, also while a run is going on.
/// @throws IoError if the folder cannot be read
[[nodiscard]] RunStatus read_status(const std::filesystem::path& output_dir);

/// A summary, a line for every job that is not done, and one for each warning of those that are.
[[nodiscard]] std::string status_text(const RunStatus& status);
/// Everything, as a JSON object.
[[nodiscard]] std::string status_json(const RunStatus& status);

}  // namespace qsmpi::runtime
