// Jobs that fail, crash, or find what another failure left.
#include <csignal>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job_support.hpp"

namespace qsmpi::pipeline {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST_F(Job, KeepsFinishedStagesWhenALaterOneFails)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    setenv("QSMPI_INJECT", "throw@chi", 1);
    const JobResult failed = run_job(spec);
    EXPECT_EQ(failed.state, "failed");
    EXPECT_THAT(failed.message, HasSubstr("sub-01_run-2: chi: "));
    EXPECT_FALSE(outputs_complete(spec));
    unsetenv("QSMPI_INJECT");
    EXPECT_THAT(stages_run(spec), ElementsAre("chi", "swi"));
}

TEST_F(Job, InjectsFaultsOnlyWhereAsked)
{
    const TinyScan scan;
    setenv("QSMPI_INJECT", "throw@chi@sub-99", 1);
    EXPECT_EQ(run_job(scan.job()).state, "done");
    setenv("QSMPI_INJECT", "throw@publish@sub-01_run-2", 1);
    JobSpec spec = scan.job();
    spec.output_dir = scan.folder() / "other";
    EXPECT_EQ(run_job(spec).state, "failed");
}

TEST_F(Job, ReportsWhatIsWrongWithoutThrowing)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    spec.acquisition.echoes[1].phase.file = scan.folder() / "gone.nii.gz";
    const JobResult missing = run_job(spec);
    EXPECT_EQ(missing.state, "failed");
    EXPECT_THAT(missing.message, HasSubstr("sub-01_run-2: phase: "));
    EXPECT_THAT(missing.message, HasSubstr("gone.nii.gz"));
    EXPECT_EQ(missing.message.find('\n'), std::string::npos);

    spec = scan.job();
    spec.options.inversion = "magic";
    EXPECT_THAT(run_job(spec).message, HasSubstr("'magic'"));
    spec = scan.job();
    spec.options.mask = "/nowhere/{sub}.nii.gz";
    EXPECT_THAT(run_job(spec).message, HasSubstr("/nowhere/01.nii.gz"));
}

TEST_F(Job, SaysThatTheDiskIsFull)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{30'000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const JobResult result = run_job(spec);
    setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(result.state, "failed");
    EXPECT_THAT(result.message, HasSubstr("File too large"));
    EXPECT_THAT(tree(spec.output_dir), IsEmpty());
}

TEST_F(Job, MakesADamagedRecordAgain)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    const auto before = tree(spec.output_dir);
    const fs::path record = spec.output_dir / "intermediates/sub-01_run-2.h5";
    const std::string content = io::read_file(record);
    for (const std::string& broken : {std::string("not HDF5 at all"), content.substr(0, content.size() / 2)}) {
        io::write_file_atomic(record, broken);
        fs::remove(image_of(spec, "Chimap"));
        EXPECT_EQ(stages_run(spec), all_stages);
        EXPECT_TRUE(tree(spec.output_dir) == before);
    }
}

TEST_F(Job, ACrashLeavesNoFileUnderAFinalName)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    const pid_t child = fork();
    if (child == 0) {
        setenv("QSMPI_INJECT", "segfault@local_field", 1);
        std::signal(SIGSEGV, SIG_DFL);
        (void)run_job(spec);
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGSEGV);
    for (const auto& [name, content] : tree(spec.output_dir)) EXPECT_THAT(name, HasSubstr(".tmp."));
    EXPECT_EQ(stages_run(spec), all_stages);
}

}  // namespace qsmpi::pipeline
