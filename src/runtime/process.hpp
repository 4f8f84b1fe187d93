#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "qsmpi/runtime/outcome.hpp"

namespace qsmpi::runtime {

/// A file descriptor, closed when it goes out of scope.
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor();
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept;
    [[nodiscard]] int get() const { return fd_; }

private:
    int fd_ = -1;
};

struct ChildSpec {
    std::vector<std::string> command;
    std::string payload;
    std::string key;
    std::filesystem::path log_file;
    int attempt = 1;
    int threads = 1;
    std::vector<int> cores = {};  ///< to pin to; empty: as this process
};

/// A job's process and everything that it starts. Ends them when it is destroyed.
class ChildProcess {
public:
    /// @throws IoError naming what could not be made: log file, process
    explicit ChildProcess(const ChildSpec& spec);
    ~ChildProcess();
    ChildProcess(ChildProcess&& other) noexcept;
    ChildProcess& operator=(ChildProcess&&) = delete;

    /// Kills the whole process group; the end is reported by ended() as usual.
    void kill_group() const;
    /// How it ended, once it has; never blocks. What its process group left behind is killed before.
    [[nodiscard]] std::optional<Outcome> ended();

private:
    pid_t pid_ = -1;
    Descriptor answer_;
    Descriptor log_;
    std::filesystem::path log_file_;
    double started_s_ = 0.0;
    std::uint64_t oom_kills_ = 0;
};

/// What wait4 and the child's own words mean.
struct Ending {
    bool exited = true;        ///< by exit; otherwise by a signal
    int code = 0;              ///< exit status or signal
    std::string answer = {};        ///< all that the child wrote to the answer file
    std::string log_tail = {};      ///< its last words
    double seconds = 0.0;
    double rusage_peak_mb = 0.0;
    bool kernel_ran_out = false;  ///< the kernel killed something for memory in its time
};
[[nodiscard]] Outcome classify(const Ending& ending);

/// The environment for a child: `parent` without what would make it think that it is a rank of ours.
[[nodiscard]] std::vector<std::string> child_environment(const char* const* parent, const ChildSpec& spec);

/// Seconds on a clock that only goes forward.
[[nodiscard]] double steady_now_s();

}  // namespace qsmpi::runtime
