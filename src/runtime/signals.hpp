#pragma once
#include <array>

#include <signal.h>

namespace qsmpi::runtime {

/// Handles INT, TERM, HUP (stop), USR1 (drain) and CHLD (a child ended) while it lives; one at a time.
class SignalWatch {
public:
    /// @throws IoError if the system has no event descriptor left
    SignalWatch();
    ~SignalWatch();
    SignalWatch(const SignalWatch&) = delete;
    SignalWatch& operator=(const SignalWatch&) = delete;

    struct Seen {
        int stops = 0;
        int drains = 0;
        bool child = false;
    };
    /// What arrived since the last call.
    [[nodiscard]] Seen take();
    /// Sleeps until a signal arrives or the time is over, without using the processor.
    void wait(double seconds) const;

private:
    static constexpr std::array<int, 5> signals_{SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGCHLD};
    std::array<struct sigaction, 5> previous_{};
};

}  // namespace qsmpi::runtime
