#pragma once
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "qsmpi/runtime/outcome.hpp"
#include "qsmpi/runtime/placement.hpp"

/// Starts and ends the child processes of one rank on the coordinator's orders: a plain state machine.
namespace qsmpi::runtime {

/// What a child is started with.
struct StartOrder {
    std::size_t job = 0;
    int attempt = 0;
    Slot slot = {};
    std::string key = {};
    std::string payload = {};
};

struct SupervisorOptions {
    double beat_s = 2.0;
    double lost_after_s = 30.0;
    double first_contact_s = 3600.0;  ///< the coordinator may scan a large data set before it first speaks
};

namespace supervisor {

// Events.
struct StartOrdered { StartOrder order; };
struct KillOrdered { std::size_t job; int attempt; Cause cause; };
struct Heard {};                                      ///< any sign of life from the coordinator
struct Dismissed {};                                  ///< the run is over
struct Released { bool everyone_left; };              ///< all ranks have answered, or were given up
struct ChildEnded { std::size_t job; int attempt; Outcome outcome; };
struct StopRequested {};                              ///< this process was told to end
struct Tick {};
struct Event {
    double now_s;
    std::variant<StartOrdered, KillOrdered, Heard, Dismissed, Released, ChildEnded, StopRequested, Tick> what;
};

// Commands.
struct Spawn { StartOrder order; };                   ///< answered by ChildEnded, also when it cannot be started
struct KillChild { std::size_t job; int attempt; };
struct Report { std::size_t job; int attempt; Outcome outcome; };
struct Beat {};
struct Withdraw {};                                   ///< tells the coordinator: no more jobs, please
struct Goodbye {};                                    ///< tells the coordinator: no child is left here
struct Leave { bool everyone_left; };                 ///< ends the loop
using Command = std::variant<Spawn, KillChild, Report, Beat, Withdraw, Goodbye, Leave>;

}  // namespace supervisor

class Supervisor {
public:
    /// @param is_coordinator_here  the coordinator lives in this process: no beats, never given up
    Supervisor(const SupervisorOptions& options, bool is_coordinator_here, double now_s);

    [[nodiscard]] std::vector<supervisor::Command> on(const supervisor::Event& event);
    [[nodiscard]] std::size_t n_running() const { return running_.size(); }

private:
    using Commands = std::vector<supervisor::Command>;
    using Id = std::pair<std::size_t, int>;  ///< job and attempt

    void handle(const supervisor::StartOrdered& e, Commands& out);
    void handle(const supervisor::KillOrdered& e, Commands& out);
    void handle(const supervisor::Heard& e, Commands& out);
    void handle(const supervisor::Dismissed& e, Commands& out);
    void handle(const supervisor::Released& e, Commands& out);
    void handle(const supervisor::ChildEnded& e, Commands& out);
    void handle(const supervisor::StopRequested& e, Commands& out);
    void handle(const supervisor::Tick& e, Commands& out);
    void kill_all(Commands& out);
    void settle(Commands& out);

    SupervisorOptions options_;
    bool is_coordinator_here_;
    std::map<Id, Cause> running_;   ///< with the reason it was killed for, or none
    double now_s_;
    double heard_s_;
    double beat_s_;                 ///< when the last one was sent
    bool contact_ = false;
    bool stopping_ = false;
    bool withdraw_told_ = false;
    bool dismissed_ = false;
    bool goodbye_told_ = false;
    bool coordinator_lost_ = false;
    bool left_ = false;
};

}  // namespace qsmpi::runtime
