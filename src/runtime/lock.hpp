#pragma once
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "run_files.hpp"

namespace qsmpi::runtime {

/// Who holds an output folder.
struct LockHolder {
    std::string host;
    int pid = 0;
    std::uint64_t start_ticks = 0;
    std::string batch_job;  ///< scheduler's id and restart count; empty outside
    double beat_s = 0.0;    ///< when it last showed life, by the file system's clock
    double age_s = 0.0;     ///< since then; not looked at for a holder on this host
};

struct LockTiming {
    double period_s = 10.0;
    double stale_after_s = 30.0;
};

/// Nothing if there is no such file or it makes no sense.
[[nodiscard]] std::optional<LockHolder> read_lock(const std::filesystem::path& file);
/// Whether the holder can still be at work: on this host its process must live, on others it must have shown life.
[[nodiscard]] bool is_alive(const LockHolder& holder, double stale_after_s);

/// Keeps a second run off the same output: a file with host, process and batch job, touched every period.
/// Shards of the same split do not exclude each other; a run over everything and any shard do.
/// Made by link(), which is atomic on network file systems too.
class RunLock {
public:
    /// A holder on another host that may just have died (requeue on another node) is watched until it shows life
    /// or is stale. @throws InputError naming the holder if the folder is in use; IoError
    /// @param sleep  waits for so many seconds
    RunLock(const RunFiles& files, const std::function<void(double)>& sleep, LockTiming timing = {});
    ~RunLock();
    RunLock(const RunLock&) = delete;
    RunLock& operator=(const RunLock&) = delete;

    /// Shows life, at most once a period.
    void beat(double now_s);

private:
    std::filesystem::path file_;
    LockTiming timing_;
    double beaten_s_ = -1e9;
};

}  // namespace qsmpi::runtime
