#include "qsmpi/runtime/run.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <string_view>

#include <unistd.h>

#include "lock.hpp"
#include "loop.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/log.hpp"
#include "records.hpp"

namespace qsmpi::runtime {
namespace {

constexpr double dismissal_patience_s = 30.0;
constexpr double lost_patience_s = 0.5;
constexpr double stopped_patience_s = 0.2;

void check(const RunOptions& o)
{
    require(!o.output_dir.empty(), "no output folder was given");
    require(!o.child_command.empty(), "no command for the jobs was given");
    require(o.max_attempts >= 1, str("max_attempts is ", o.max_attempts, ", must be at least 1"));
    require(o.threads_per_job >= 0 && o.max_jobs >= 0, "threads_per_job and max_jobs must not be negative; 0 means chosen");
    require(o.job_timeout_s >= 0 && o.deadline_s >= 0, "job_timeout_s and deadline_s must not be negative; 0 means none");
    require(o.shard_count >= 1 && o.shard_index >= 0 && o.shard_index < o.shard_count,
            str("shard ", o.shard_index, " of ", o.shard_count, " does not exist; the first of n is 0, the last n - 1"));
    require(o.beat_s > 0 && o.lost_after_s > 2 * o.beat_s,
            str("lost_after_s ", o.lost_after_s, " must be more than twice beat_s ", o.beat_s));
}

/// Ends the other ranks' supervision, then communication.
void dismiss_all(comm::Communicator& comm, const std::set<int>& lost, double patience_s)
{
    const auto tell_all = [&](const wire::Frame& frame) {
        for (int rank = 1; rank < comm.size(); ++rank) comm.send(rank, wire::encode(frame));
    };
    std::set<int> waiting;
    for (int rank = 1; rank < comm.size(); ++rank) waiting.insert(rank);
    tell_all({.type = wire::Type::dismiss});
    // Lost ranks may have been slow only and answer too, but are worth no long wait.
    const double begin_s = steady_now_s();
    const auto patience_left = [&] {
        const bool only_lost = std::includes(lost.begin(), lost.end(), waiting.begin(), waiting.end());
        return steady_now_s() - begin_s < (only_lost ? std::min(patience_s, lost_patience_s) : patience_s);
    };
    while (!waiting.empty() && patience_left()) {
        while (const auto message = comm.receive()) {
            try {
                if (wire::decode(message->bytes).type == wire::Type::goodbye) waiting.erase(message->source);
            } catch (const CommError&) {
                continue;  // whoever sent it is not leaving
            }
        }
        usleep(500);
    }
    tell_all({.type = wire::Type::release, .body = waiting.empty() ? "all" : "some"});
    comm.finish(waiting.empty());
}

int coordinate(comm::Communicator& comm, const std::vector<Job>& jobs, const RunOptions& options,
               const std::function<bool(const Job&)>& outputs_complete, std::set<int>& lost, bool& stopped)
{
    check(options);
    std::filesystem::create_directories(options.output_dir);
    const RunFiles files(options.output_dir, {options.shard_index, options.shard_count});
    RunLock lock(files, [](double seconds) { usleep(static_cast<useconds_t>(seconds * 1e6)); });

    const Plan plan = make_plan(files, jobs, options.force, outputs_complete);
    const int best_code = plan.refused == 0                              ? exit_all_done
                          : plan.todo.empty() && plan.up_to_date == 0 ? exit_nothing_runs
                                                                      : exit_some_failed;
    if (plan.todo.empty()) {
        log::info(str("nothing to do: ", plan.up_to_date, " of ", plan.up_to_date + plan.refused, " jobs are up to date",
                      plan.refused == 0 ? "" : str(", ", plan.refused, " refused")));
        if (plan.newly_refused.empty()) {
            write_status(files, best_code);
        } else {
            Records(files, plan).finish(best_code, 0);
        }
        return best_code;
    }
    if (comm.size() > 1) {
        log::info(str(comm.size(), " ranks; ",
                      ranks_survive_a_death() ? "if one dies, its jobs are given to others"
                                              : "if one dies, the launcher ends the run: start it again to do the rest"));
    }
    Records records(files, plan);
    Loop loop(comm, files, options);
    try {
        int code = loop.coordinate(plan, records, [&](double now_s) { lock.beat(now_s); });
        if (code == exit_all_done) code = best_code;
        lost = loop.lost_ranks();
        stopped = loop.was_stopped();
        records.finish(code, lost.size());
        if (code == exit_io)
            log::error(str("the disk refuses to be written (", records.disk_message(), "); repair that and run again to finish"));
        if (code == exit_interrupted) log::warn("interrupted; run again to finish the rest");
        if (!lost.empty()) log::warn(str("degraded: ", lost.size(), " of ", comm.size(), " ranks were lost"));
        return code;
    } catch (...) {
        lost = loop.lost_ranks();
        throw;
    }
}

}  // namespace

int run_jobs(comm::Communicator& comm, const std::vector<Job>& jobs, const RunOptions& options,
             const std::function<bool(const Job&)>& outputs_complete)
{
    if (comm.rank() != 0) {
        Loop loop(comm, RunFiles(options.output_dir), options);
        comm.finish(loop.supervise());
        return exit_all_done;
    }
    std::set<int> lost;
    bool stopped = false;
    int code = exit_all_done;
    try {
        code = coordinate(comm, jobs, options, outputs_complete, lost, stopped);
    } catch (...) {
        try {
            dismiss_all(comm, lost, dismissal_patience_s);
        } catch (const CommError& e) {
            log::error(str("the other ranks could not be told: ", e.what()));
        }
        throw;
    }
    dismiss_all(comm, lost, stopped ? stopped_patience_s : dismissal_patience_s);
    return code;
}

void dismiss(comm::Communicator& comm)
{
    if (comm.rank() == 0) dismiss_all(comm, {}, dismissal_patience_s);
}

void leave(int status)
{
    std::fflush(nullptr);
    _exit(status);
}

bool ranks_survive_a_death()
{
    const char* value = std::getenv("OMPI_MCA_orte_enable_recovery");
    return value != nullptr && std::string_view(value) != "0" && std::string_view(value) != "false";
}

}  // namespace qsmpi::runtime
