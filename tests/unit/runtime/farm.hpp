#pragma once
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "qsmpi/runtime/coordinator.hpp"

namespace qsmpi::runtime {

inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

[[nodiscard]] inline NodeReport node(const std::string& host, std::vector<int> cores, std::uint64_t memory = 8 * gib)
{
    return {.host = host, .pid = 1, .start_ticks = 1, .cores = std::move(cores), .memory_bytes = memory};
}

/// A coordinator with a clock, and what it commanded last.
class Farm {
public:
    Farm(std::vector<Task> tasks, CoordinatorOptions options = {})
        : coordinator_(options, std::move(tasks), 0.0), n_ranks_(options.n_ranks)
    {
    }

    /// All on one node, each with cores of its own.
    void everyone_joins(int cores_each = 1)
    {
        for (int rank = 0; rank < n_ranks_; ++rank) {
            std::vector<int> cores;
            for (int c = 0; c < cores_each; ++c) cores.push_back(rank * cores_each + c);
            join(rank, node("a", cores));
        }
    }

    void join(int rank, const NodeReport& report) { send(coordinator::Joined{rank, report}); }
    void end(const coordinator::StartJob& start, Cause cause = Cause::none, double seconds = 1.0)
    {
        send(coordinator::Ended{start.slot.rank, start.job, start.attempt, {.cause = cause, .seconds = seconds}});
    }
    template <typename What>
    void send(const What& what)
    {
        last_ = coordinator_.on({now_s, what});
        for (const coordinator::Command& c : last_) {
            if (const auto* s = std::get_if<coordinator::StartJob>(&c)) started.push_back(*s);
            if (const auto* e = std::get_if<coordinator::JobEnded>(&c)) ended.push_back(*e);
            if (const auto* k = std::get_if<coordinator::KillJob>(&c)) killed.push_back(*k);
            if (const auto* l = std::get_if<coordinator::RankLost>(&c)) lost.push_back(l->rank);
            if (std::holds_alternative<coordinator::AllOver>(c)) ++n_over;
        }
    }
    /// Lets time pass; ranks in `silent` show no life.
    void pass(double seconds, const std::set<int>& silent = {})
    {
        for (double end_s = now_s + seconds; now_s < end_s;) {
            now_s += 1.0;
            for (int rank = 1; rank < n_ranks_; ++rank) {
                if (silent.count(rank) == 0) send(coordinator::Heard{rank});
            }
            send(coordinator::Tick{});
        }
    }
    [[nodiscard]] const Coordinator& state() const { return coordinator_; }

    double now_s = 0.0;
    std::vector<coordinator::StartJob> started;
    std::vector<coordinator::JobEnded> ended;
    std::vector<coordinator::KillJob> killed;
    std::vector<int> lost;
    int n_over = 0;

private:
    Coordinator coordinator_;
    int n_ranks_;
    std::vector<coordinator::Command> last_;
};

[[nodiscard]] inline std::vector<Task> tasks(std::vector<double> costs)
{
    std::vector<Task> out;
    for (const double c : costs) out.push_back({.memory_bytes = gib / 8, .cost = c});
    return out;
}

}  // namespace qsmpi::runtime
