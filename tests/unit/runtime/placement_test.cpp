#include "qsmpi/runtime/placement.hpp"

#include <gtest/gtest.h>

#include <set>

namespace qsmpi::runtime {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

NodeReport node(const std::string& host, std::vector<int> cores)
{
    return {.host = host, .cores = std::move(cores), .memory_bytes = 8 * gib};
}

/// Places one-GiB jobs until no more fit.
std::vector<Slot> fill(Placement& p, std::size_t n_pending = 1000)
{
    std::vector<Slot> slots;
    while (auto slot = p.place({.memory_bytes = gib / 16, .alone = false}, n_pending)) slots.push_back(*slot);
    return slots;
}

TEST(Placement, SharesTheUnionOfAllMasksOfANodeAmongItsSupervisors)
{
    // mpirun --bind-to core gives every rank one core, the coordinator too; none may stay idle.
    Placement p({});
    for (int rank = 0; rank < 4; ++rank) p.join(rank, node("a", {rank}));
    const auto slots = fill(p);
    ASSERT_EQ(slots.size(), 4u);
    std::set<int> cores, ranks;
    for (const Slot& s : slots) {
        cores.insert(s.cores.begin(), s.cores.end());
        ranks.insert(s.rank);
    }
    EXPECT_EQ(cores, (std::set<int>{0, 1, 2, 3}));
    EXPECT_EQ(ranks, (std::set<int>{1, 2, 3}));
}

TEST(Placement, CountsCoresOnceThatAllRanksMayUse)
{
    Placement p({});
    for (int rank = 0; rank < 3; ++rank) p.join(rank, node("a", {0, 1}));
    EXPECT_EQ(fill(p).size(), 2u);
}

TEST(Placement, KeepsToALimitBelowTheMaskAndThenNamesNoCores)
{
    // A container with a quota of 3 CPUs on a machine of 64: other containers would pin to cores 0, 1, 2 as well.
    std::vector<int> all(64);
    for (int c = 0; c < 64; ++c) all[static_cast<std::size_t>(c)] = c;
    NodeReport report = node("a", all);
    report.cpu_limit = 3;
    Placement p({});
    p.join(0, report);
    const auto slots = fill(p);
    EXPECT_EQ(slots.size(), 3u);
    for (const Slot& s : slots) EXPECT_TRUE(s.cores.empty());
}

TEST(Placement, CountsCpusPerTaskForEveryRank)
{
    Placement p({});
    for (int rank = 0; rank < 3; ++rank) {
        NodeReport report = node("a", {0, 1, 2, 3, 4, 5, 6, 7});
        report.cpus_per_task = 2;
        p.join(rank, report);
    }
    EXPECT_EQ(p.n_cpus(), 6);
}

TEST(Placement, GivesBackWhatAJobHeld)
{
    Placement p({});
    p.join(0, node("a", {4, 5}));
    const Need need{gib, false};
    const auto a = p.place(need, 1);
    ASSERT_TRUE(a.has_value());
    EXPECT_EQ(a->threads, 2);
    EXPECT_FALSE(p.any_cpu_free());
    EXPECT_FALSE(p.place(need, 1).has_value());
    p.release(*a, need);
    const auto b = p.place(need, 1);
    ASSERT_TRUE(b.has_value());
    EXPECT_EQ(b->cores, (std::vector<int>{4, 5}));
}

TEST(Placement, WaitsForAsManyCoresAsWereAskedFor)
{
    Placement p({.threads_per_job = 2});
    p.join(0, node("a", {0, 1, 2}));
    EXPECT_EQ(fill(p).size(), 1u);
    Placement too_many({.threads_per_job = 16});
    too_many.join(0, node("a", {0, 1, 2}));
    const auto slots = fill(too_many);
    ASSERT_EQ(slots.size(), 1u);
    EXPECT_EQ(slots[0].threads, 3) << "jobs x threads never exceed the cores";
}

TEST(Placement, KeepsToTheGreatestNumberOfJobs)
{
    Placement p({.max_jobs = 2});
    p.join(0, node("a", {0, 1, 2, 3}));
    const auto slots = fill(p);
    ASSERT_EQ(slots.size(), 2u);
    EXPECT_EQ(slots[0].threads + slots[1].threads, 4);
}

TEST(Placement, SpreadsOverNodes)
{
    Placement p({});
    p.join(0, node("a", {0, 1}));
    p.join(1, node("b", {0, 1}));
    p.join(2, node("c", {0, 1}));
    std::set<int> ranks;
    for (int i = 0; i < 3; ++i) ranks.insert(p.place({gib, false}, 3)->rank);
    EXPECT_EQ(ranks, (std::set<int>{0, 1, 2}));
}

TEST(Placement, NeverGivesOutMoreThanThereIs)
{
    // Random traffic with a fixed seed; the sums are kept here, independently.
    Placement p({});
    p.join(0, node("a", {0, 1, 2, 3, 4, 5}));
    struct Held {
        Slot slot;
        Need need;
    };
    std::vector<Held> held;
    unsigned state = 12345;
    const auto next = [&] { return (state = state * 1664525u + 1013904223u) >> 16; };
    for (int step = 0; step < 5000; ++step) {
        if (next() % 2 == 0) {
            const Need need{(next() % 40) * gib / 10, next() % 10 == 0};
            if (const auto slot = p.place(need, 1 + next() % 9)) {
                EXPECT_TRUE(!need.alone || held.empty());
                held.push_back({*slot, need});
            }
        } else if (!held.empty()) {
            const std::size_t i = next() % held.size();
            p.release(held[i].slot, held[i].need);
            held.erase(held.begin() + static_cast<std::ptrdiff_t>(i));
        }
        std::uint64_t bytes = 0;
        int threads = 0;
        std::set<int> cores;
        for (const Held& h : held) {
            bytes += h.need.memory_bytes;
            threads += h.slot.threads;
            cores.insert(h.slot.cores.begin(), h.slot.cores.end());
        }
        ASSERT_LE(bytes, 8 * gib);
        ASSERT_LE(threads, 6);
        ASSERT_EQ(static_cast<int>(cores.size()), threads) << "each core once";
    }
}

}  // namespace
}  // namespace qsmpi::runtime
