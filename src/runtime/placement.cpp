#include "qsmpi/runtime/placement.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {

double expected_speed(int threads) { return 1.0 / (0.2 + 0.8 / std::max(1, threads)); }

int Placement::Host::cpus() const
{
    int n = static_cast<int>(cores.size());
    if (cpu_limit > 0) n = std::min(n, cpu_limit);
    if (cpus_per_task > 0) n = std::min(n, cpus_per_task * n_ranks);
    return std::max(1, n);
}

int Placement::Host::supervisor() const
{
    int best = -1;
    int best_load = std::numeric_limits<int>::max();
    for (const int rank : alive) {
        if (rank == 0 && alive.size() > 1) continue;
        const auto found = running_of_rank.find(rank);
        const int load = found == running_of_rank.end() ? 0 : found->second;
        if (load < best_load) {
            best = rank;
            best_load = load;
        }
    }
    return best;
}

void Placement::join(int rank, const NodeReport& report)
{
    Host& host = hosts_[report.host];
    host_of_[rank] = report.host;
    host.alive.insert(rank);
    ++host.n_ranks;
    for (const int core : report.cores) {
        if (host.cores.insert(core).second) host.free_cores.insert(core);
    }
    if (report.cpu_limit > 0) {
        host.cpu_limit = host.cpu_limit > 0 ? std::min(host.cpu_limit, report.cpu_limit) : report.cpu_limit;
    }
    host.cpus_per_task = std::max(host.cpus_per_task, report.cpus_per_task);
    host.memory_bytes = host.n_ranks > 1 ? std::min(host.memory_bytes, report.memory_bytes) : report.memory_bytes;
}

void Placement::leave(int rank)
{
    const auto found = host_of_.find(rank);
    if (found != host_of_.end()) hosts_[found->second].alive.erase(rank);
    if (reserved_ && hosts_[*reserved_].supervisor() < 0) reserved_.reset();
}

bool Placement::admits(const std::string& name, const Host& host, const Need& need) const
{
    if (host.supervisor() < 0 || host.taken_alone) return false;
    if (reserved_ == name) return false;
    const int wanted = std::clamp(options_.threads_per_job, 1, host.cpus());
    if (host.cpus() - host.used_cpus < wanted) return false;
    if (options_.max_jobs > 0 && host.running >= options_.max_jobs) return false;
    if (need.alone && host.running > 0) return false;
    return host.used_bytes + need.memory_bytes <= host.memory_bytes;
}

int Placement::threads_for(const Host& host, const Need& need, std::size_t n_pending) const
{
    const int free = host.cpus() - host.used_cpus;
    if (options_.threads_per_job > 0) return std::min(options_.threads_per_job, host.cpus());
    if (need.alone) return free;

    // Time for all pending jobs in waves: with t threads each, so many run at once and each is so much faster.
    int most = 1;
    int free_everywhere = 0;
    for (const auto& [name, h] : hosts_) {
        if (h.supervisor() < 0) continue;
        most = std::max(most, h.cpus());
        free_everywhere += h.cpus() - h.used_cpus;
    }
    const std::size_t n = std::max<std::size_t>(n_pending, 1);
    const auto pending = static_cast<double>(n);
    double best_time = std::numeric_limits<double>::infinity();
    int best = 1;
    for (int t = 1; t <= most; ++t) {
        double at_once = 0;
        for (const auto& [name, h] : hosts_) {
            if (h.supervisor() < 0) continue;
            double here = h.cpus() / t;
            if (need.memory_bytes > 0) {
                here = std::min(here, static_cast<double>(h.memory_bytes / need.memory_bytes));
            }
            if (options_.max_jobs > 0) here = std::min(here, static_cast<double>(options_.max_jobs));
            at_once += here;
        }
        if (at_once < 1) continue;
        const double time = std::ceil(pending / at_once) / expected_speed(t);
        if (time < best_time * 0.999) {
            best_time = time;
            best = t;
        }
    }
    // Fewer jobs than free CPUs: none stays idle, and the first, so the longest, get the odd ones.
    const int even = static_cast<int>((static_cast<std::size_t>(free_everywhere) + n - 1) / n);
    return std::clamp(std::max(best, even), 1, free);
}

std::optional<Slot> Placement::place(const Need& need, std::size_t n_pending)
{
    const std::string* best = nullptr;
    for (const auto& [name, host] : hosts_) {
        if (!admits(name, host, need)) continue;
        const auto free = [](const Host& h) { return h.cpus() - h.used_cpus; };
        if (best == nullptr || free(host) > free(hosts_.at(*best))) best = &name;
    }
    if (best == nullptr) return std::nullopt;

    Host& host = hosts_.at(*best);
    Slot slot{.rank = host.supervisor(), .threads = threads_for(host, need, n_pending), .cores = {}};
    if (host.pins()) {
        for (int i = 0; i < slot.threads; ++i) {
            slot.cores.push_back(*host.free_cores.begin());
            host.free_cores.erase(host.free_cores.begin());
        }
    }
    host.used_cpus += slot.threads;
    host.used_bytes += need.memory_bytes;
    ++host.running;
    ++host.running_of_rank[slot.rank];
    host.taken_alone = need.alone;
    return slot;
}

void Placement::release(const Slot& slot, const Need& need)
{
    Host& host = hosts_.at(host_of_.at(slot.rank));
    host.free_cores.insert(slot.cores.begin(), slot.cores.end());
    host.used_cpus -= slot.threads;
    host.used_bytes -= need.memory_bytes;
    --host.running;
    --host.running_of_rank[slot.rank];
    if (need.alone) host.taken_alone = false;
    QSMPI_ASSERT(host.used_cpus >= 0 && host.running >= 0);
}

bool Placement::any_cpu_free() const
{
    return std::any_of(hosts_.begin(), hosts_.end(), [](const auto& entry) {
        return entry.second.supervisor() >= 0 && entry.second.used_cpus < entry.second.cpus();
    });
}

bool Placement::could_fit(const Need& need) const
{
    return std::any_of(hosts_.begin(), hosts_.end(), [&](const auto& entry) {
        return entry.second.supervisor() >= 0 && need.memory_bytes <= entry.second.memory_bytes;
    });
}

void Placement::reserve_for(const Need& need)
{
    if (reserved_) return;
    const std::string* best = nullptr;
    for (const auto& [name, host] : hosts_) {
        if (host.supervisor() < 0 || need.memory_bytes > host.memory_bytes) continue;
        if (best == nullptr || host.running < hosts_.at(*best).running) best = &name;
    }
    if (best != nullptr) reserved_ = *best;
}

std::uint64_t Placement::largest_memory_bytes() const
{
    std::uint64_t most = 0;
    for (const auto& [name, host] : hosts_) {
        if (host.supervisor() >= 0) most = std::max(most, host.memory_bytes);
    }
    return most;
}

std::string Placement::largest_host() const
{
    const std::uint64_t most = largest_memory_bytes();
    for (const auto& [name, host] : hosts_) {
        if (host.supervisor() >= 0 && host.memory_bytes == most) return name;
    }
    return "";
}

std::size_t Placement::n_supervisors() const
{
    std::size_t n = 0;
    for (const auto& [name, host] : hosts_) {
        n += host.alive.size() - (host.alive.count(0) > 0 && host.alive.size() > 1 ? 1 : 0);
    }
    return n;
}

int Placement::n_cpus() const
{
    int n = 0;
    for (const auto& [name, host] : hosts_) n += host.supervisor() < 0 ? 0 : host.cpus();
    return n;
}

}  // namespace qsmpi::runtime
