#include "qsmpi/runtime/journal.hpp"

#include <gtest/gtest.h>

#include <set>

#include "folder.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/log.hpp"
#include "records.hpp"

namespace qsmpi::runtime {
namespace {

JournalRecord about(const std::string& event, const std::string& key, const std::string& hash = "h")
{
    return {.event = event, .key = key, .hash = hash, .attempt = 1, .host = "n", .rank = 2, .threads = 3};
}

class JournalFile : public FolderTest {
protected:
    void SetUp() override
    {
        FolderTest::SetUp();
        file = folder / "journal.jsonl";
        log::set_sink({});
    }
    void add(const std::vector<JournalRecord>& records)
    {
        Journal journal(file);
        for (const auto& r : records) journal.append(r);
        journal.commit();
    }
    std::map<std::string, JobStatus> state() { return replay({read_journal(file)}); }
    std::filesystem::path file;
};

TEST_F(JournalFile, TellsAfterwardsWhatWasWritten)
{
    JournalRecord done = about("done", "sub-\"01\"\n");
    done.seconds = 1.25;
    done.peak_mb = 100;
    done.result = R"({"outputs":["a.nii.gz"]})";
    add({about("started", "sub-\"01\"\n"), done});
    const auto content = read_journal(file);
    ASSERT_EQ(content.records.size(), 2u);
    EXPECT_EQ(content.damaged_lines, 0u);
    EXPECT_EQ(content.records[1].key, "sub-\"01\"\n");
    EXPECT_EQ(content.records[1].seconds, 1.25);
    EXPECT_EQ(content.records[1].result, done.result);
    EXPECT_EQ(content.records[1].sequence, 2u);
    EXPECT_EQ(content.records[1].rank, 2);
    add({about("done", "b")});
    EXPECT_EQ(read_journal(file).records[2].sequence, 3u) << "numbers go on over runs";
}

TEST_F(JournalFile, LosesNothingButTheLastLineWhereverACrashCutsIt)
{
    add({about("done", "a"), about("done", "b")});
    const std::string whole = read("journal.jsonl");
    const std::size_t second = whole.find('\n') + 1;
    for (std::size_t cut = second; cut < whole.size(); ++cut) {
        write("journal.jsonl", whole.substr(0, cut));
        EXPECT_EQ(read_journal(file).records.size(), 1u);
        add({about("done", "c")});
        const auto jobs = state();
        EXPECT_EQ(jobs.size(), 2u) << "cut at " << cut;
        EXPECT_EQ(jobs.count("c"), 1u);
        EXPECT_EQ(read_journal(file).damaged_lines, 0u) << "the torn line is gone";
    }
}

TEST_F(JournalFile, NoticesEveryFlippedBit)
{
    add({about("done", "a")});
    const std::string line = read("journal.jsonl");
    for (std::size_t bit = 0; bit + 8 < line.size() * 8; ++bit) {  // all but the line break
        std::string bad = line;
        bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
        bad.pop_back();
        EXPECT_FALSE(record_from(bad).has_value()) << "bit " << bit;
    }
}

TEST_F(JournalFile, SkipsADamagedLineInTheMiddle)
{
    add({about("done", "a"), about("done", "b"), about("done", "c")});
    std::string text = read("journal.jsonl");
    text[text.find("\"b\"") + 1] = 'x';
    write("journal.jsonl", text);
    const auto content = read_journal(file);
    EXPECT_EQ(content.records.size(), 2u);
    EXPECT_EQ(content.damaged_lines, 1u);
}

TEST_F(JournalFile, IsNotConfusedByARecordThatIsThereTwice)
{
    add({about("started", "a"), about("done", "a")});
    const std::string once = read("journal.jsonl");
    write("journal.jsonl", once + once);
    EXPECT_EQ(state().at("a").state, "done");
}

TEST_F(JournalFile, CountsTheTimesThatAJobWasRunningWhenARunDied)
{
    add({about("started", "a"), about("started", "a"), about("lost", "a"), about("started", "a")});
    auto jobs = state();
    EXPECT_EQ(jobs.at("a").rank_deaths, 2);
    EXPECT_EQ(jobs.at("a").state, "running");
    EXPECT_EQ(jobs.at("a").attempts, 3);
    add({about("interrupted", "a")});
    EXPECT_EQ(state().at("a").rank_deaths, 2) << "an interruption adds none";
    add({about("started", "a"), about("failed", "a"), about("started", "a")});
    EXPECT_EQ(state().at("a").rank_deaths, 0) << "counted since the last verdict";
    add({about("started", "a", "other options")});
    EXPECT_EQ(state().at("a").attempts, 1) << "another hash is another job";
}

TEST_F(JournalFile, AddsUpTheSecondsOfAllAttemptsAndKeepsTheWarningsOfTheLast)
{
    JournalRecord crash = about("retry", "a"), done = about("done", "a");
    crash.seconds = 4;
    done.seconds = 3;
    done.result = R"({"state":"done","warnings":["one echo"]})";
    add({about("started", "a"), crash, about("started", "a"), done});
    const JobStatus a = state().at("a");
    EXPECT_EQ(a.attempts, 2);
    EXPECT_EQ(a.seconds, 3.0);
    EXPECT_EQ(a.total_seconds, 7.0);
    EXPECT_EQ(a.warnings, std::vector<std::string>{"one echo"});
    add({about("started", "a")});
    EXPECT_TRUE(state().at("a").warnings.empty());
}

TEST_F(JournalFile, KeepsWhatAJobCostWhenItFindsEverythingUpToDate)
{
    JournalRecord done = about("done", "a"), skipped = about("done", "a");
    done.seconds = 3;
    done.peak_mb = 200;
    done.result = R"({"state":"done"})";
    skipped.seconds = 0.02;
    skipped.peak_mb = 15;
    skipped.result = R"({"state":"skipped","warnings":["one echo"]})";
    add({about("started", "a"), done, about("started", "a"), skipped});
    const JobStatus a = state().at("a");
    EXPECT_EQ(a.seconds, 3.0);
    EXPECT_EQ(a.total_seconds, 3.0);
    EXPECT_EQ(a.peak_mb, 200.0);
    EXPECT_EQ(a.warnings, std::vector<std::string>{"one echo"});
}

TEST_F(JournalFile, MergesShardsByTime)
{
    JournalContent one, two;
    JournalRecord r = about("done", "a", "old");
    r.time = "2026-01-01T00:00:00.000Z";
    one.records.push_back(r);
    r = about("failed", "a", "new");
    r.time = "2026-01-02T00:00:00.000Z";
    two.records.push_back(r);
    EXPECT_EQ(replay({one, two}).at("a").state, "failed");
    EXPECT_EQ(replay({two, one}).at("a").state, "failed");
}

TEST_F(JournalFile, SaysWhichFileCannotBeWritten)
{
    file = folder / "absent" / "journal.jsonl";
    try {
        Journal journal(file);
        FAIL() << "a journal in a folder that does not exist";
    } catch (const IoError& e) {
        EXPECT_NE(std::string(e.what()).find("absent/journal.jsonl"), std::string::npos);
    }
}

class PlanOf : public JournalFile {
protected:
    std::vector<Job> jobs{{.key = "a", .hash = "h", .payload = "", .memory_bytes = 0, .cost = 1},
                          {.key = "b", .hash = "h", .payload = "", .memory_bytes = 0, .cost = 1},
                          {.key = "c", .hash = "h", .payload = "", .memory_bytes = 0, .cost = 1}};
    std::vector<std::string> todo(bool force = false, const std::function<bool(const Job&)>& complete = {})
    {
        std::vector<std::string> keys;
        for (const Job* j : make_plan(RunFiles(folder), jobs, force, complete).todo) keys.push_back(j->key);
        return keys;
    }
    using Keys = std::vector<std::string>;
};

TEST_F(PlanOf, LeavesOutWhatIsDoneWithTheSameHashAndStillThere)
{
    EXPECT_EQ(todo(), (Keys{"a", "b", "c"}));
    add({about("done", "a"), about("failed", "b"), about("done", "c", "other")});
    EXPECT_EQ(todo(), (Keys{"b", "c"}));
    EXPECT_EQ(todo(true), (Keys{"a", "b", "c"}));
    EXPECT_EQ(todo(false, [](const Job&) { return false; }), (Keys{"a", "b", "c"})) << "outputs are gone";
    add({about("done", "b"), about("done", "c")});
    EXPECT_EQ(todo(), Keys{});
}

TEST_F(PlanOf, RecordsARefusalOnceAndRunsTheJobWhenItIsLifted)
{
    add({about("done", "a"), about("done", "b")});
    jobs[1].refusal = "no EchoTime";
    jobs[2].refusal = "no phase";
    const RunFiles files(folder);
    const Plan plan = make_plan(files, jobs, true, {});
    EXPECT_EQ(plan.todo.size(), 1u) << "force does not run what is refused";
    EXPECT_EQ(plan.refused, 2u);
    EXPECT_EQ(plan.newly_refused.size(), 2u);
    Records(files, plan).finish(exit_some_failed, 0);
    EXPECT_EQ(state().at("b").state, "refused") << "it was done, but its input is not what it was";
    EXPECT_EQ(state().at("c").message, "no phase");
    EXPECT_NE(read("jobs.csv").find("c,refused,,"), std::string::npos) << read("jobs.csv");
    EXPECT_TRUE(make_plan(files, jobs, false, {}).newly_refused.empty());
    jobs[2].refusal = "no magnitude";
    EXPECT_EQ(make_plan(files, jobs, false, {}).newly_refused.size(), 1u) << "another reason is news";
    jobs[1].refusal = "";
    EXPECT_EQ(todo(), (Keys{"b"}));
}

TEST_F(PlanOf, RemembersDeathsOfEarlierRuns)
{
    add({about("started", "a"), about("lost", "a"), about("started", "a")});
    EXPECT_EQ(make_plan(RunFiles(folder), jobs, false, {}).tasks[0].rank_deaths, 2);
    EXPECT_EQ(make_plan(RunFiles(folder), jobs, true, {}).tasks[0].rank_deaths, 0);
}

TEST_F(PlanOf, RefusesAKeyThatOccursTwiceOrIsMissing)
{
    jobs[2].key = "a";
    EXPECT_THROW((void)todo(), InputError);
    jobs[2].key = "";
    EXPECT_THROW((void)todo(), InputError);
}

TEST_F(PlanOf, DividesJobsAmongShardsByKeySoThatNewJobsMoveNone)
{
    jobs.clear();
    for (int i = 0; i < 400; ++i) jobs.push_back({.key = str("sub-", i), .hash = "h", .payload = "", .memory_bytes = 0, .cost = 1});
    std::vector<std::set<std::string>> parts(4);
    const auto divide = [&] {
        std::size_t n = 0;
        for (int i = 0; i < 4; ++i) {
            for (const Job* j : make_plan(RunFiles(folder, {i, 4}), jobs, false, {}).todo) {
                parts[static_cast<std::size_t>(i)].insert(j->key);
                ++n;
            }
        }
        return n;
    };
    EXPECT_EQ(divide(), 400u);
    for (const auto& part : parts) EXPECT_GT(part.size(), 70u);  // 100 +- 3.5 standard deviations of 8.7
    const auto before = parts;
    jobs.insert(jobs.begin(), {.key = "sub-new", .hash = "h", .payload = "", .memory_bytes = 0, .cost = 1});
    EXPECT_EQ(divide(), 401u);
    std::size_t moved = 0;
    for (std::size_t i = 0; i < 4; ++i) moved += parts[i].size() - before[i].size();
    EXPECT_EQ(moved, 1u);
}

TEST(Csv, QuotesWhatNeedsIt)
{
    std::map<std::string, JobStatus> jobs;
    jobs["a"] = {.key = "a", .hash = "h", .state = "failed", .cause = "exit", .message = "said \"no\", twice",
                 .warnings = {"one echo", "thin, very"}, .seconds = 1.5, .total_seconds = 2.5, .peak_mb = 10, .host = "n1", .rank = 2, .threads = 4,
                 .attempts = 2};
    jobs["b"] = {.key = "b", .hash = "h", .state = "done"};
    EXPECT_EQ(csv_of(jobs),
              "key,state,cause,seconds,peak_mb,host,rank,threads,attempts,total_seconds,message,warnings\n"
              "a,failed,exit,1.500,10.0,n1,2,4,2,2.500,\"said \"\"no\"\", twice\",\"one echo | thin, very\"\n"
              "b,done,,0.000,0.0,,0,0,0,0.000,,\n");
}

}  // namespace
}  // namespace qsmpi::runtime
