#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "qsmpi/runtime/coordinator.hpp"
#include "qsmpi/runtime/journal.hpp"
#include "qsmpi/runtime/run.hpp"
#include "run_files.hpp"

namespace qsmpi::runtime {

/// Jobs of a run that are not done yet, and what earlier runs say of them.
struct Plan {
    std::vector<const Job*> todo;
    std::vector<Task> tasks;        ///< the same jobs, for the coordinator
    std::size_t up_to_date = 0;
    std::size_t refused = 0;
    std::vector<const Job*> newly_refused;   ///< those of them whose refusal no journal tells yet
    std::map<std::string, JobStatus> known;  ///< of every job in the journals
};

/// Reads the journals and picks what has to run: jobs of this shard without a record of success for the same hash,
/// or whose outputs are gone. @throws InputError for an empty or repeated key, IoError
[[nodiscard]] Plan make_plan(const RunFiles& files, const std::vector<Job>& jobs, bool force,
                             const std::function<bool(const Job&)>& outputs_complete);

/// All that the coordinator writes: journal, jobs.csv, status.
class Records {
public:
    Records(const RunFiles& files, const Plan& plan);

    void started(const Job& job, const coordinator::StartJob& start, const std::string& host);
    /// One line for people, empty if the end is nothing to tell.
    [[nodiscard]] std::string ended(const Job& job, const coordinator::JobEnded& end, const std::string& host);
    /// Makes all of the above durable, and now and then writes jobs.csv.
    void commit(double now_s);
    void finish(int exit_code, std::size_t lost_ranks);

    /// What a job said whose output the disk refused; empty: none did.
    [[nodiscard]] const std::string& disk_message() const { return disk_message_; }

private:
    void write_csv();

    RunFiles files_;
    std::string disk_message_;
    std::map<std::string, JobStatus> jobs_;  ///< rows of jobs.csv
    Journal journal_;
    bool csv_is_old_ = false;
    double csv_written_s_ = 0.0;
};

/// Writes the exit code, the last act of a run.
void write_status(const RunFiles& files, int exit_code);

/// A table (RFC 4180). Seconds are those of the latest attempt, then those of all; warnings are joined by " | ".
[[nodiscard]] std::string csv_of(const std::map<std::string, JobStatus>& jobs);

}  // namespace qsmpi::runtime
