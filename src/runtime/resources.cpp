#include "qsmpi/runtime/resources.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>

#include <sched.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

namespace fs = std::filesystem;

std::optional<std::string> first_line(const fs::path& file)
{
    std::ifstream in(file);
    std::string line;
    if (!std::getline(in, line)) return std::nullopt;
    return line;
}

std::optional<std::uint64_t> number_in(std::string_view text)
{
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end == text.data()) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> number_in_file(const fs::path& file)
{
    const auto line = first_line(file);
    return line ? number_in(*line) : std::nullopt;
}

/// The number after `key` and blanks in a file of such lines (memory.stat, /proc/meminfo).
std::uint64_t field_of(const fs::path& file, std::string_view key)
{
    std::ifstream in(file);
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with(key)) continue;
        const auto digits = line.find_first_of("0123456789", key.size());
        if (digits != std::string::npos) return number_in(std::string_view(line).substr(digits)).value_or(0);
    }
    return 0;
}

template <typename T>
void tighten(std::optional<T>& limit, T value)
{
    limit = limit ? std::min(*limit, value) : value;
}

std::uint64_t left_of(std::uint64_t limit, std::uint64_t used, std::uint64_t cached)
{
    const std::uint64_t held = used > cached ? used - cached : 0;
    return limit > held ? limit - held : 0;
}

void read_v2(const fs::path& folder, CgroupLimits& limits)
{
    if (const auto line = first_line(folder / "cpu.max")) {  // "max 100000" or "<quota> <period>"
        std::istringstream words(*line);
        double quota = 0, period = 0;
        if (words >> quota >> period && period > 0) tighten(limits.cpus, quota / period);
    }
    if (const auto limit = number_in_file(folder / "memory.max")) {
        tighten(limits.memory_bytes, left_of(*limit, number_in_file(folder / "memory.current").value_or(0),
                                             field_of(folder / "memory.stat", "inactive_file ")));
    }
}

void read_v1_cpu(const fs::path& folder, CgroupLimits& limits)
{
    const auto quota = number_in_file(folder / "cpu.cfs_quota_us");  // -1: none, which is no number here
    const auto period = number_in_file(folder / "cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0) {
        tighten(limits.cpus, static_cast<double>(*quota) / static_cast<double>(*period));
    }
}

void read_v1_memory(const fs::path& folder, CgroupLimits& limits)
{
    const auto limit = number_in_file(folder / "memory.limit_in_bytes");
    if (!limit || *limit >= (std::uint64_t{1} << 62)) return;  // "unlimited" is a huge number in version 1
    tighten(limits.memory_bytes, left_of(*limit, number_in_file(folder / "memory.usage_in_bytes").value_or(0),
                                         field_of(folder / "memory.stat", "total_inactive_file ")));
}

/// Calls read(folder) for the group and every group around it. In a container the inner folders may be missing.
template <typename Read>
void up_to_root(const fs::path& mount, fs::path group, Read&& read)
{
    group = group.relative_path();
    for (;; group = group.parent_path()) {
        read(group.empty() ? mount : mount / group);
        if (group.empty()) return;
    }
}

int positive(const char* text)
{
    if (text == nullptr) return 0;
    return static_cast<int>(std::min<std::uint64_t>(number_in(text).value_or(0), 1 << 20));
}

std::vector<int> affinity_cores()
{
    // The kernel may know more CPUs than cpu_set_t has bits: grow the mask until it fits.
    for (int n = 1024; n <= 1 << 20; n *= 2) {
        cpu_set_t* mask = CPU_ALLOC(static_cast<std::size_t>(n));
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(n));
        std::vector<int> cores;
        const bool ok = sched_getaffinity(0, bytes, mask) == 0;
        for (int c = 0; ok && c < n; ++c) {
            if (CPU_ISSET_S(static_cast<std::size_t>(c), bytes, mask)) cores.push_back(c);
        }
        CPU_FREE(mask);
        if (ok) return cores;
    }
    return {0};
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& self, const fs::path& mount)
{
    CgroupLimits limits;
    std::ifstream in(self);
    for (std::string line; std::getline(in, line);) {  // "4:memory:/group" in version 1, "0::/group" in version 2
        const auto first = line.find(':');
        const auto second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = str(',', line.substr(first + 1, second - first - 1), ',');
        const fs::path group = line.substr(second + 1);
        if (controllers == ",,") {
            up_to_root(mount, group, [&](const fs::path& f) { read_v2(f, limits); });
        }
        if (controllers.find(",cpu,") != std::string::npos) {
            for (const char* name : {"cpu", "cpu,cpuacct"}) {
                up_to_root(mount / name, group, [&](const fs::path& f) { read_v1_cpu(f, limits); });
            }
        }
        if (controllers.find(",memory,") != std::string::npos) {
            up_to_root(mount / "memory", group, [&](const fs::path& f) { read_v1_memory(f, limits); });
        }
    }
    return limits;
}

BatchLimits batch_limits(const std::function<const char*(const char*)>& variable)
{
    BatchLimits limits;
    if (variable("SLURM_JOB_ID") != nullptr) {
        limits.cpus = positive(variable("SLURM_CPUS_ON_NODE"));
        limits.cpus_per_task = positive(variable("SLURM_CPUS_PER_TASK"));
        const std::uint64_t mib = std::uint64_t{1} << 20;
        if (const int per_node = positive(variable("SLURM_MEM_PER_NODE")); per_node > 0) {
            limits.memory_bytes = static_cast<std::uint64_t>(per_node) * mib;
        } else if (const int per_cpu = positive(variable("SLURM_MEM_PER_CPU")); per_cpu > 0 && limits.cpus > 0) {
            limits.memory_bytes = static_cast<std::uint64_t>(per_cpu) * static_cast<std::uint64_t>(limits.cpus) * mib;
        }
    } else if (variable("PBS_JOBID") != nullptr) {
        limits.cpus = positive(variable("NCPUS"));
        if (limits.cpus == 0) limits.cpus_per_task = positive(variable("OMP_NUM_THREADS"));
    }
    return limits;
}

NodeReport report_node(std::uint64_t memory_limit_bytes)
{
    NodeReport report;
    report.host = host_name();
    report.pid = getpid();
    report.start_ticks = process_start_ticks(report.pid).value_or(0);
    report.cores = affinity_cores();

    const CgroupLimits group = cgroup_limits();
    const BatchLimits batch = batch_limits([](const char* name) { return std::getenv(name); });
    report.cpus_per_task = batch.cpus_per_task;
    report.cpu_limit = batch.cpus;
    if (group.cpus) {
        const int whole = std::max(1, static_cast<int>(*group.cpus + 0.001));
        report.cpu_limit = report.cpu_limit > 0 ? std::min(report.cpu_limit, whole) : whole;
    }

    std::uint64_t memory = field_of("/proc/meminfo", "MemAvailable:") << 10;
    if (memory == 0) memory = std::uint64_t{1} << 62;  // not Linux as we know it: let the other limits decide
    if (group.memory_bytes) memory = std::min(memory, *group.memory_bytes);
    if (batch.memory_bytes) memory = std::min(memory, *batch.memory_bytes);
    if (memory_limit_bytes > 0) memory = std::min(memory, memory_limit_bytes);
    report.memory_bytes = static_cast<std::uint64_t>(usable_memory_share * static_cast<double>(memory));
    return report;
}

std::optional<std::uint64_t> process_start_ticks(int pid)
{
    const auto line = first_line("/proc/" + std::to_string(pid) + "/stat");
    if (!line) return std::nullopt;
    // The second field, the name in brackets, may contain anything; the start time is the 22nd, the 20th after it.
    const auto bracket = line->rfind(')');
    if (bracket == std::string::npos) return std::nullopt;
    std::istringstream words(line->substr(bracket + 1));
    std::string word;
    words >> word;
    if (word == "Z" || word == "X") return std::nullopt;  // ended, only nobody has asked for its exit code yet
    for (int i = 1; i < 20; ++i) words >> word;
    return number_in(word);
}

std::string host_name()
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0 || name[0] == '\0') return "localhost";
    return name;
}

}  // namespace qsmpi::runtime
