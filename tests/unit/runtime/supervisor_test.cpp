#include "qsmpi/runtime/supervisor.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace qsmpi::runtime {
namespace {

using namespace supervisor;

template <typename T>
std::vector<T> only(const std::vector<Command>& commands)
{
    std::vector<T> out;
    for (const Command& c : commands) {
        if (const T* t = std::get_if<T>(&c)) out.push_back(*t);
    }
    return out;
}

const StartOrder first{.job = 4, .attempt = 1, .slot = {.rank = 1, .threads = 2}, .key = "sub-04"};

TEST(Supervisor, StartsWhatItIsToldToAndReportsTheEnd)
{
    Supervisor s({}, false, 0.0);
    const auto spawned = only<Spawn>(s.on({0.0, StartOrdered{first}}));
    ASSERT_EQ(spawned.size(), 1u);
    EXPECT_EQ(spawned[0].order.key, "sub-04");
    EXPECT_TRUE(s.on({0.1, StartOrdered{first}}).empty()) << "an order that arrives twice is obeyed once";
    const auto reports = only<Report>(s.on({1.0, ChildEnded{4, 1, {.cause = Cause::signal, .code = 11}}}));
    ASSERT_EQ(reports.size(), 1u);
    EXPECT_EQ(reports[0].job, 4u);
    EXPECT_EQ(reports[0].attempt, 1);
    EXPECT_EQ(reports[0].outcome.cause, Cause::signal);
    EXPECT_EQ(s.n_running(), 0u);
    EXPECT_TRUE(s.on({1.1, ChildEnded{4, 1, {}}}).empty());
}

TEST(Supervisor, SaysWhyItKilledAChildUnlessThatHadFinished)
{
    Supervisor s({}, false, 0.0);
    (void)s.on({0.0, StartOrdered{first}});
    EXPECT_EQ(only<KillChild>(s.on({1.0, KillOrdered{4, 1, Cause::timeout}})).size(), 1u);
    EXPECT_TRUE(only<KillChild>(s.on({1.0, KillOrdered{4, 2, Cause::timeout}})).empty()) << "another attempt";
    EXPECT_EQ(only<Report>(s.on({1.1, ChildEnded{4, 1, {.cause = Cause::signal, .code = 9}}}))[0].outcome.cause,
              Cause::timeout);

    (void)s.on({2.0, StartOrdered{first}});
    (void)s.on({3.0, KillOrdered{4, 1, Cause::interrupted}});
    EXPECT_EQ(only<Report>(s.on({3.1, ChildEnded{4, 1, {.cause = Cause::none}}}))[0].outcome.cause, Cause::none);
}

TEST(Supervisor, BeatsRegularlyButNotToItself)
{
    Supervisor away({.beat_s = 2.0}, false, 0.0);
    Supervisor here({.beat_s = 2.0}, true, 0.0);
    std::size_t beats = 0;
    for (int i = 1; i <= 20; ++i) {
        (void)away.on({0.5 * i, Heard{}});
        beats += only<Beat>(away.on({0.5 * i, Tick{}})).size();
        EXPECT_TRUE(here.on({0.5 * i, Tick{}}).empty());
    }
    EXPECT_EQ(beats, 5u);
}

TEST(Supervisor, GivesUpASilentCoordinatorKillsItsChildAndLeaves)
{
    Supervisor s({.beat_s = 2, .lost_after_s = 30, .first_contact_s = 1000}, false, 0.0);
    EXPECT_TRUE(only<Leave>(s.on({900.0, Tick{}})).empty()) << "before the first contact it may still be scanning";
    (void)s.on({900.0, StartOrdered{first}});
    EXPECT_TRUE(only<KillChild>(s.on({929.0, Tick{}})).empty());
    EXPECT_EQ(only<KillChild>(s.on({931.0, Tick{}})).size(), 1u);
    const auto end = s.on({931.1, ChildEnded{4, 1, {.cause = Cause::signal, .code = 9}}});
    const auto leave = only<Leave>(end);
    ASSERT_EQ(leave.size(), 1u);
    EXPECT_FALSE(leave[0].everyone_left);
    EXPECT_EQ(only<Goodbye>(end).size(), 1u) << "in case the coordinator was only slow";
    EXPECT_TRUE(s.on({940.0, Tick{}}).empty());
}

TEST(Supervisor, AnswersTheDismissalWhenItsLastChildIsGoneAndLeavesWhenReleased)
{
    Supervisor s({}, false, 0.0);
    (void)s.on({0.0, StartOrdered{first}});
    const auto told = s.on({1.0, Dismissed{}});
    EXPECT_EQ(only<KillChild>(told).size(), 1u);
    EXPECT_TRUE(only<Goodbye>(told).empty());
    EXPECT_EQ(only<Goodbye>(s.on({1.1, ChildEnded{4, 1, {.cause = Cause::signal}}})).size(), 1u);
    EXPECT_EQ(only<Goodbye>(s.on({1.2, Dismissed{}})).size(), 1u) << "asked again, it answers again";
    const auto leave = only<Leave>(s.on({1.3, Released{true}}));
    ASSERT_EQ(leave.size(), 1u);
    EXPECT_TRUE(leave[0].everyone_left);
}

TEST(Supervisor, ToldToStopPutsItsJobsBackAndTakesNoMore)
{
    Supervisor s({}, false, 0.0);
    (void)s.on({0.0, StartOrdered{first}});
    EXPECT_EQ(only<KillChild>(s.on({1.0, StopRequested{}})).size(), 1u);
    const auto end = s.on({1.1, ChildEnded{4, 1, {.cause = Cause::signal, .code = 9}}});
    EXPECT_EQ(only<Report>(end)[0].outcome.cause, Cause::interrupted);
    EXPECT_EQ(only<Withdraw>(end).size(), 1u);
    const auto refused = s.on({1.2, StartOrdered{first}});
    EXPECT_TRUE(only<Spawn>(refused).empty());
    EXPECT_EQ(only<Report>(refused)[0].outcome.cause, Cause::interrupted);
    EXPECT_TRUE(only<Leave>(s.on({1.3, Tick{}})).empty()) << "MPI wants all ranks to leave together";
}

}  // namespace
}  // namespace qsmpi::runtime
