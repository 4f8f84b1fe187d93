#include "process.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include <signal.h>

#include "folder.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

TEST(Classify, BelievesAnAnswerOnlyWithExitStatusZero)
{
    const std::string done = "noise\n{\"state\":\"done\",\"peak_mb\":12}\n";
    EXPECT_EQ(classify({.exited = true, .code = 0, .answer = done}).cause, Cause::none);
    EXPECT_EQ(classify({.exited = true, .code = 0, .answer = done, .rusage_peak_mb = 99}).peak_mb, 12.0);
    EXPECT_TRUE(classify({.exited = true, .code = 0, .answer = "{\"state\":\"skipped\"}"}).skipped);
    EXPECT_EQ(classify({.exited = true, .code = 3, .answer = done}).cause, Cause::exit);
    EXPECT_EQ(classify({.exited = false, .code = SIGSEGV, .answer = done}).cause, Cause::signal);
    EXPECT_EQ(classify({.exited = true, .code = 0, .answer = ""}).cause, Cause::exit);
    EXPECT_EQ(classify({.exited = true, .code = 0, .answer = "{\"state\":"}).cause, Cause::exit);
}

TEST(Classify, TakesTheJobsOwnWordsForItsFailure)
{
    const Outcome o = classify({.exited = true, .code = 1, .answer = R"({"state":"failed","message":"a\nb"})"});
    EXPECT_EQ(o.cause, Cause::reported);
    EXPECT_EQ(o.message, "a b") << "one line";
    EXPECT_EQ(classify({.exited = true, .code = 1, .answer = R"({"state":"failed","message":"std::bad_alloc"})"}).cause, Cause::oom);
    EXPECT_EQ(classify({.exited = true, .code = 1, .answer = R"({"state":"failed","message":"x: No space left on device"})"}).cause,
              Cause::disk);
}

TEST(Classify, TellsTheKernelsMemoryKillFromOthers)
{
    EXPECT_EQ(classify({.exited = false, .code = SIGKILL, .kernel_ran_out = true}).cause, Cause::oom);
    EXPECT_EQ(classify({.exited = false, .code = SIGKILL, .kernel_ran_out = false}).cause, Cause::signal);
    EXPECT_EQ(classify({.exited = false, .code = SIGABRT, .log_tail = "what():  std::bad_alloc\n"}).cause, Cause::oom);
    const Outcome o = classify({.exited = false, .code = SIGSEGV, .log_tail = "first\nstage=mask\n\n"});
    EXPECT_NE(o.message.find("signal 11"), std::string::npos);
    EXPECT_NE(o.message.find("stage=mask"), std::string::npos);
}

TEST(Environment, LeavesOutWhatBelongsToARankAndSaysHowManyThreads)
{
    const char* parent[] = {"HOME=/h",         "OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=1",      "PMI_RANK=1",
                            "SLURM_JOB_ID=7",  "SLURM_STEP_ID=0",        "SLURM_PROCID=1",   "OMP_NUM_THREADS=64",
                            "PMIXER=not ours", "SLURM_CPUS_ON_NODE=4",   "QSMPI_THREADS=99", nullptr};
    auto env = child_environment(parent, {.command = {}, .payload = {}, .key = "k", .log_file = {}, .attempt = 2, .threads = 3});
    const auto has = [&](const std::string& v) { return std::find(env.begin(), env.end(), v) != env.end(); };
    for (const char* kept : {"HOME=/h", "SLURM_JOB_ID=7", "PMIXER=not ours", "SLURM_CPUS_ON_NODE=4", "OMP_NUM_THREADS=3",
                             "QSMPI_THREADS=3", "QSMPI_ATTEMPT=2", "QSMPI_JOB_KEY=k"}) {
        EXPECT_TRUE(has(kept)) << kept;
    }
    for (const char* gone : {"OMPI_COMM_WORLD_RANK=1", "PMIX_RANK=1", "PMI_RANK=1", "SLURM_STEP_ID=0", "SLURM_PROCID=1",
                             "OMP_NUM_THREADS=64", "QSMPI_THREADS=99"}) {
        EXPECT_FALSE(has(gone)) << gone;
    }
}

class Process : public FolderTest {
protected:
    ChildProcess shell(const std::string& script)
    {
        return ChildProcess({.command = {"sh", "-c", script}, .payload = "the payload", .key = "k", .log_file = folder / "k.log"});
    }
    /// The end of a child, within five seconds.
    Outcome wait(ChildProcess& child)
    {
        for (int i = 0; i < 5000; ++i) {
            if (auto outcome = child.ended()) return *outcome;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        ADD_FAILURE() << "the child does not end";
        child.kill_group();
        return {};
    }
};

TEST_F(Process, GetsThePayloadOnItsInputAndAnswersOnDescriptorThree)
{
    auto child = shell(R"(read line; echo "heard $line"; echo '{"state":"done","message":"hi"}' >&3)");
    const Outcome o = wait(child);
    EXPECT_EQ(o.cause, Cause::none) << o.message;
    EXPECT_EQ(o.message, "hi");
    EXPECT_EQ(read("k.log"), "heard the payload\n");
}

TEST_F(Process, IsReapedAlthoughAGrandchildKeepsItsDescriptorsAndThatOneDiesToo)
{
    auto child = shell("sleep 300 & echo $!; echo '{\"state\":\"done\"}' >&3");
    EXPECT_EQ(wait(child).cause, Cause::none);
    const int grandchild = std::stoi(read("k.log"));
    for (int i = 0; i < 1000 && kill(grandchild, 0) == 0; ++i) {
        const auto stat = std::filesystem::path("/proc") / std::to_string(grandchild) / "stat";
        std::ifstream in(stat);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        if (text.find(") Z ") != std::string::npos) break;  // dead; its reaper may take its time
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        if (i == 999) ADD_FAILURE() << "the grandchild lives on";
    }
}

TEST_F(Process, DiesWithItsWholeGroup)
{
    auto child = shell("trap '' TERM INT; sleep 300");
    EXPECT_FALSE(child.ended().has_value());
    child.kill_group();
    const Outcome o = wait(child);
    EXPECT_EQ(o.cause, Cause::signal);
    EXPECT_EQ(o.code, SIGKILL);
}

TEST_F(Process, SeesNoDescriptorOfOursBeyondTheFourItGets)
{
    auto child = shell("ls /proc/self/fd; echo '{\"state\":\"done\"}' >&3");
    (void)wait(child);
    EXPECT_EQ(read("k.log"), "0\n1\n2\n3\n4\n") << "4 is the folder that ls has open";
}

TEST_F(Process, ThatCannotBeStartedSaysSo)
{
    try {
        ChildProcess child({.command = {"/no/such/program"}, .payload = {}, .key = "k", .log_file = folder / "k.log"});
        FAIL();
    } catch (const IoError& e) {
        EXPECT_NE(std::string(e.what()).find("/no/such/program"), std::string::npos);
    }
}

}  // namespace
}  // namespace qsmpi::runtime
