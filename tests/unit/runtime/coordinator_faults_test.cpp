// Crashes, lost ranks, stops, deadlines, stragglers.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "farm.hpp"

namespace qsmpi::runtime {
namespace {

using namespace coordinator;

TEST(CoordinatorFaults, GivesTheJobsOfASilentRankToOthersAndFinishes)
{
    Farm farm(tasks({1, 1, 1}), {.n_ranks = 3, .lost_after_s = 30, .placement = {.threads_per_job = 1}});
    farm.join(0, node("a", {0}));
    farm.join(1, node("b", {0}));
    farm.join(2, node("c", {0}));
    ASSERT_EQ(farm.started.size(), 3u);
    const auto on_one = std::find_if(farm.started.begin(), farm.started.end(), [](auto& s) { return s.slot.rank == 1; });
    ASSERT_NE(on_one, farm.started.end());
    const StartJob stuck = *on_one;
    for (const StartJob& s : std::vector<StartJob>(farm.started)) {
        if (s.slot.rank != 1) farm.end(s);
    }
    farm.pass(25, {1});
    EXPECT_TRUE(farm.lost.empty());
    farm.pass(10, {1});
    EXPECT_EQ(farm.lost, std::vector<int>{1});
    ASSERT_EQ(farm.started.size(), 4u);
    EXPECT_EQ(farm.started[3].job, stuck.job);
    EXPECT_NE(farm.started[3].slot.rank, 1);
    EXPECT_EQ(farm.started[3].attempt, stuck.attempt + 1);

    farm.end(stuck);  // it was only slow: what it says now no longer counts
    EXPECT_EQ(farm.state().n_done(), 2u);
    farm.end(farm.started[3]);
    EXPECT_EQ(farm.state().n_done(), 3u);
    EXPECT_EQ(farm.n_over, 1);
}

TEST(CoordinatorFaults, GoesOnWithoutARankThatNeverReports)
{
    Farm farm(tasks({1}), {.n_ranks = 3, .lost_after_s = 30});
    farm.join(0, node("a", {0}));
    farm.join(1, node("a", {1}));
    farm.pass(29);
    EXPECT_TRUE(farm.started.empty());
    farm.pass(5);
    EXPECT_EQ(farm.lost, std::vector<int>{2});
    EXPECT_EQ(farm.started.size(), 1u);
}

TEST(CoordinatorFaults, TakesOverItselfWhenAllOtherRanksAreLost)
{
    Farm farm(tasks({1}), {.n_ranks = 2, .lost_after_s = 30});
    farm.everyone_joins();
    farm.pass(40, {1});
    ASSERT_EQ(farm.started.size(), 2u);
    EXPECT_EQ(farm.started[1].slot.rank, 0);
    EXPECT_EQ(farm.started[1].slot.threads, 2) << "the lost rank's core is still there";
}

TEST(CoordinatorFaults, TriesACrashAgainButNotAFailureThatTheJobReports)
{
    Farm crash(tasks({1}), {.max_attempts = 2});
    crash.everyone_joins();
    crash.end(crash.started[0], Cause::signal);
    ASSERT_EQ(crash.started.size(), 2u);
    EXPECT_FALSE(crash.ended[0].final);
    crash.end(crash.started[1], Cause::exit);
    EXPECT_EQ(crash.started.size(), 2u);
    EXPECT_TRUE(crash.ended[1].final);
    EXPECT_EQ(crash.state().n_failed(), 1u);
    EXPECT_EQ(crash.n_over, 1);

    Farm reported(tasks({1}), {.max_attempts = 5});
    reported.everyone_joins();
    reported.end(reported.started[0], Cause::reported);
    EXPECT_EQ(reported.started.size(), 1u);
    EXPECT_EQ(reported.state().n_failed(), 1u);
}

TEST(CoordinatorFaults, CountsNoAttemptForAnInterruption)
{
    Farm farm(tasks({1}), {.n_ranks = 2, .max_attempts = 1});
    farm.everyone_joins();
    for (int i = 0; i < 10; ++i) farm.end(farm.started.back(), Cause::interrupted);
    EXPECT_EQ(farm.started.size(), 11u);
    EXPECT_EQ(farm.state().n_failed(), 0u);
}

TEST(CoordinatorFaults, FailsAJobThatWasRunningWhenFiveRanksDied)
{
    std::vector<Task> unlucky = tasks({1});
    unlucky[0].rank_deaths = 2;  // in earlier runs
    Farm killer(unlucky, {.n_ranks = 5, .max_attempts = 1, .max_rank_deaths = 5});
    killer.everyone_joins();
    std::set<int> dead;
    while (killer.n_over == 0 && dead.size() < 4) {
        dead.insert(killer.started.back().slot.rank);
        killer.pass(40, dead);
    }
    EXPECT_EQ(dead.size(), 3u);
    EXPECT_EQ(killer.state().n_failed(), 1u);
    EXPECT_EQ(killer.ended.back().outcome.cause, Cause::lost);
    EXPECT_TRUE(killer.ended.back().final);
}

TEST(CoordinatorFaults, StopsAtOnceWhenAskedAndPutsRunningJobsBack)
{
    Farm farm(tasks({1, 1, 1}), {.n_ranks = 2, .placement = {.threads_per_job = 1}});
    farm.everyone_joins();
    ASSERT_EQ(farm.started.size(), 2u);
    farm.send(StopRequested{.kill_running = true});
    EXPECT_EQ(farm.killed.size(), 2u);
    farm.end(farm.started[0], Cause::interrupted);
    farm.end(farm.started[1]);  // finished before the kill arrived: that counts
    EXPECT_EQ(farm.n_over, 1);
    EXPECT_EQ(farm.started.size(), 2u);
    EXPECT_EQ(farm.state().n_done(), 1u);
    EXPECT_EQ(farm.state().n_failed(), 0u);
}

TEST(CoordinatorFaults, DoesNotWaitForASupervisorThatNeverConfirmsAKill)
{
    Farm farm(tasks({1}), {.n_ranks = 2, .stop_patience_s = 3});
    farm.everyone_joins();
    farm.send(StopRequested{.kill_running = true});
    farm.pass(2);
    EXPECT_EQ(farm.n_over, 0);
    farm.pass(2);
    EXPECT_EQ(farm.n_over, 1);
    EXPECT_EQ(farm.ended.back().outcome.cause, Cause::interrupted);
}

TEST(CoordinatorFaults, LetsRunningJobsEndWhenAskedToDrainAndKillsAtTheSecondRequest)
{
    Farm farm(tasks({1, 1, 1, 1}), {.n_ranks = 2, .placement = {.threads_per_job = 1}});
    farm.everyone_joins();
    farm.send(StopRequested{.kill_running = false});
    EXPECT_TRUE(farm.killed.empty());
    farm.end(farm.started[0]);
    EXPECT_EQ(farm.started.size(), 2u);
    EXPECT_EQ(farm.n_over, 0);
    farm.send(StopRequested{.kill_running = true});
    ASSERT_EQ(farm.killed.size(), 1u);
    farm.end(farm.started[1], Cause::interrupted);
    EXPECT_EQ(farm.n_over, 1);
}

TEST(CoordinatorFaults, StartsNothingAfterTheDeadlineNorWhatWouldEndAfterIt)
{
    Farm farm(tasks(std::vector<double>(20, 1.0)), {.deadline_s = 100});
    farm.join(0, node("a", {0}));
    for (int i = 0; i < 4; ++i) {  // each takes 30 s: after three the farm knows
        farm.now_s += 30;
        farm.end(farm.started.back(), Cause::none, 30.0);
        if (farm.n_over > 0) break;
    }
    EXPECT_EQ(farm.started.size(), 3u) << "at 90 s the fourth would not end before 100 s";
    EXPECT_EQ(farm.n_over, 1);
    EXPECT_EQ(farm.state().n_failed(), 0u);
}

TEST(CoordinatorFaults, KillsAJobThatTakesTooLong)
{
    Farm fixed(tasks({1}), {.job_timeout_s = 10});
    fixed.everyone_joins();
    fixed.pass(9);
    EXPECT_TRUE(fixed.killed.empty());
    fixed.pass(3);
    ASSERT_EQ(fixed.killed.size(), 1u);
    EXPECT_EQ(fixed.killed[0].cause, Cause::timeout);
    fixed.pass(10);
    EXPECT_EQ(fixed.killed.size(), 1u) << "once is enough";
}

TEST(CoordinatorFaults, TakesTheTimesOfOtherJobsAsTheMeasureOfAStraggler)
{
    Farm farm(tasks({1, 1, 1, 1}), {.straggler_factor = 10, .straggler_floor_s = 60});
    farm.join(0, node("a", {0}));
    for (int i = 0; i < 3; ++i) {
        farm.now_s += 20;
        farm.end(farm.started.back(), Cause::none, 20.0);
    }
    farm.pass(190);
    EXPECT_TRUE(farm.killed.empty());
    farm.pass(20);  // over 10 x 20 s
    EXPECT_EQ(farm.killed.size(), 1u);
}

TEST(CoordinatorFaults, StopsTheRunWhenTheDiskRefuses)
{
    Farm farm(tasks({1, 1, 1}), {});
    farm.join(0, node("a", {0}));
    farm.end(farm.started[0], Cause::disk);
    EXPECT_TRUE(farm.state().disk_refused());
    EXPECT_EQ(farm.state().n_failed(), 0u);
    EXPECT_EQ(farm.n_over, 1);
}

TEST(CoordinatorFaults, TakesBackTheJobsOfARankThatWithdraws)
{
    Farm farm(tasks({1, 1}), {.n_ranks = 3, .max_attempts = 1});
    farm.join(0, node("a", {0}));
    farm.join(1, node("b", {0}));
    farm.join(2, node("c", {0}));
    const auto before = farm.started.size();
    farm.send(Withdrew{1});
    farm.send(Withdrew{2});
    for (std::size_t i = 0; i < farm.started.size(); ++i) {
        if (farm.started[i].slot.rank == 0) farm.end(farm.started[i]);
    }
    EXPECT_GT(farm.started.size(), before);
    EXPECT_EQ(farm.state().n_done(), 2u);
    EXPECT_EQ(farm.state().n_failed(), 0u);
    farm.pass(60, {});
    EXPECT_TRUE(farm.lost.empty());
}

}  // namespace
}  // namespace qsmpi::runtime
