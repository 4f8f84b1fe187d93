#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace qsmpi::runtime {

/// What one rank knows of the node it runs on; sent to the coordinator once, at the start.
struct NodeReport {
    std::string host;
    int pid = 0;
    std::uint64_t start_ticks = 0;   ///< of that process, since boot: tells it from a later one with the same pid
    std::vector<int> cores = {};     ///< affinity mask of this rank, ascending
    int cpu_limit = 0;               ///< CPUs of this node that the batch system or a cgroup allows; 0: no limit known
    int cpus_per_task = 0;           ///< CPUs for each rank on it; 0: not said
    std::uint64_t memory_bytes = 0;  ///< for all jobs on this node together
};

/// Share of the memory on offer that jobs may plan with; the rest is for us, MPI, the page cache and bad estimates.
inline constexpr double usable_memory_share = 0.9;

/// Limits that control groups, version 1 or 2, put on this process: the tightest on the way to the root.
struct CgroupLimits {
    std::optional<double> cpus;
    std::optional<std::uint64_t> memory_bytes;  ///< still free below the limit; file cache counts as free
};
[[nodiscard]] CgroupLimits cgroup_limits(const std::filesystem::path& self = "/proc/self/cgroup",
                                         const std::filesystem::path& mount = "/sys/fs/cgroup");

/// Limits from the variables of Slurm and PBS.
struct BatchLimits {
    int cpus = 0;            ///< of this node; 0: not said
    int cpus_per_task = 0;
    std::optional<std::uint64_t> memory_bytes;
};
/// @param variable  as std::getenv, with nullptr for unset
[[nodiscard]] BatchLimits batch_limits(const std::function<const char*(const char*)>& variable);

/// Everything above for this process. @param memory_limit_bytes a further limit; 0: none
[[nodiscard]] NodeReport report_node(std::uint64_t memory_limit_bytes);

/// Since boot, of a living process of this machine; nothing if there is none with this pid.
[[nodiscard]] std::optional<std::uint64_t> process_start_ticks(int pid);
[[nodiscard]] std::string host_name();

}  // namespace qsmpi::runtime
