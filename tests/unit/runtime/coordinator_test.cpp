// Who gets which job, where, with how many threads.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "farm.hpp"

namespace qsmpi::runtime {
namespace {

using namespace coordinator;

TEST(Coordinator, DoesEveryJobOnceAndSaysWhenAllIsOver)
{
    Farm farm(tasks(std::vector<double>(7, 1.0)), {.n_ranks = 3});
    farm.everyone_joins();
    for (std::size_t i = 0; i < farm.started.size(); ++i) farm.end(farm.started[i]);
    std::set<std::size_t> jobs;
    for (const auto& s : farm.started) jobs.insert(s.job);
    EXPECT_EQ(farm.started.size(), 7u);
    EXPECT_EQ(jobs.size(), 7u);
    EXPECT_EQ(farm.state().n_done(), 7u);
    EXPECT_EQ(farm.n_over, 1);
    farm.pass(5);
    EXPECT_EQ(farm.n_over, 1);
}

TEST(Coordinator, IsOverAtOnceWithoutJobs)
{
    Farm farm({}, {.n_ranks = 2});
    farm.send(Tick{});
    EXPECT_EQ(farm.n_over, 1);
}

TEST(Coordinator, StartsTheLongestJobsFirst)
{
    Farm farm(tasks({1, 5, 3, 4, 2}), {.n_ranks = 2, .placement = {.threads_per_job = 1}});
    farm.everyone_joins();
    for (std::size_t i = 0; i < farm.started.size(); ++i) farm.end(farm.started[i]);
    std::vector<std::size_t> order;
    for (const auto& s : farm.started) order.push_back(s.job);
    EXPECT_EQ(order, (std::vector<std::size_t>{1, 3, 2, 4, 0}));
}

TEST(Coordinator, WaitsUntilAllRanksAreKnownAndUsesRankZeroOnlyWhereNobodyElseIs)
{
    Farm farm(tasks({1, 1, 1, 1, 1, 1}), {.n_ranks = 3, .lost_after_s = 30, .placement = {.threads_per_job = 1}});
    farm.join(0, node("a", {0, 1}));
    farm.join(1, node("a", {0, 1}));
    EXPECT_TRUE(farm.started.empty());
    farm.join(2, node("b", {0, 1}));
    ASSERT_EQ(farm.started.size(), 4u);
    for (const auto& s : farm.started) EXPECT_NE(s.slot.rank, 0);
}

TEST(Coordinator, SupervisesOnItsOwnNodeWhenThatHasNoOtherRank)
{
    Farm farm(tasks({1, 1}), {.n_ranks = 2});
    farm.join(0, node("a", {0}));
    farm.join(1, node("b", {0}));
    std::set<int> ranks;
    for (const auto& s : farm.started) ranks.insert(s.slot.rank);
    EXPECT_EQ(ranks, (std::set<int>{0, 1}));
}

TEST(Coordinator, RunsAnOutOfMemoryJobOnceMoreAloneOnItsNode)
{
    Farm farm(tasks({3, 2, 1}), {.max_attempts = 3, .placement = {.threads_per_job = 1}});
    farm.join(0, node("a", {0, 1}));
    ASSERT_EQ(farm.started.size(), 2u);
    farm.end(farm.started[0], Cause::oom);
    EXPECT_EQ(farm.started.size(), 2u) << "the node must drain first, and the third job must not slip in";
    farm.end(farm.started[1]);
    ASSERT_EQ(farm.started.size(), 3u);
    EXPECT_EQ(farm.started[2].job, 0u);
    farm.end(farm.started[2], Cause::oom);
    EXPECT_EQ(farm.state().n_failed(), 1u) << "alone and still too big: no third time";
    ASSERT_EQ(farm.started.size(), 4u);
    EXPECT_EQ(farm.started[3].job, 2u);
}

TEST(Coordinator, AdmitsJobsOnlyWhileTheirMemoryFits)
{
    std::vector<Task> big;
    for (int i = 0; i < 4; ++i) big.push_back({.memory_bytes = 3 * gib, .cost = 1});
    Farm farm(big, {});
    farm.join(0, node("a", {0, 1, 2, 3}, 8 * gib));
    EXPECT_EQ(farm.started.size(), 2u);
    int threads = 0;
    for (const auto& s : farm.started) threads += s.slot.threads;
    EXPECT_EQ(threads, 4) << "two jobs are all that fits, so they share the four cores";
    farm.end(farm.started[0]);
    EXPECT_EQ(farm.started.size(), 3u);
}

TEST(Coordinator, FailsAJobThatNoNodeCouldHoldAndSaysWhatItNeeds)
{
    Farm farm({{.memory_bytes = 20 * gib, .cost = 1}, {.memory_bytes = gib, .cost = 1}}, {});
    farm.join(0, node("a", {0, 1}, 8 * gib));
    ASSERT_EQ(farm.ended.size(), 1u);
    EXPECT_EQ(farm.ended[0].outcome.cause, Cause::memory);
    EXPECT_NE(farm.ended[0].outcome.message.find("20 GiB"), std::string::npos);
    EXPECT_NE(farm.ended[0].outcome.message.find("8 GiB"), std::string::npos);
    EXPECT_EQ(farm.started.size(), 1u);
}

TEST(Coordinator, LetsSmallJobsOvertakeABigOneButNotForEver)
{
    // The big job needs the whole node; 100 small ones of the same cost could keep two cores busy all the time.
    std::vector<Task> all{{.memory_bytes = 4 * gib, .cost = 2}, {.memory_bytes = 5 * gib, .cost = 1.5}};
    for (int i = 0; i < 100; ++i) all.push_back({.memory_bytes = gib, .cost = 1});
    Farm farm(all, {.placement = {.threads_per_job = 1}});
    farm.join(0, node("a", {0, 1, 2}, 8 * gib));
    std::size_t big_started_as = 0;
    for (std::size_t i = 1; i < farm.started.size(); ++i) {  // the first job is still running all the while
        if (farm.started[i].job == 1) big_started_as = i;
        if (farm.started[i].job != 1) farm.end(farm.started[i]);
        if (i == 8) farm.end(farm.started[0]);
    }
    EXPECT_GT(big_started_as, 0u);
    EXPECT_LT(big_started_as, 20u);
}

TEST(Coordinator, GivesASingleJobAllCoresAndManyJobsOneEach)
{
    Farm one(tasks({1}), {});
    one.join(0, node("a", {0, 1, 2, 3, 4, 5, 6, 7}));
    ASSERT_EQ(one.started.size(), 1u);
    EXPECT_EQ(one.started[0].slot.threads, 8);

    Farm many(tasks(std::vector<double>(100, 1.0)), {});
    many.join(0, node("a", {0, 1, 2, 3, 4, 5, 6, 7}));
    ASSERT_EQ(many.started.size(), 8u);
    std::set<int> cores;
    for (const auto& s : many.started) {
        EXPECT_EQ(s.slot.threads, 1);
        cores.insert(s.slot.cores.begin(), s.slot.cores.end());
    }
    EXPECT_EQ(cores.size(), 8u) << "no core is given twice";

    Farm last(tasks({1, 1, 1}), {});
    last.join(0, node("a", {0, 1, 2, 3, 4, 5, 6, 7}));
    ASSERT_EQ(last.started.size(), 3u);
    EXPECT_EQ(last.started[0].slot.threads + last.started[1].slot.threads + last.started[2].slot.threads, 8);
}

}  // namespace
}  // namespace qsmpi::runtime
