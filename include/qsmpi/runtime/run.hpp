#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "qsmpi/comm/communicator.hpp"

namespace qsmpi::runtime {

/// A job as the scheduler sees it: opaque payload for the child process, and its needs.
struct Job {
    std::string key;              ///< unique, e.g. "sub-01_ses-a_run-1"
    std::string hash;             ///< of everything it depends on; a changed hash runs again
    std::string payload;          ///< JSON handed to `qsmpi job` on its standard input
    std::uint64_t memory_bytes = 0;
    double cost = 1.0;            ///< relative; longest first
};

struct RunOptions {
    std::filesystem::path output_dir;
    std::vector<std::string> child_command;   ///< e.g. {"/usr/bin/qsmpi", "job"}; receives the payload on stdin
    int max_attempts = 2;                     ///< for failures of the job itself
    double job_timeout_s = 0.0;               ///< 0: none but the straggler rule
    double deadline_s = 0.0;                  ///< seconds from now after which no job starts; 0: none
    int threads_per_job = 0;                  ///< 0: chosen from cores and number of jobs
    int max_jobs = 0;                         ///< concurrent jobs per node; 0: as cores and memory allow
    std::uint64_t memory_limit_bytes = 0;     ///< per node; 0: what the node reports
    bool force = false;                       ///< run jobs even when journal and outputs say done
    bool progress = true;
};

/// Exit codes of hpc.md 5: 0 all done, 1 some failed, 75 interrupted (run again to finish).
/// Rank 0: coordinates `jobs`; other ranks pass an empty list and supervise. Blocks until the run ends.
/// `outputs_complete(job)` tells whether the published files of a done job are still there.
[[nodiscard]] int run_jobs(comm::Communicator& comm, const std::vector<Job>& jobs, const RunOptions& options,
                           const std::function<bool(const Job&)>& outputs_complete = {});

}  // namespace qsmpi::runtime
