// Jobs that fail, crash, or find what another failure left.
#include <csignal>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "job_support.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::pipeline {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

namespace {

/// A job where files may not grow beyond so many bytes, as on a disk that is full.
JobResult run_with_files_up_to(rlim_t n_bytes, const JobSpec& spec)
{
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{n_bytes, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    JobResult result = run_job(spec);
    setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, handler);
    return result;
}

}  // namespace

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
    const JobResult result = run_with_files_up_to(30'000, spec);
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

TEST_F(Job, MakesARecordAgainOfWhichOnlyAPublishedMapIsDamaged)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    const VolumeF s0 = io::read_image(image_of(spec, "S0map")).data;
    const std::string some_voxels(reinterpret_cast<const char*>(s0.data() + s0.size() / 2), 256);
    const fs::path record = spec.output_dir / "intermediates/sub-01_run-2.h5";
    std::string content = io::read_file(record);
    const std::size_t at = content.find(some_voxels);
    ASSERT_NE(at, std::string::npos);
    content.replace(at, 100, std::string(100, '?'));
    io::write_file_atomic(record, content);

    spec.options.inversion_lambda = 0.25;  // asks for the inversion alone
    std::vector<std::string> expected{"chi", "swi"};  // what is published is read last
    expected.insert(expected.end(), all_stages.begin(), all_stages.end());
    EXPECT_EQ(stages_run(spec), expected);
    EXPECT_TRUE(stages_run(spec).empty()) << "up to date";
    EXPECT_TRUE(outputs_complete(spec));
    const VolumeF again = io::read_image(image_of(spec, "S0map")).data;
    EXPECT_TRUE(std::equal(s0.begin(), s0.end(), again.begin()));
}

TEST_F(Job, ADiskThatFillsWhilePublishingLeavesTheOlderOutputs)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    const auto before = tree(spec.output_dir);
    // Smaller than a map, larger than a sidecar; the record is there and not written again.
    fs::remove(image_of(spec, "mask"));
    const auto left = tree(spec.output_dir);
    const JobResult result = run_with_files_up_to(8'000, spec);
    EXPECT_EQ(result.state, "failed");
    EXPECT_THAT(result.message, HasSubstr("File too large"));
    EXPECT_THAT(result.message, HasSubstr(".nii.gz"));
    EXPECT_TRUE(tree(spec.output_dir) == left);
    stages_run(spec);
    EXPECT_TRUE(tree(spec.output_dir) == before);
}

TEST_F(Job, AMaskOfAFewVoxelsAndAMapOfNothingAreRefused)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    const io::Geometry& geometry = scan.acquisition().geometry;
    Mask one(geometry.grid, 0);
    one[one.size() / 2] = 1;
    io::write_nifti(scan.folder() / "one.nii.gz", one, geometry);
    spec.options.mask = (scan.folder() / "one.nii.gz").string();
    EXPECT_THAT(run_job(spec).message, HasSubstr("mask: the mask has only 1 voxel (" + spec.options.mask));
    EXPECT_FALSE(fs::exists(image_of(spec, "Chimap")));

    // A sheet that is one voxel thin holds no ball of any method: nothing is left of it.
    Mask sheet(geometry.grid, 0);
    const Dims& d = geometry.grid.dims;
    for (std::size_t y = 0; y < d.ny; ++y)
        for (std::size_t x = 0; x < d.nx; ++x) sheet(x, y, d.nz / 2) = 1;
    io::write_nifti(scan.folder() / "sheet.nii.gz", sheet, geometry);
    spec.options.mask = (scan.folder() / "sheet.nii.gz").string();
    const JobResult result = run_job(spec);
    EXPECT_EQ(result.state, "failed");
    EXPECT_FALSE(fs::exists(image_of(spec, "Chimap")));
}

TEST_F(Job, AMaskOfAnotherPlaceIsRefused)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    io::Geometry moved = scan.acquisition().geometry;
    for (auto& row : moved.sform) row[3] += 10.0f;
    moved.sform_code = 1;
    io::write_nifti(scan.folder() / "moved.nii.gz", test::ball_mask(moved.grid, 10.0), moved);
    spec.options.mask = (scan.folder() / "moved.nii.gz").string();
    EXPECT_THAT(run_job(spec).message, HasSubstr("moved.nii.gz: affine differs by "));
    spec.options.mask = "magnitude";
    spec.options.reference = (scan.folder() / "moved.nii.gz").string();
    EXPECT_THAT(run_job(spec).message, HasSubstr("moved.nii.gz: affine differs by "));
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
