#include "qsmpi/runtime/coordinator.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {

using namespace coordinator;

namespace {

constexpr std::size_t scan_limit = 256;     // of the queue, for a job that fits into the memory that is left
constexpr std::size_t rates_needed = 3;     // jobs done before their times are used to judge others

std::string gib(std::uint64_t bytes)
{
    return str(std::round(static_cast<double>(bytes) / (1 << 30) * 100.0) / 100.0, " GiB");
}

}  // namespace

Coordinator::Coordinator(const CoordinatorOptions& options, std::vector<Task> tasks, double now_s)
    : options_(options), placement_(options.placement), now_s_(now_s), begin_s_(now_s)
{
    states_.reserve(tasks.size());
    for (Task& task : tasks) {
        cost_total_ += task.cost;
        states_.push_back({.task = task});
        put_back(states_.size() - 1);
    }
}

std::vector<Command> Coordinator::on(const Event& event)
{
    Commands out;
    now_s_ = std::max(now_s_, event.now_s);
    std::visit([&](const auto& e) { handle(e, out); }, event.what);
    if (!over_) {
        dispatch(out);
        finish_if_over(out);
    }
    return out;
}

void Coordinator::handle(const Joined& e, Commands&)
{
    if (lost_.count(e.rank) > 0 || left_.count(e.rank) > 0 || heard_s_.count(e.rank) > 0) return;
    heard_s_[e.rank] = now_s_;
    placement_.join(e.rank, e.node);
}

void Coordinator::handle(const Heard& e, Commands&)
{
    if (const auto found = heard_s_.find(e.rank); found != heard_s_.end()) found->second = now_s_;
}

void Coordinator::handle(const Ended& e, Commands& out)
{
    handle(Heard{e.rank}, out);
    const auto found = running_.find(e.job);
    if (found == running_.end() || found->second.attempt != e.attempt || found->second.slot.rank != e.rank) {
        return;  // of an attempt that was given up; its outputs, if any, are the same as those of the other
    }
    end_attempt(e.job, e.outcome, out);
}

void Coordinator::handle(const Withdrew& e, Commands& out)
{
    handle(Heard{e.rank}, out);
    withdrawn_.insert(e.rank);
    drop_rank(e.rank, Cause::interrupted, "its supervisor was told to stop", out);
}

void Coordinator::handle(const Left& e, Commands& out)
{
    left_.insert(e.rank);
    lost_.erase(e.rank);  // it was only slow
    drop_rank(e.rank, Cause::interrupted, "its supervisor left", out);
}

void Coordinator::handle(const StopRequested& e, Commands& out)
{
    draining_ = true;
    if (!e.kill_running) return;
    if (killing_) kill_began_s_ = now_s_ - options_.stop_patience_s;  // asked twice: no more waiting
    if (!killing_) {
        killing_ = true;
        kill_began_s_ = now_s_;
        for (auto& [job, run] : running_) {
            run.kill_sent = true;
            out.push_back(KillJob{run.slot.rank, job, run.attempt, Cause::interrupted});
        }
    }
    check_times(out);
}

void Coordinator::handle(const Tick&, Commands& out)
{
    check_silence(out);
    check_times(out);
    if (options_.deadline_s > 0 && now_s_ >= options_.deadline_s) draining_ = true;
}

void Coordinator::check_silence(Commands& out)
{
    for (int rank = 1; rank < options_.n_ranks; ++rank) {
        if (lost_.count(rank) > 0 || left_.count(rank) > 0) continue;
        const auto found = heard_s_.find(rank);
        const double last_s = found == heard_s_.end() ? begin_s_ : found->second;
        if (now_s_ - last_s <= options_.lost_after_s) continue;
        lost_.insert(rank);
        out.push_back(RankLost{rank});
        drop_rank(rank, Cause::lost, str("rank ", rank, " was silent for ", options_.lost_after_s, " s"), out);
    }
}

void Coordinator::check_times(Commands& out)
{
    for (auto& [job, run] : running_) {
        if (run.kill_sent) continue;
        const double limit_s = time_limit_s(job);
        if (limit_s <= 0 || now_s_ - run.started_s <= limit_s) continue;
        run.kill_sent = true;
        out.push_back(KillJob{run.slot.rank, job, run.attempt, Cause::timeout});
    }
    if (killing_ && now_s_ - kill_began_s_ >= options_.stop_patience_s) {
        while (!running_.empty()) {
            end_attempt(running_.begin()->first, {.cause = Cause::interrupted, .message = "the run was stopped"}, out);
        }
    }
}

void Coordinator::drop_rank(int rank, Cause cause, const std::string& why, Commands& out)
{
    placement_.leave(rank);
    std::vector<std::size_t> jobs;
    for (const auto& [job, run] : running_) {
        if (run.slot.rank == rank) jobs.push_back(job);
    }
    for (const std::size_t job : jobs) end_attempt(job, {.cause = cause, .message = why}, out);
}

void Coordinator::end_attempt(std::size_t job, const Outcome& outcome, Commands& out)
{
    const Running run = running_.at(job);
    running_.erase(job);
    placement_.release(run.slot, run.need);

    State& s = states_[job];
    bool again = false;
    switch (outcome.cause) {
        case Cause::none: {
            const double rate = outcome.seconds * expected_speed(run.slot.threads) / std::max(s.task.cost, 1e-12);
            if (!outcome.skipped) rates_.insert(std::upper_bound(rates_.begin(), rates_.end(), rate), rate);
            break;
        }
        case Cause::interrupted: again = true; break;
        case Cause::disk:
            again = true;
            draining_ = disk_refused_ = true;
            break;
        case Cause::lost: again = ++s.task.rank_deaths < options_.max_rank_deaths; break;
        case Cause::reported:
        case Cause::memory: break;
        case Cause::oom:
            again = ++s.failures < options_.max_attempts && !s.alone;
            s.alone = true;
            break;
        case Cause::exit:
        case Cause::signal:
        case Cause::timeout:
        case Cause::spawn: again = ++s.failures < options_.max_attempts; break;
    }

    if (again) {
        put_back(job);
    } else {
        s.ended = true;
        cost_done_ += s.task.cost;
        ++(outcome.cause == Cause::none ? n_done_ : n_failed_);
    }
    Outcome told = outcome;
    if (outcome.cause == Cause::lost && !again) {
        told.message += str("; the job was running when ", s.task.rank_deaths,
                            " ranks or runs died, so it may be the reason");
    }
    out.push_back(JobEnded{job, run.attempt, run.slot, std::move(told), !again});
}

Coordinator::QueueKey Coordinator::queue_key(std::size_t job) const
{
    return {states_[job].alone ? 0 : 1, -states_[job].task.cost, job};
}

void Coordinator::put_back(std::size_t job) { pending_.insert(queue_key(job)); }

void Coordinator::fail_unstarted(std::size_t job, Cause cause, const std::string& message, Commands& out)
{
    pending_.erase(queue_key(job));
    states_[job].ended = true;
    cost_done_ += states_[job].task.cost;
    ++n_failed_;
    out.push_back(JobEnded{job, states_[job].attempt, {}, {.cause = cause, .message = message}, true});
}

bool Coordinator::everyone_known() const
{
    for (int rank = 0; rank < options_.n_ranks; ++rank) {
        if (heard_s_.count(rank) == 0 && lost_.count(rank) == 0 && left_.count(rank) == 0) return false;
    }
    return true;
}

void Coordinator::dispatch(Commands& out)
{
    // Shares depend on who is there: start when everyone has reported or is given up.
    if (draining_ || !everyone_known() || placement_.n_supervisors() == 0) return;
    placement_.cancel_reservation();

    std::size_t scanned = 0;
    std::size_t too_late = 0;
    std::optional<std::size_t> leader;  // the first that waits for room
    for (auto it = pending_.begin(); it != pending_.end() && scanned < scan_limit && placement_.any_cpu_free();) {
        const std::size_t job = std::get<2>(*it++);
        State& s = states_[job];
        const Need need{s.task.memory_bytes, s.alone};
        if (!placement_.could_fit(need)) {
            fail_unstarted(job, Cause::memory,
                           str("needs about ", gib(need.memory_bytes), ", but the roomiest node, ",
                               placement_.largest_host(), ", offers ", gib(placement_.largest_memory_bytes()),
                               " to jobs: run it on a node with more memory or raise the limit"),
                           out);
            continue;
        }
        ++scanned;
        if (!fits_before_deadline(job)) {
            ++too_late;
            continue;
        }
        if (try_start(job, out)) {
            if (leader) ++states_[*leader].passed_over;
        } else if (!leader) {
            leader = job;
            // Small jobs may overtake it for a while, not for ever.
            if (s.alone || s.passed_over > 4 + 2 * placement_.n_cpus()) placement_.reserve_for(need);
        }
    }
    if (running_.empty() && too_late > 0 && too_late == scanned) draining_ = true;
}

bool Coordinator::try_start(std::size_t job, Commands& out)
{
    State& s = states_[job];
    const Need need{s.task.memory_bytes, s.alone};
    auto slot = placement_.place(need, pending_.size());
    if (!slot) return false;
    pending_.erase(queue_key(job));
    ++s.attempt;
    threads_of_last_ = slot->threads;
    running_[job] = {s.attempt, *slot, need, now_s_, false};
    out.push_back(StartJob{job, s.attempt, *std::move(slot)});
    return true;
}

double Coordinator::seconds_per_cost() const
{
    return rates_.size() < rates_needed ? 0.0 : rates_[rates_.size() / 2];
}

double Coordinator::time_limit_s(std::size_t job) const
{
    if (options_.job_timeout_s > 0) return options_.job_timeout_s;
    const double rate = seconds_per_cost();
    if (rate <= 0) return 0.0;
    return std::max(options_.straggler_floor_s, options_.straggler_factor * rate * states_[job].task.cost);
}

bool Coordinator::fits_before_deadline(std::size_t job) const
{
    if (options_.deadline_s <= 0) return true;
    const double expected_s = seconds_per_cost() * states_[job].task.cost / expected_speed(threads_of_last_);
    return now_s_ + expected_s < options_.deadline_s;
}

void Coordinator::finish_if_over(Commands& out)
{
    if (!running_.empty() || (!pending_.empty() && !draining_)) return;
    over_ = true;
    out.push_back(AllOver{});
}

double Coordinator::eta_s(double now_s) const
{
    if (cost_done_ <= 0 || cost_total_ <= cost_done_) return cost_total_ <= cost_done_ ? 0.0 : -1.0;
    return (now_s - begin_s_) * (cost_total_ - cost_done_) / cost_done_;
}

}  // namespace qsmpi::runtime
