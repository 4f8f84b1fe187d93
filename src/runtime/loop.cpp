#include "loop.hpp"

#include <algorithm>

#include <signal.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/log.hpp"

namespace qsmpi::runtime {

using wire::Frame;
using wire::Type;

namespace {

constexpr double quiet_turn_s = 0.25;      // without other ranks only time has to be watched
constexpr double progress_interval_s = 1.0;
// mpirun kills one second after its TERM: what was told to stop must be on record before.
constexpr double stop_patience_s = 0.6;

SupervisorOptions supervisor_options(const RunOptions& o)
{
    SupervisorOptions s;
    s.beat_s = o.beat_s;
    s.lost_after_s = o.lost_after_s;
    return s;
}

std::function<void(const Progress&)> progress_sink(const RunOptions& o)
{
    if (!o.progress) return {};
    if (o.on_progress) return o.on_progress;
    return ProgressPrinter(false, [](std::string_view line) { log::info(line.substr(0, line.find('\n'))); });
}

Frame frame(Type type, std::size_t job = 0, int attempt = 0, std::string body = {})
{
    return {type, static_cast<std::uint32_t>(job), static_cast<std::uint32_t>(attempt), std::move(body)};
}

}  // namespace

void Children::start(const StartOrder& order)
{
    try {
        std::filesystem::create_directories(files_.folder() / "logs");
        running_.try_emplace({order.job, order.attempt},
                             ChildSpec{.command = command_,
                                       .payload = order.payload,
                                       .key = order.key,
                                       .log_file = files_.log_of(order.key),
                                       .attempt = order.attempt,
                                       .threads = order.slot.threads,
                                       .cores = order.slot.cores});
    } catch (const std::exception& e) {
        // As if it had ended: classify() also knows a full disk by its words.
        Outcome outcome = classify({.exited = true, .code = 127, .log_tail = e.what()});
        if (outcome.cause == Cause::exit) outcome = {.cause = Cause::spawn, .message = e.what()};
        not_started_.push_back({order.job, order.attempt, std::move(outcome)});
    }
}

void Children::kill(std::size_t job, int attempt)
{
    if (const auto found = running_.find({job, attempt}); found != running_.end()) found->second.kill_group();
}

std::vector<supervisor::ChildEnded> Children::collect()
{
    std::vector<supervisor::ChildEnded> out = std::exchange(not_started_, {});
    for (auto child = running_.begin(); child != running_.end();) {
        if (auto outcome = child->second.ended()) {
            out.push_back({child->first.first, child->first.second, *std::move(outcome)});
            child = running_.erase(child);
        } else {
            ++child;
        }
    }
    return out;
}

double Backoff::next()
{
    const double now = seconds_;
    seconds_ = std::min(longest_s, seconds_ * 1.3);
    return now;
}

Loop::Loop(comm::Communicator& comm, const RunFiles& files, const RunOptions& options)
    : comm_(comm),
      options_(options),
      begin_s_(steady_now_s()),
      supervisor_(supervisor_options(options), comm.rank() == 0, begin_s_),
      children_(files, options.child_command)
{
}

int Loop::coordinate(const Plan& plan, Records& records, const std::function<void(double)>& every_turn)
{
    plan_ = &plan;
    records_ = &records;
    on_progress_ = progress_sink(options_);
    CoordinatorOptions c;
    c.n_ranks = comm_.size();
    c.max_attempts = options_.max_attempts;
    c.job_timeout_s = options_.job_timeout_s;
    c.deadline_s = options_.deadline_s > 0 ? begin_s_ + options_.deadline_s : 0.0;
    c.lost_after_s = options_.lost_after_s;
    c.stop_patience_s = stop_patience_s;
    c.placement = {options_.threads_per_job, options_.max_jobs};
    coordinator_ = std::make_unique<Coordinator>(c, plan.tasks, begin_s_);
    send_hello();
    while (!coordinator_->over()) {
        turn();
        const double now_s = steady_now_s();
        records_->commit(now_s);
        every_turn(now_s);
        if (now_s - shown_s_ >= progress_interval_s) show_progress("");
    }
    children_.kill_all();
    show_progress("", true);
    if (coordinator_->disk_refused()) return exit_io;
    const std::size_t ended = coordinator_->n_done() + coordinator_->n_failed();
    if (ended < plan.todo.size()) return exit_interrupted;
    return coordinator_->n_failed() > 0 ? exit_some_failed : exit_all_done;
}

bool Loop::supervise()
{
    send_hello();
    while (!left_) turn();
    children_.kill_all();
    return everyone_left_;
}

void Loop::turn()
{
    bool busy = receive_all();
    on_signals();
    for (auto& ended : children_.collect()) {
        tell(ended);
        busy = true;
    }
    tell(supervisor::Tick{});
    if (coordinator_) {
        tell(coordinator::Tick{});
        if (steady_now_s() - beaten_s_ >= options_.beat_s) {
            beaten_s_ = steady_now_s();
            for (int rank = 1; rank < comm_.size(); ++rank) {
                if (coordinator_->left_ranks().count(rank) == 0) send(rank, frame(Type::beat));
            }
        }
        if (coordinator_->over()) return;
    }
    if (left_) return;
    if (busy) {
        backoff_.reset();  // and look again at once: what was done may have caused messages to this rank itself
        return;
    }
    signals_.wait(comm_.size() == 1 ? quiet_turn_s : backoff_.next());
}

bool Loop::receive_all()
{
    bool any = false;
    while (const auto message = comm_.receive()) {
        any = true;
        try {
            receive(*message);
        } catch (const CommError& e) {
            log::warn(str("from rank ", message->source, ": ", e.what(), "; ignored"));
        }
    }
    return any;
}

void Loop::receive(const comm::Message& message)
{
    const int from = message.source;
    const Frame f = wire::decode(message.bytes);
    const std::size_t job = f.job;
    const int attempt = static_cast<int>(f.attempt);
    if (coordinator_ && from != 0 && lost_.count(from) > 0 && f.type != Type::goodbye) {
        send(from, frame(Type::dismiss));  // given up, and yet alive: its jobs are with others by now
    }
    switch (f.type) {
        case Type::hello:
            reports_[from] = wire::report_from(f.body);
            tell(coordinator::Joined{from, reports_[from]});
            break;
        case Type::ended: tell(coordinator::Ended{from, job, attempt, wire::outcome_from(f.body)}); break;
        case Type::withdraw: tell(coordinator::Withdrew{from}); break;
        case Type::goodbye: tell(coordinator::Left{from}); break;
        case Type::beat:
            if (coordinator_) {
                tell(coordinator::Heard{from});
            } else {
                tell(supervisor::Heard{});
            }
            break;
        case Type::start: tell(supervisor::StartOrdered{wire::order_from(f)}); break;
        case Type::kill: tell(supervisor::KillOrdered{job, attempt, cause_from(f.body)}); break;
        case Type::dismiss: tell(supervisor::Dismissed{}); break;
        case Type::release: tell(supervisor::Released{f.body == "all"}); break;
        case Type::evict: {
            const NodeReport lost = wire::report_from(f.body);
            if (lost.host == host_name() && process_start_ticks(lost.pid) == lost.start_ticks) ::kill(lost.pid, SIGKILL);
            break;
        }
    }
}

void Loop::on_signals()
{
    const SignalWatch::Seen seen = signals_.take();
    n_stops_ += seen.stops;
    const int before = n_signals_;
    n_signals_ += seen.stops + seen.drains;
    if (!coordinator_) {
        if (seen.stops > 0) tell(supervisor::StopRequested{});
        if (n_stops_ > 1) left_ = true;
        return;
    }
    for (int i = before; i < n_signals_; ++i) {
        const bool kill = seen.stops > 0 || i > 0;
        log::warn(kill ? "told to stop: running jobs are put back"
                       : "told to stop: running jobs may end, no new ones start");
        tell(coordinator::StopRequested{kill});
    }
}

void Loop::tell(const decltype(coordinator::Event::what)& what)
{
    if (!coordinator_) return;
    for (const auto& command : coordinator_->on({steady_now_s(), what})) act(command);
}

void Loop::tell(const decltype(supervisor::Event::what)& what)
{
    for (const auto& command : supervisor_.on({steady_now_s(), what})) act(command);
}

void Loop::act(const coordinator::Command& command)
{
    if (const auto* start = std::get_if<coordinator::StartJob>(&command)) {
        const Job& job = *plan_->todo[start->job];
        records_->started(job, *start, host_of(start->slot.rank));
        StartOrder order{start->job, start->attempt, start->slot, job.key, job.payload};
        send(start->slot.rank, frame(Type::start, start->job, start->attempt, wire::body_of(order)));
    } else if (const auto* kill = std::get_if<coordinator::KillJob>(&command)) {
        send(kill->rank, frame(Type::kill, kill->job, kill->attempt, to_text(kill->cause)));
    } else if (const auto* end = std::get_if<coordinator::JobEnded>(&command)) {
        show_progress(records_->ended(*plan_->todo[end->job], *end, host_of(end->slot.rank)));
    } else if (const auto* lost = std::get_if<coordinator::RankLost>(&command)) {
        lost_.insert(lost->rank);
        log::warn(str("rank ", lost->rank, " on ", host_of(lost->rank), " is lost; its jobs go to others"));
        evict(lost->rank);
    }
}

void Loop::act(const supervisor::Command& command)
{
    if (const auto* spawn = std::get_if<supervisor::Spawn>(&command)) {
        children_.start(spawn->order);
    } else if (const auto* kill = std::get_if<supervisor::KillChild>(&command)) {
        children_.kill(kill->job, kill->attempt);
    } else if (const auto* report = std::get_if<supervisor::Report>(&command)) {
        send(0, frame(Type::ended, report->job, report->attempt, wire::body_of(report->outcome)));
    } else if (std::holds_alternative<supervisor::Beat>(command)) {
        send(0, frame(Type::beat));
    } else if (std::holds_alternative<supervisor::Withdraw>(command)) {
        send(0, frame(Type::withdraw));
    } else if (std::holds_alternative<supervisor::Goodbye>(command)) {
        send(0, frame(Type::goodbye));
    } else if (const auto* leave = std::get_if<supervisor::Leave>(&command)) {
        left_ = true;
        everyone_left_ = leave->everyone_left;
    }
}

void Loop::send_hello()
{
    send(0, frame(Type::hello, 0, 0, wire::body_of(report_node(options_.memory_limit_bytes))));
}

// A rank that is frozen, not dead, would keep its node's cores and hold up mpirun for ever. Without recovery its
// death would end the run, so then it stays, and mpirun ends it with everything else.
void Loop::evict(int rank)
{
    const auto found = reports_.find(rank);
    if (found == reports_.end() || !ranks_survive_a_death()) return;
    for (const auto& [other, report] : reports_) {
        if (report.host != found->second.host || other == rank || lost_.count(other) > 0) continue;
        send(other, frame(Type::evict, 0, 0, wire::body_of(found->second)));
        return;
    }
}

void Loop::show_progress(const std::string& job_line, bool last)
{
    if (!on_progress_) return;
    const double now_s = steady_now_s();
    shown_s_ = now_s;
    on_progress_({.total = plan_->todo.size() + plan_->up_to_date,
                  .up_to_date = plan_->up_to_date,
                  .done = coordinator_->n_done(),
                  .failed = coordinator_->n_failed(),
                  .running = coordinator_->n_running(),
                  .elapsed_s = now_s - begin_s_,
                  .eta_s = coordinator_->eta_s(now_s),
                  .job_line = job_line,
                  .last = last});
}

std::string Loop::host_of(int rank) const
{
    const auto found = reports_.find(rank);
    return found == reports_.end() ? "" : found->second.host;
}

}  // namespace qsmpi::runtime
