// What a run leaves in its output folder: lock, status, names; and its progress lines.
#include <gtest/gtest.h>

#include <algorithm>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "folder.hpp"
#include "lock.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/runtime/journal.hpp"
#include "qsmpi/runtime/progress.hpp"
#include "qsmpi/runtime/resources.hpp"
#include "qsmpi/runtime/status.hpp"
#include "run_files.hpp"

namespace qsmpi::runtime {
namespace {

class Lock : public FolderTest {
protected:
    void SetUp() override
    {
        FolderTest::SetUp();
        log::set_sink({});
        for (const char* name : {"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "PBS_JOBID"}) unsetenv(name);
    }
    void held_by(const std::string& host, int pid, double age_s, const std::string& batch_job = "")
    {
        write(".lock", "{\"host\":\"" + host + "\",\"pid\":" + std::to_string(pid) + ",\"start_ticks\":" +
                           std::to_string(process_start_ticks(pid).value_or(1)) + ",\"batch_job\":\"" + batch_job + "\"}");
        timespec times[2];
        clock_gettime(CLOCK_REALTIME, &times[0]);
        times[0].tv_sec -= static_cast<time_t>(age_s);
        times[1] = times[0];
        ASSERT_EQ(utimensat(AT_FDCWD, (folder / ".lock").c_str(), times, 0), 0);
    }
    std::function<void(double)> no_sleep = [](double) {};
};

TEST_F(Lock, KeepsASecondRunOffAndIsGoneAfterwards)
{
    {
        const RunLock first(RunFiles(folder), no_sleep);
        EXPECT_THROW(RunLock(RunFiles(folder), no_sleep), InputError);
        EXPECT_THROW(RunLock(RunFiles(folder, {0, 4}), no_sleep), InputError) << "a shard of the same output";
    }
    const RunLock again(RunFiles(folder), no_sleep);
}

TEST_F(Lock, LetsShardsOfOneSplitRunSideBySide)
{
    const RunLock one(RunFiles(folder, {0, 4}), no_sleep);
    const RunLock two(RunFiles(folder, {1, 4}), no_sleep);
    EXPECT_THROW(RunLock(RunFiles(folder, {1, 4}), no_sleep), InputError);
    EXPECT_THROW(RunLock(RunFiles(folder, {1, 2}), no_sleep), InputError) << "another split shares jobs with it";
    EXPECT_THROW(RunLock(RunFiles(folder), no_sleep), InputError);
    EXPECT_FALSE(std::filesystem::exists(folder / ".lock")) << "a refused run leaves nothing behind";
}

TEST_F(Lock, OfADeadProcessOfThisHostIsBroken)
{
    const pid_t dead = fork();
    if (dead == 0) _exit(0);
    waitpid(dead, nullptr, 0);
    held_by(host_name(), dead, 0);
    const RunLock lock(RunFiles(folder), no_sleep);
    EXPECT_EQ(read_lock(folder / ".lock")->pid, getpid());
}

TEST_F(Lock, OfALivingProcessOfThisHostHoldsHoweverOldItsBeat)
{
    held_by(host_name(), getppid(), 3600);
    EXPECT_THROW(RunLock(RunFiles(folder), no_sleep), InputError);
}

TEST_F(Lock, OfAnotherHostIsBrokenWhenItsBeatIsOldAndWatchedWhenItIsFresh)
{
    held_by("elsewhere", 5, 31);
    { const RunLock lock(RunFiles(folder), no_sleep); }

    held_by("elsewhere", 5, 5);
    int waits = 0;
    EXPECT_THROW(RunLock(RunFiles(folder), [&](double) { held_by("elsewhere", 5, ++waits == 3 ? 0 : 5 + waits); }), InputError)
        << "it showed life";
    EXPECT_EQ(waits, 3);

    held_by("elsewhere", 5, 5);
    const RunLock lock(RunFiles(folder), [&](double) { held_by("elsewhere", 5, 31); });
}

TEST_F(Lock, OfTheSameBatchJobBeforeItsRestartIsBroken)
{
    setenv("SLURM_JOB_ID", "12", 1);
    setenv("SLURM_RESTART_COUNT", "1", 1);
    held_by("elsewhere", 5, 1, "slurm 12/");
    const RunLock lock(RunFiles(folder), [](double) { FAIL() << "no reason to wait"; });
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

TEST(Names, OfLogsAreHarmlessAndDistinct)
{
    const RunFiles files("/out");
    EXPECT_EQ(files.log_of("sub-01_run-1"), "/out/logs/sub-01_run-1.log");
    EXPECT_NE(files.log_of("a/b"), files.log_of("a_b"));
    EXPECT_EQ(files.log_of("../../x").parent_path(), "/out/logs");
    EXPECT_EQ(files.log_of(std::string(5000, 'x')).parent_path(), "/out/logs");
    EXPECT_LT(files.log_of(std::string(5000, 'x')).filename().string().size(), 255u);
    EXPECT_EQ(RunFiles("/out", {2, 4}).journal(), "/out/journal.2-of-4.jsonl");
    EXPECT_EQ(RunFiles("/out", {2, 4}).status(), "/out/status.2-of-4");
}

class Status : public FolderTest {
protected:
    void add(Shard shard, const std::vector<JournalRecord>& records)
    {
        Journal journal(RunFiles(folder, shard).journal());
        for (const auto& r : records) journal.append(r);
        journal.commit();
    }
    static JournalRecord begin(std::size_t total)
    {
        JournalRecord r{.event = "run"};
        r.total = total;
        return r;
    }
    static JournalRecord job(const std::string& event, const std::string& key)
    {
        return {.event = event, .key = key, .hash = "h"};
    }
};

TEST_F(Status, OfAFolderWithoutRunsIsNone)
{
    EXPECT_EQ(read_status(folder).state, "none");
    EXPECT_NE(status_text(read_status(folder)).find("No run"), std::string::npos);
}

TEST_F(Status, CountsJobsAndTellsADeadRunFromAnEndedOne)
{
    add({}, {begin(5), job("started", "a"), job("done", "a"), job("started", "b"), job("failed", "b"), job("started", "c")});
    RunStatus s = read_status(folder);
    EXPECT_EQ(s.state, "died");
    EXPECT_EQ(s.done, 1u);
    EXPECT_EQ(s.failed, 1u);
    EXPECT_EQ(s.interrupted, 1u) << "it was running when the run died";
    EXPECT_EQ(s.pending(), 2u);
    write("status", "75\n");
    EXPECT_EQ(read_status(folder).state, "interrupted");
    write("status", "1\n");
    s = read_status(folder);
    EXPECT_EQ(s.state, "ended");
    EXPECT_EQ(s.exit_code, 1);
    EXPECT_NE(status_text(s).find("1 of 5 jobs done, 1 failed, 0 refused"), std::string::npos) << status_text(s);
    JournalRecord refused{.event = "refused", .key = "d", .message = "no EchoTime"};
    add({}, {refused});
    s = read_status(folder);
    EXPECT_EQ(s.refused, 1u);
    EXPECT_EQ(s.pending(), 1u);
    EXPECT_NE(status_text(s).find("d: refused: no EchoTime"), std::string::npos) << status_text(s);
    EXPECT_NE(status_json(s).find("\"refused\": 1"), std::string::npos);
}

TEST_F(Status, TellsEachWarningOnceWithTheJobsThatHaveIt)
{
    JournalRecord a = job("done", "a"), b = job("done", "b"), c = job("done", "c");
    a.result = b.result = R"({"warnings":["one echo"]})";
    c.result = R"({"warnings":["thin slab","one echo"]})";
    add({}, {begin(3), a, b, c});
    const std::string text = status_text(read_status(folder));
    EXPECT_NE(text.find("  a and 2 more: warning: one echo\n"), std::string::npos) << text;
    EXPECT_NE(text.find("  c: warning: thin slab\n"), std::string::npos) << text;
    EXPECT_NE(status_json(read_status(folder)).find("\"thin slab\""), std::string::npos);
}

TEST_F(Status, OfAnArrayIsThatOfAllItsShardsTogether)
{
    add({0, 2}, {begin(3), job("started", "a"), job("done", "a")});
    add({1, 2}, {begin(4), job("started", "b"), job("failed", "b")});
    write("status.0-of-2", "0\n");
    EXPECT_EQ(read_status(folder).state, "died") << "one shard has not said how it ended";
    write("status.1-of-2", "1\n");
    const RunStatus s = read_status(folder);
    EXPECT_EQ(s.total, 7u);
    EXPECT_EQ(s.done, 1u);
    EXPECT_EQ(s.failed, 1u);
    EXPECT_EQ(s.state, "ended");
    EXPECT_EQ(s.exit_code, 1);
}

TEST_F(Status, SaysThatARunIsGoingOnWhileItHoldsTheLock)
{
    add({}, {begin(2), job("started", "a")});
    const RunLock lock(RunFiles(folder), [](double) {});
    const RunStatus s = read_status(folder);
    EXPECT_EQ(s.state, "running");
    EXPECT_EQ(s.running, 1u);
}

TEST(ProgressLine, TellsCountsTimesAndHowLongItWillTake)
{
    const Progress p{.total = 40, .up_to_date = 10, .done = 2, .failed = 1, .running = 2, .elapsed_s = 190,
                     .eta_s = 440, .job_line = {}};
    EXPECT_EQ(progress_line(p), "12/40 done, 2 running, 1 failed, 00:03:10 elapsed, about 00:07:20 left");
    EXPECT_EQ(p.pending(), 25u);
}

TEST(ProgressPrinter, WritesALineForEachJobAndOneEveryTenSecondsToALog)
{
    std::string text;
    ProgressPrinter print(false, [&](std::string_view t) { text += t; }, 10.0);
    print({.total = 3, .elapsed_s = 0, .job_line = {}});
    print({.total = 3, .done = 1, .elapsed_s = 3, .job_line = "sub-01 done"});
    print({.total = 3, .done = 1, .elapsed_s = 4, .job_line = {}});
    print({.total = 3, .done = 1, .elapsed_s = 11, .job_line = {}});
    EXPECT_EQ(text, "0/3 done, 0 running, 0 failed, 00:00:00 elapsed\nsub-01 done\n"
                    "1/3 done, 0 running, 0 failed, 00:00:11 elapsed\n");
}

TEST(ProgressPrinter, KeepsOneLiveLineOnATerminalAndOnlyFailuresAboveIt)
{
    std::string text;
    ProgressPrinter print(true, [&](std::string_view t) { text += t; });
    print({.total = 2, .running = 2, .elapsed_s = 0, .eta_s = 60, .job_line = {}});
    print({.total = 2, .done = 1, .running = 1, .elapsed_s = 5, .job_line = "a done in 5 s"});
    print({.total = 2, .done = 1, .failed = 1, .elapsed_s = 6, .job_line = "b failed (exit): no", .last = true});
    EXPECT_EQ(text.find("a done"), std::string::npos);
    EXPECT_NE(text.find("b failed (exit): no"), std::string::npos);
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
    EXPECT_TRUE(text.ends_with("elapsed\n")) << text;
}

}  // namespace
}  // namespace qsmpi::runtime
