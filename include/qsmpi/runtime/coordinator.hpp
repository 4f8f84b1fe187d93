#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "qsmpi/runtime/outcome.hpp"
#include "qsmpi/runtime/placement.hpp"
#include "qsmpi/runtime/resources.hpp"

/// Who runs what, where and how often: a plain state machine without clock, process or message of its own.
namespace qsmpi::runtime {

/// A job as the coordinator plans it.
struct Task {
    std::uint64_t memory_bytes = 0;
    double cost = 1.0;
    int rank_deaths = 0;      ///< in earlier runs
};

struct CoordinatorOptions {
    int n_ranks = 1;
    int max_attempts = 2;
    int max_rank_deaths = 5;
    double job_timeout_s = 0.0;        ///< 0: by the straggler rule
    double straggler_factor = 10.0;    ///< a job may take so many times what those done took for their cost ...
    double straggler_floor_s = 600.0;  ///< ... and never less than this
    double deadline_s = 0.0;           ///< on the clock of the events; 0: none
    double lost_after_s = 30.0;
    double stop_patience_s = 5.0;      ///< for supervisors to report what they were told to kill
    PlacementOptions placement = {};
};

namespace coordinator {

// Events: what happens to the coordinator.
struct Joined { int rank; NodeReport node; };
struct Heard { int rank; };                          ///< any sign of life
struct Ended { int rank; std::size_t job; int attempt; Outcome outcome; };
struct Withdrew { int rank; };                       ///< takes no more jobs; those it had it has reported
struct Left { int rank; };                           ///< answered the dismissal
struct StopRequested { bool kill_running; };
struct Tick {};                                      ///< time passed
struct Event {
    double now_s;
    std::variant<Joined, Heard, Ended, Withdrew, Left, StopRequested, Tick> what;
};

// Commands: what the coordinator wants done.
struct StartJob { std::size_t job; int attempt; Slot slot; };
struct KillJob { int rank; std::size_t job; int attempt; Cause cause; };
/// An attempt ended (done: cause none). `final` tells whether the job will be tried again in this run.
struct JobEnded { std::size_t job; int attempt; Slot slot; Outcome outcome; bool final; };
struct RankLost { int rank; };
struct AllOver {};                                   ///< nothing runs and nothing more will: dismiss everyone
using Command = std::variant<StartJob, KillJob, JobEnded, RankLost, AllOver>;

}  // namespace coordinator

class Coordinator {
public:
    Coordinator(const CoordinatorOptions& options, std::vector<Task> tasks, double now_s);

    [[nodiscard]] std::vector<coordinator::Command> on(const coordinator::Event& event);

    [[nodiscard]] std::size_t n_done() const { return n_done_; }
    [[nodiscard]] std::size_t n_failed() const { return n_failed_; }
    [[nodiscard]] std::size_t n_running() const { return running_.size(); }
    [[nodiscard]] bool disk_refused() const { return disk_refused_; }
    [[nodiscard]] bool over() const { return over_; }
    [[nodiscard]] const std::set<int>& lost_ranks() const { return lost_; }
    [[nodiscard]] const std::set<int>& left_ranks() const { return left_; }
    /// Seconds still to go, from the cost done so far; < 0 if unknown.
    [[nodiscard]] double eta_s(double now_s) const;

private:
    struct State {
        Task task;
        int attempt = 0;        ///< number of the latest one: stale reports carry another
        int failures = 0;
        bool alone = false;
        bool ended = false;
        int passed_over = 0;    ///< by jobs placed while this one led the queue
    };
    struct Running {
        int attempt = 0;
        Slot slot;
        Need need;
        double started_s = 0.0;
        bool kill_sent = false;
    };
    using Commands = std::vector<coordinator::Command>;

    void handle(const coordinator::Joined& e, Commands& out);
    void handle(const coordinator::Heard& e, Commands& out);
    void handle(const coordinator::Ended& e, Commands& out);
    void handle(const coordinator::Withdrew& e, Commands& out);
    void handle(const coordinator::Left& e, Commands& out);
    void handle(const coordinator::StopRequested& e, Commands& out);
    void handle(const coordinator::Tick& e, Commands& out);

    void dispatch(Commands& out);
    bool try_start(std::size_t job, Commands& out);
    void end_attempt(std::size_t job, const Outcome& outcome, Commands& out);
    void put_back(std::size_t job);
    void fail_unstarted(std::size_t job, Cause cause, const std::string& message, Commands& out);
    void drop_rank(int rank, Cause cause, const std::string& why, Commands& out);
    void check_silence(Commands& out);
    void check_times(Commands& out);
    void finish_if_over(Commands& out);
    [[nodiscard]] bool everyone_known() const;
    [[nodiscard]] double seconds_per_cost() const;  ///< median of those done, one thread; 0: unknown
    [[nodiscard]] double time_limit_s(std::size_t job) const;
    [[nodiscard]] bool fits_before_deadline(std::size_t job) const;

    /// Jobs that want a node alone come first, as they need it drained; then longest first; then as given.
    using QueueKey = std::tuple<int, double, std::size_t>;
    [[nodiscard]] QueueKey queue_key(std::size_t job) const;

    CoordinatorOptions options_;
    std::vector<State> states_;
    std::set<QueueKey> pending_;
    std::map<std::size_t, Running> running_;
    Placement placement_;
    std::map<int, double> heard_s_;      ///< of the ranks that joined
    std::set<int> lost_, left_, withdrawn_;
    std::vector<double> rates_;          ///< sorted seconds per cost of the jobs done
    double now_s_ = 0.0;
    double begin_s_ = 0.0;
    int threads_of_last_ = 1;
    double cost_done_ = 0.0;
    double cost_total_ = 0.0;
    std::size_t n_done_ = 0;
    std::size_t n_failed_ = 0;
    bool draining_ = false;              ///< no new jobs
    bool killing_ = false;
    double kill_began_s_ = 0.0;
    bool disk_refused_ = false;
    bool over_ = false;
};

}  // namespace qsmpi::runtime
