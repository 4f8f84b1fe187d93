#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "qsmpi/runtime/resources.hpp"

namespace qsmpi::runtime {

/// Where a job runs and with what.
struct Slot {
    int rank = 0;
    int threads = 1;
    std::vector<int> cores = {};  ///< to pin to; empty: wherever the system likes
};

/// What a job asks for.
struct Need {
    std::uint64_t memory_bytes = 0;
    bool alone = false;      ///< wants a whole node: after an out-of-memory kill
};

struct PlacementOptions {
    int threads_per_job = 0;  ///< 0: chosen
    int max_jobs = 0;         ///< at a time on one node; 0: no limit
};

/// Cores and memory of every node, shared out to jobs. The cores of a node are the union of the affinity masks of
/// all ranks there, as many as its limits allow; any supervisor of the node may use any of them.
/// Cores are named to a job only where the masks are the allocation. Where a limit is smaller than the masks, other
/// programs share these cores and would pin to the same ones, so jobs get a number of threads but no cores.
class Placement {
public:
    explicit Placement(const PlacementOptions& options) : options_(options) {}

    void join(int rank, const NodeReport& report);
    /// The rank takes no more jobs; its node's cores stay with the other ranks there.
    void leave(int rank);

    /// A place for a job now, if one is free. Rank 0 is used only where no other rank is left on its node.
    /// @param n_pending  jobs not started yet, this one included: few jobs get more threads each
    [[nodiscard]] std::optional<Slot> place(const Need& need, std::size_t n_pending);
    void release(const Slot& slot, const Need& need);

    [[nodiscard]] bool any_cpu_free() const;
    /// True if some node that has a supervisor could run it when empty.
    [[nodiscard]] bool could_fit(const Need& need) const;
    /// Keeps other jobs off one node that could run this one, until it is placed: big jobs are not starved by small.
    void reserve_for(const Need& need);
    void cancel_reservation() { reserved_.reset(); }

    [[nodiscard]] std::uint64_t largest_memory_bytes() const;
    [[nodiscard]] std::string largest_host() const;
    [[nodiscard]] std::size_t n_supervisors() const;
    /// CPUs of all nodes that have a supervisor.
    [[nodiscard]] int n_cpus() const;

private:
    struct Host {
        std::set<int> cores, free_cores;
        std::set<int> alive;          ///< ranks
        int n_ranks = 0;              ///< that ever joined
        int cpu_limit = 0;
        int cpus_per_task = 0;
        std::uint64_t memory_bytes = 0;
        std::uint64_t used_bytes = 0;
        int used_cpus = 0;
        int running = 0;
        bool taken_alone = false;
        std::map<int, int> running_of_rank;

        [[nodiscard]] int cpus() const;
        [[nodiscard]] bool pins() const { return cpus() == static_cast<int>(cores.size()); }
        [[nodiscard]] int supervisor() const;  ///< least busy; -1: none
    };

    [[nodiscard]] bool admits(const std::string& name, const Host& host, const Need& need) const;
    [[nodiscard]] int threads_for(const Host& host, const Need& need, std::size_t n_pending) const;

    PlacementOptions options_;
    std::map<std::string, Host> hosts_;
    std::map<int, std::string> host_of_;
    std::optional<std::string> reserved_;
};

/// Speed of one job with this many threads relative to one: Amdahl's law with a fifth that stays serial.
[[nodiscard]] double expected_speed(int threads);

}  // namespace qsmpi::runtime
