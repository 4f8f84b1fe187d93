#include "process.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"

extern char** environ;

namespace qsmpi::runtime {
namespace {

constexpr int answer_fd = 3;
constexpr int first_own_fd = 10;  // ours stay clear of those that the child gets
constexpr std::size_t longest_answer = std::size_t{8} << 20;
constexpr std::size_t longest_tail = 4096;

/// Moves a new descriptor out of the range that the child's descriptors are made in.
Descriptor moved_up(int fd, const std::string& what)
{
    if (fd < 0) throw IoError(str(what, ": ", std::strerror(errno)));
    const int up = fcntl(fd, F_DUPFD_CLOEXEC, first_own_fd);
    const int error = errno;
    close(fd);
    if (up < 0) throw IoError(str(what, ": ", std::strerror(error)));
    return Descriptor(up);
}

/// A file without a name: no pipe that could fill up, nor one that a grandchild could hold open.
Descriptor anonymous_file(const char* name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0) {
        const char* folder = std::getenv("TMPDIR");
        std::string pattern = str(folder != nullptr ? folder : "/tmp", "/", name, ".XXXXXX");
        fd = mkostemp(pattern.data(), O_CLOEXEC);
        if (fd >= 0) unlink(pattern.c_str());
    }
    return moved_up(fd, "temporary file for a job");
}

void write_all(int fd, std::string_view text, const std::string& what)
{
    while (!text.empty()) {
        const ssize_t n = write(fd, text.data(), text.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw IoError(str(what, ": ", std::strerror(errno)));
        text.remove_prefix(static_cast<std::size_t>(n));
    }
}

/// At most `longest` bytes from the end of a file.
std::string tail_of(int fd, std::size_t longest)
{
    struct stat info {};
    if (fstat(fd, &info) != 0 || info.st_size <= 0) return {};
    const auto size = static_cast<std::size_t>(info.st_size);
    std::string text(std::min(size, longest), '\0');
    std::size_t have = 0;
    const std::size_t begin = size - text.size();
    while (have < text.size()) {
        const ssize_t n = pread(fd, text.data() + have, text.size() - have, static_cast<off_t>(begin + have));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        have += static_cast<std::size_t>(n);
    }
    text.resize(have);
    return text;
}

std::uint64_t oom_kills_so_far()
{
    std::ifstream in("/proc/vmstat");
    std::string name;
    for (std::uint64_t value = 0; in >> name >> value;) {
        if (name == "oom_kill") return value;
    }
    return 0;
}

/// Pins this thread while it lives; a process started meanwhile inherits the mask before its first instruction.
class PinnedThread {
public:
    explicit PinnedThread(const std::vector<int>& cores)
    {
        if (cores.empty()) return;
        const auto n = static_cast<std::size_t>(std::max(1024, *std::max_element(cores.begin(), cores.end()) + 1));
        bytes_ = CPU_ALLOC_SIZE(n);
        previous_.assign(bytes_ / sizeof(unsigned long), 0);
        if (sched_getaffinity(0, bytes_, as_set(previous_)) != 0) return;
        std::vector<unsigned long> wanted(previous_.size(), 0);
        for (const int core : cores) CPU_SET_S(static_cast<std::size_t>(core), bytes_, as_set(wanted));
        // A cgroup may forbid it: then the job runs with the mask of this process, which is right too.
        changed_ = sched_setaffinity(0, bytes_, as_set(wanted)) == 0;
    }
    ~PinnedThread()
    {
        if (changed_) sched_setaffinity(0, bytes_, as_set(previous_));
    }
    PinnedThread(const PinnedThread&) = delete;
    PinnedThread& operator=(const PinnedThread&) = delete;

private:
    static cpu_set_t* as_set(std::vector<unsigned long>& words) { return reinterpret_cast<cpu_set_t*>(words.data()); }
    std::vector<unsigned long> previous_;
    std::size_t bytes_ = 0;
    bool changed_ = false;
};

class SpawnSetup {
public:
    SpawnSetup(int input, int log, int answer)
    {
        posix_spawnattr_init(&attributes);
        posix_spawn_file_actions_init(&actions);
        sigset_t all, none;
        sigfillset(&all);
        sigemptyset(&none);
        posix_spawnattr_setsigdefault(&attributes, &all);
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes,
                                 POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, log, STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, log, STDERR_FILENO);
        posix_spawn_file_actions_adddup2(&actions, answer, answer_fd);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
        posix_spawn_file_actions_addclosefrom_np(&actions, answer_fd + 1);  // what MPI left open without close-on-exec
#endif
    }
    ~SpawnSetup()
    {
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
    }
    SpawnSetup(const SpawnSetup&) = delete;
    SpawnSetup& operator=(const SpawnSetup&) = delete;

    posix_spawnattr_t attributes{};
    posix_spawn_file_actions_t actions{};
};

std::vector<char*> pointers(std::vector<std::string>& texts)
{
    std::vector<char*> out;
    for (std::string& t : texts) out.push_back(t.data());
    out.push_back(nullptr);
    return out;
}

/// Where the log of an earlier run waits until this one has told whether there was something to do.
std::filesystem::path set_aside(const std::filesystem::path& log_file)
{
    return log_file.parent_path() / str(".", log_file.filename().string());
}

}  // namespace

Descriptor::~Descriptor()
{
    if (fd_ >= 0) close(fd_);
}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept
{
    std::swap(fd_, other.fd_);
    return *this;
}

double steady_now_s()
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::vector<std::string> child_environment(const char* const* parent, const ChildSpec& spec)
{
    // A child that finds these would take itself for one of our ranks as soon as a library of it calls MPI_Init.
    static constexpr std::array<std::string_view, 23> strip{
        "OMPI_",         "PMIX_",           "PMI_",           "ORTE_",          "PRTE_",       "OPAL_",
        "MPI_LOCAL",     "HYDRA_",          "SLURM_STEP",     "SLURM_PROCID=",  "SLURM_LOCALID=", "SLURM_NODEID=",
        "SLURM_TASK_PID=", "SLURM_GTIDS=",  "SLURM_SRUN_",    "SLURM_LAUNCH_",  "SLURM_PMI",   "SLURM_DISTRIBUTION=",
        "QSMPI_THREADS=", "QSMPI_ATTEMPT=", "OMP_NUM_THREADS=", "OMP_WAIT_POLICY=", "QSMPI_JOB_KEY="};
    std::vector<std::string> out;
    for (; parent != nullptr && *parent != nullptr; ++parent) {
        const std::string_view variable = *parent;
        const bool ours = std::any_of(strip.begin(), strip.end(), [&](auto s) { return variable.starts_with(s); });
        if (!ours) out.emplace_back(variable);
    }
    out.push_back(str("OMP_NUM_THREADS=", spec.threads));
    // Threads that spin at barriers make a busy machine ten times slower and an idle one hardly faster.
    out.push_back("OMP_WAIT_POLICY=passive");
    out.push_back(str("QSMPI_THREADS=", spec.threads));
    out.push_back(str("QSMPI_ATTEMPT=", spec.attempt));
    out.push_back(str("QSMPI_JOB_KEY=", spec.key));
    out.push_back(str("QSMPI_PARENT_PID=", getpid()));
    out.push_back(str("QSMPI_RESULT_FD=", answer_fd));
    return out;
}

ChildProcess::ChildProcess(const ChildSpec& spec) : log_file_(spec.log_file)
{
    std::error_code absent;
    require(!spec.command.empty(), "a job's command is empty");
    Descriptor payload = anonymous_file("qsmpi-payload");
    write_all(payload.get(), spec.payload, "payload of a job");
    lseek(payload.get(), 0, SEEK_SET);
    answer_ = anonymous_file("qsmpi-answer");
    if (spec.attempt <= 1) std::filesystem::rename(log_file_, set_aside(log_file_), absent);
    log_ = moved_up(open(spec.log_file.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666), spec.log_file.string());
    if (spec.attempt > 1) write_all(log_.get(), str("--- attempt ", spec.attempt, "\n"), spec.log_file.string());

    std::vector<std::string> command = spec.command;
    std::vector<std::string> environment = child_environment(environ, spec);
    const SpawnSetup setup(payload.get(), log_.get(), answer_.get());
    oom_kills_ = oom_kills_so_far();
    started_s_ = steady_now_s();
    const PinnedThread pinned(spec.cores);
    const int error = posix_spawnp(&pid_, command[0].c_str(), &setup.actions, &setup.attributes,
                                   pointers(command).data(), pointers(environment).data());
    if (error != 0) {
        pid_ = -1;
        throw IoError(str("cannot start ", command[0], ": ", std::strerror(error)));
    }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      answer_(std::move(other.answer_)),
      log_(std::move(other.log_)),
      log_file_(std::move(other.log_file_)),
      started_s_(other.started_s_),
      oom_kills_(other.oom_kills_)
{
}

ChildProcess::~ChildProcess()
{
    if (pid_ < 0) return;
    kill_group();
    waitpid(pid_, nullptr, 0);
}

void ChildProcess::kill_group() const
{
    if (pid_ > 0) kill(-pid_, SIGKILL);
}

std::optional<Outcome> ChildProcess::ended()
{
    // First look without reaping: while the leader is a zombie its number cannot go to a stranger's group.
    siginfo_t info{};
    if (pid_ < 0 || waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
        return std::nullopt;
    }
    kill_group();
    int status = 0;
    rusage usage{};
    if (wait4(pid_, &status, 0, &usage) != pid_) return std::nullopt;
    pid_ = -1;

    Ending ending;
    ending.exited = WIFEXITED(status);
    ending.code = ending.exited ? WEXITSTATUS(status) : WTERMSIG(status);
    ending.answer = tail_of(answer_.get(), longest_answer);
    ending.seconds = steady_now_s() - started_s_;
    ending.rusage_peak_mb = static_cast<double>(usage.ru_maxrss) / 1024.0;
    ending.kernel_ran_out = !ending.exited && oom_kills_so_far() > oom_kills_;
    if (!ending.exited || ending.code != 0) ending.log_tail = tail_of(log_.get(), longest_tail);
    Outcome outcome = classify(ending);
    std::error_code absent;
    if (outcome.skipped) std::filesystem::rename(set_aside(log_file_), log_file_, absent);
    else std::filesystem::remove(set_aside(log_file_), absent);
    return outcome;
}

}  // namespace qsmpi::runtime
