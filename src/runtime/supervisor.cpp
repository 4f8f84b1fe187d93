#include "qsmpi/runtime/supervisor.hpp"

#include <algorithm>

namespace qsmpi::runtime {

using namespace supervisor;

Supervisor::Supervisor(const SupervisorOptions& options, bool is_coordinator_here, double now_s)
    : options_(options), is_coordinator_here_(is_coordinator_here), now_s_(now_s), heard_s_(now_s), beat_s_(now_s)
{
}

std::vector<Command> Supervisor::on(const Event& event)
{
    Commands out;
    if (left_) return out;
    now_s_ = std::max(now_s_, event.now_s);
    std::visit([&](const auto& e) { handle(e, out); }, event.what);
    settle(out);
    return out;
}

void Supervisor::handle(const StartOrdered& e, Commands& out)
{
    handle(Heard{}, out);
    const Id id{e.order.job, e.order.attempt};
    if (running_.count(id) > 0) return;
    if (stopping_ || dismissed_ || coordinator_lost_) {
        out.push_back(Report{id.first, id.second, {.cause = Cause::interrupted, .message = "its supervisor stops"}});
        return;
    }
    running_[id] = Cause::none;
    out.push_back(Spawn{e.order});
}

void Supervisor::handle(const KillOrdered& e, Commands& out)
{
    handle(Heard{}, out);
    const auto found = running_.find({e.job, e.attempt});
    if (found == running_.end()) return;
    if (found->second == Cause::none) found->second = e.cause;
    out.push_back(KillChild{e.job, e.attempt});
}

void Supervisor::handle(const Heard&, Commands&)
{
    contact_ = true;
    heard_s_ = now_s_;
}

void Supervisor::handle(const Dismissed&, Commands& out)
{
    handle(Heard{}, out);
    dismissed_ = true;
    goodbye_told_ = false;  // asked again: answered again
    kill_all(out);
}

void Supervisor::handle(const Released& e, Commands& out)
{
    kill_all(out);
    left_ = true;
    out.push_back(Leave{e.everyone_left});
}

void Supervisor::handle(const ChildEnded& e, Commands& out)
{
    const auto found = running_.find({e.job, e.attempt});
    if (found == running_.end()) return;
    const Cause killed_for = found->second;
    running_.erase(found);
    Outcome outcome = e.outcome;
    // A job that finished in the moment it was to be killed has finished.
    if (killed_for != Cause::none && outcome.cause != Cause::none) {
        outcome.cause = killed_for;
        outcome.message = killed_for == Cause::timeout ? "took too long and was killed" : "was killed as the run stops";
    }
    out.push_back(Report{e.job, e.attempt, std::move(outcome)});
}

void Supervisor::handle(const StopRequested&, Commands& out)
{
    stopping_ = true;
    kill_all(out);
}

void Supervisor::handle(const Tick&, Commands& out)
{
    if (is_coordinator_here_) return;
    const double patience_s = contact_ ? options_.lost_after_s : std::max(options_.first_contact_s, options_.lost_after_s);
    if (!coordinator_lost_ && now_s_ - heard_s_ > patience_s) {
        coordinator_lost_ = true;
        kill_all(out);
    }
    if (now_s_ - beat_s_ >= options_.beat_s) {
        beat_s_ = now_s_;
        out.push_back(Beat{});
    }
}

void Supervisor::kill_all(Commands& out)
{
    for (auto& [id, killed_for] : running_) {
        if (killed_for == Cause::none) killed_for = Cause::interrupted;
        out.push_back(KillChild{id.first, id.second});
    }
}

void Supervisor::settle(Commands& out)
{
    if (left_ || !running_.empty()) return;
    if (stopping_ && !withdraw_told_) {
        withdraw_told_ = true;
        out.push_back(Withdraw{});
    }
    if ((dismissed_ || coordinator_lost_) && !goodbye_told_) {
        goodbye_told_ = true;
        out.push_back(Goodbye{});
    }
    if (coordinator_lost_) {
        left_ = true;
        out.push_back(Leave{false});
    }
}

}  // namespace qsmpi::runtime
