#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "process.hpp"
#include "qsmpi/comm/communicator.hpp"
#include "qsmpi/runtime/coordinator.hpp"
#include "qsmpi/runtime/run.hpp"
#include "qsmpi/runtime/supervisor.hpp"
#include "qsmpi/runtime/wire.hpp"
#include "records.hpp"
#include "signals.hpp"

namespace qsmpi::runtime {

/// The child processes of this rank, started and reaped for its Supervisor.
class Children {
public:
    Children(const RunFiles& files, std::vector<std::string> command) : files_(files), command_(std::move(command)) {}
    void start(const StartOrder& order);
    void kill(std::size_t job, int attempt);
    /// Those that ended since the last call, also those that could not be started.
    [[nodiscard]] std::vector<supervisor::ChildEnded> collect();
    void kill_all() { running_.clear(); }

private:
    RunFiles files_;
    std::vector<std::string> command_;
    std::map<std::pair<std::size_t, int>, ChildProcess> running_;
    std::vector<supervisor::ChildEnded> not_started_;
};

/// How long to sleep when nothing happens: MPI cannot wake a sleeper, so look often at first and then ever less.
class Backoff {
public:
    void reset() { seconds_ = shortest_s; }
    [[nodiscard]] double next();

private:
    static constexpr double shortest_s = 0.0001;
    static constexpr double longest_s = 0.010;
    double seconds_ = shortest_s;
};

/// The one loop of a rank: moves messages, signals, ended children and time into the state machines and does what
/// they command. On rank 0 with a Coordinator beside the Supervisor.
class Loop {
public:
    Loop(comm::Communicator& comm, const RunFiles& files, const RunOptions& options);

    /// Rank 0. @return the exit code; the other ranks still wait to be dismissed
    int coordinate(const Plan& plan, Records& records, const std::function<void(double)>& every_turn);
    /// Any other rank. @return whether every rank leaves
    bool supervise();

    [[nodiscard]] const std::set<int>& lost_ranks() const { return lost_; }
    [[nodiscard]] bool was_stopped() const { return n_stops_ > 0; }

private:
    void turn();
    bool receive_all();
    void receive(const comm::Message& message);
    void on_signals();
    void tell(const decltype(coordinator::Event::what)& what);
    void tell(const decltype(supervisor::Event::what)& what);
    void act(const coordinator::Command& command);
    void act(const supervisor::Command& command);
    void send(int rank, const wire::Frame& frame) { comm_.send(rank, wire::encode(frame)); }
    void send_hello();
    void evict(int rank);
    void show_progress(const std::string& job_line, bool last = false);
    [[nodiscard]] std::string host_of(int rank) const;

    comm::Communicator& comm_;
    const RunOptions& options_;
    double begin_s_;
    SignalWatch signals_;
    Supervisor supervisor_;
    Children children_;
    Backoff backoff_;
    std::map<int, NodeReport> reports_;
    std::set<int> lost_;
    std::unique_ptr<Coordinator> coordinator_;  ///< rank 0 only, as are the next three
    const Plan* plan_ = nullptr;
    Records* records_ = nullptr;
    std::function<void(const Progress&)> on_progress_;
    double beaten_s_ = 0.0;
    double shown_s_ = 0.0;
    int n_stops_ = 0;
    int n_signals_ = 0;
    bool left_ = false;
    bool everyone_left_ = false;
};

}  // namespace qsmpi::runtime
