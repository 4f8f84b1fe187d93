#include "signals.hpp"

#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

// A signal handler can reach nothing but globals.
std::atomic<int> n_stops{0};
std::atomic<int> n_drains{0};
std::atomic<bool> child_ended{false};
std::atomic<int> wake_fd{-1};

static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int signal)
{
    const int saved = errno;
    if (signal == SIGCHLD) {
        child_ended = true;
    } else if (signal == SIGUSR1) {
        ++n_drains;
    } else {
        ++n_stops;
    }
    const eventfd_t one = 1;
    [[maybe_unused]] const auto written = write(wake_fd, &one, sizeof one);
    errno = saved;
}

}  // namespace

SignalWatch::SignalWatch()
{
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw IoError(str("eventfd: ", std::strerror(errno)));
    QSMPI_ASSERT(wake_fd.exchange(fd) == -1);
    n_stops = n_drains = 0;
    child_ended = false;
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    sigfillset(&action.sa_mask);
    for (std::size_t i = 0; i < signals_.size(); ++i) sigaction(signals_[i], &action, &previous_[i]);
}

SignalWatch::~SignalWatch()
{
    for (std::size_t i = 0; i < signals_.size(); ++i) sigaction(signals_[i], &previous_[i], nullptr);
    close(wake_fd.exchange(-1));
}

SignalWatch::Seen SignalWatch::take()
{
    eventfd_t count = 0;
    [[maybe_unused]] const auto got = read(wake_fd, &count, sizeof count);
    return {n_stops.exchange(0), n_drains.exchange(0), child_ended.exchange(false)};
}

void SignalWatch::wait(double seconds) const
{
    pollfd wake{.fd = wake_fd, .events = POLLIN, .revents = 0};
    timespec time{};
    time.tv_sec = static_cast<time_t>(std::floor(seconds));
    time.tv_nsec = static_cast<long>((seconds - std::floor(seconds)) * 1e9);
    ppoll(&wake, 1, &time, nullptr);
}

}  // namespace qsmpi::runtime
