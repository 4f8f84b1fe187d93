#include "lock.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/runtime/resources.hpp"

namespace qsmpi::runtime {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Changes when the scheduler starts the same job again, which proves that the one before is gone.
std::string batch_job()
{
    const auto variable = [](const char* name) {
        const char* const value = std::getenv(name);
        return std::string(value == nullptr ? "" : value);
    };
    const std::string slurm = variable("SLURM_JOB_ID"), pbs = variable("PBS_JOBID");
    if (!slurm.empty()) return str("slurm ", slurm, '/', variable("SLURM_RESTART_COUNT"));
    return pbs.empty() ? "" : str("pbs ", pbs);
}

bool is_restart_of(const std::string& before, const std::string& now)
{
    return before.starts_with("slurm ") && before != now &&
           before.substr(0, before.rfind('/')) == now.substr(0, now.rfind('/'));
}

double modified_s(const struct stat& info)
{
    return static_cast<double>(info.st_mtim.tv_sec) + 1e-9 * static_cast<double>(info.st_mtim.tv_nsec);
}

/// Now, as the file system sees it: its clock and this machine's may differ by minutes.
double file_system_now_s(const fs::path& folder)
{
    std::string name = (folder / ".clock.XXXXXX").string();
    struct stat info {};
    const int fd = mkostemp(name.data(), O_CLOEXEC);
    if (fd < 0) return static_cast<double>(std::time(nullptr));  // a folder that may only be read
    fstat(fd, &info);
    close(fd);
    unlink(name.c_str());
    return modified_s(info);
}

std::string describe(const LockHolder& h, const fs::path& folder)
{
    return str(folder.string(), " is in use by another run: process ", h.pid, " on ", h.host,
               h.batch_job.empty() ? "" : str(" (", h.batch_job, ")"),
               ". Wait for it, end it, or choose another output folder");
}

bool excludes(const Shard& a, const Shard& b) { return a.count == 1 || b.count == 1 || a.count != b.count || a == b; }

}  // namespace

std::optional<LockHolder> read_lock(const fs::path& file)
{
    struct stat info {};
    if (stat(file.c_str(), &info) != 0) return std::nullopt;
    LockHolder holder;
    try {
        const json j = json::parse(io::read_file(file));
        holder.host = j.at("host").get<std::string>();
        holder.pid = j.at("pid").get<int>();
        holder.start_ticks = j.at("start_ticks").get<std::uint64_t>();
        holder.batch_job = j.value("batch_job", "");
    } catch (const std::exception&) {
        return std::nullopt;
    }
    holder.beat_s = modified_s(info);
    // On this host the process itself tells; elsewhere only the beat does.
    if (holder.host != host_name()) holder.age_s = file_system_now_s(file.parent_path()) - holder.beat_s;
    return holder;
}

bool is_alive(const LockHolder& holder, double stale_after_s)
{
    if (holder.host == host_name()) return process_start_ticks(holder.pid) == holder.start_ticks;
    return holder.age_s < stale_after_s && !is_restart_of(holder.batch_job, batch_job());
}

RunLock::RunLock(const RunFiles& files, const std::function<void(double)>& sleep, LockTiming timing)
    : file_(files.lock()), timing_(timing)
{
    const int pid = getpid();
    const fs::path own = str(file_.string(), ".", host_name(), ".", pid);
    io::write_file_atomic(own, json{{"host", host_name()},
                                    {"pid", pid},
                                    {"start_ticks", process_start_ticks(pid).value_or(0)},
                                    {"batch_job", batch_job()}}
                                       .dump());
    try {
        // First take the own lock, then look at those of others: of two that start together at least one sees the other.
        std::optional<double> first_beat_s;
        while (link(own.c_str(), file_.c_str()) != 0) {
            if (errno != EEXIST) {
                throw IoError(str(file_.string(), ": cannot lock the output folder: ", std::strerror(errno)));
            }
            const auto holder = read_lock(file_);
            if (holder && is_alive(*holder, timing_.stale_after_s)) {
                if (holder->host == host_name() || (first_beat_s && *first_beat_s < holder->beat_s)) {
                    throw InputError(describe(*holder, files.folder()));
                }
                if (!first_beat_s) {
                    first_beat_s = holder->beat_s;
                    log::info(describe(*holder, files.folder()) + "; watching whether it is still alive");
                }
                sleep(timing_.period_s / 5);
                continue;
            }
            const fs::path grave = str(own.string(), ".stale");
            if (rename(file_.c_str(), grave.c_str()) != 0) continue;  // another process was faster
            // If it was faster by more than that, this is its new lock: give it back.
            const auto taken = read_lock(grave);
            if (taken && is_alive(*taken, timing_.stale_after_s)) {
                [[maybe_unused]] const int given_back = link(grave.c_str(), file_.c_str());
            }
            unlink(grave.c_str());
        }
    } catch (...) {
        unlink(own.c_str());
        throw;
    }
    unlink(own.c_str());
    for (const Shard& other : RunFiles::present(files.folder(), ".lock")) {
        if (other == files.shard() || !excludes(other, files.shard())) continue;
        const auto holder = read_lock(RunFiles(files.folder(), other).lock());
        if (holder && is_alive(*holder, timing_.stale_after_s)) {
            unlink(file_.c_str());
            throw InputError(describe(*holder, files.folder()));
        }
    }
}

RunLock::~RunLock() { unlink(file_.c_str()); }

void RunLock::beat(double now_s)
{
    if (now_s - beaten_s_ < timing_.period_s) return;
    beaten_s_ = now_s;
    utimensat(AT_FDCWD, file_.c_str(), nullptr, 0);
}

}  // namespace qsmpi::runtime
