#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "qsmpi/comm/communicator.hpp"
#include "qsmpi/runtime/progress.hpp"

namespace qsmpi::runtime {

/// A job as the scheduler sees it: opaque payload for the child process, and its needs.
struct Job {
    std::string key;              ///< unique, e.g. "sub-01_ses-a_run-1"
    std::string hash;             ///< of everything it depends on; a changed hash runs again
    std::string payload;          ///< JSON handed to `qsmpi job` on its standard input; at most 15 MiB
    std::uint64_t memory_bytes = 0;
    double cost = 1.0;            ///< relative; longest first
    std::string refusal = {};     ///< why it cannot be run: then it is recorded as refused, and nothing else; empty: it can
};

struct RunOptions {
    std::filesystem::path output_dir;
    std::vector<std::string> child_command;   ///< e.g. {"/usr/bin/qsmpi", "job"}; see child.hpp for the contract
    /// For crashes, time-outs and the like; a failure that the job itself reports is final.
    int max_attempts = 2;
    double job_timeout_s = 0.0;               ///< 0: none but the straggler rule
    /// Seconds from now after which no job starts, nor before it one that is expected to end later; 0: none.
    double deadline_s = 0.0;
    int threads_per_job = 0;                  ///< 0: chosen from cores and number of jobs
    int max_jobs = 0;                         ///< concurrent jobs per node; 0: as cores and memory allow
    std::uint64_t memory_limit_bytes = 0;     ///< per node; 0: what the node reports
    bool force = false;                       ///< run jobs even when journal and outputs say done
    bool progress = true;
    std::function<void(const Progress&)> on_progress;  ///< empty: plain lines to the log
    int shard_index = 0;                      ///< of an array of independent runs on one output: this one takes
    int shard_count = 1;                      ///<   the jobs whose key hashes to shard_index modulo shard_count
    double beat_s = 2.0;                      ///< ranks show life this often
    double lost_after_s = 30.0;               ///< and are given up after so long a silence
};

inline constexpr int exit_all_done = 0;
inline constexpr int exit_some_failed = 1;
inline constexpr int exit_nothing_runs = 3;   ///< every job is refused
inline constexpr int exit_io = 4;             ///< the disk refused: the run stopped early, run again to finish
inline constexpr int exit_interrupted = 75;   ///< signal or deadline: run again to finish

/// Runs what is not done yet and blocks until the run ends. Rank 0 coordinates `jobs`; the other ranks pass an
/// empty list, supervise, and return 0. With one process both happen here.
///
/// Writes into output_dir: journal.jsonl (fsynced at every end of a job), logs/<key>.log, jobs.csv, and last of
/// all `status`, the exit code in one line (a shard adds ".<i>-of-<n>" before the extension).
/// Signals while it runs: INT, TERM, HUP stop at once and put running jobs back; USR1 lets running jobs end
/// first, a second signal does not. Ends communication: comm.finish() must not be called after it. When a rank
/// was lost, MPI is not finalized and the process should end by leave().
///
/// @param outputs_complete  tells whether the published files of a job that the journal calls done are still there
/// @return exit_all_done, exit_some_failed (also if some were refused), exit_nothing_runs, exit_io or exit_interrupted; also for
///         rank 0 with lost ranks
/// @throws InputError for bad options, a key that occurs twice, a job without key, or an output folder in use
/// @throws IoError if journal or status cannot be written; running jobs are ended first
[[nodiscard]] int run_jobs(comm::Communicator& comm, const std::vector<Job>& jobs, const RunOptions& options,
                           const std::function<bool(const Job&)>& outputs_complete = {});

/// The shard that does a job: from its key alone, so that adding jobs moves none.
[[nodiscard]] int shard_of(const std::string& key, int shard_count);

/// For rank 0 when there is nothing to run (bad input, --dry-run): releases the ranks that wait in run_jobs and
/// ends communication. Harmless with one process.
void dismiss(comm::Communicator& comm);

/// Flushes the standard streams and ends the process at once, without destructors: MPI may be left open.
[[noreturn]] void leave(int status);

/// True if the launcher keeps the other ranks alive when one dies (mpirun --enable-recovery).
[[nodiscard]] bool ranks_survive_a_death();

}  // namespace qsmpi::runtime
