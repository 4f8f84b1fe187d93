#include "qsmpi/io/hdf5_record.hpp"

#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qsmpi/io/file.hpp"
#include "volumes.hpp"

namespace qsmpi {
namespace {

namespace fs = std::filesystem;
using io::RecordReader;
using io::RecordWriter;

io::Geometry oblique_geometry(const Grid& grid)
{
    io::Geometry g;
    g.grid = grid;
    g.sform_code = 1;
    g.sform = {{{0.9f, 0.1f, 0.0f, -12.5f}, {-0.1f, 0.9f, 0.2f, 3.25f}, {0.0f, -0.2f, 1.9f, 40.0f}}};
    return g;
}

io::RecordStage field_stage(const Grid& grid, const std::string& name = "field")
{
    io::RecordStage stage{.name = name, .hash = "h-" + name, .parameters_json = R"({"a":1})", .datasets = {}};
    stage.datasets.push_back({"field_hz", "Hz", std::make_shared<VolumeF>(test::noise(grid, 30.0, 7)), nullptr});
    stage.datasets.push_back({"mask", "1", nullptr, std::make_shared<Mask>(test::ball_mask(grid, 4.0))});
    return stage;
}

void write_record(const fs::path& file, const Grid& grid)
{
    RecordWriter writer(file, oblique_geometry(grid), "sub-01");
    writer.add(field_stage(grid));
    writer.finish();
}

std::size_t files_in(const fs::path& folder)
{
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

}  // namespace

TEST(Record, GivesBackTheBitsItWasGiven)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "new/folder/sub-01.h5";
    const Grid grid = test::grid_of(11, 9, 8, {0.9, 1.0, 2.0});
    write_record(file, grid);
    const RecordReader reader(file);
    ASSERT_TRUE(reader.stage("field").has_value());
    EXPECT_EQ(reader.stage("field")->hash, "h-field");
    EXPECT_EQ(reader.stage("field")->parameters_json, R"({"a":1})");
    EXPECT_FALSE(reader.stage("chi").has_value());
    const io::RecordStage want = field_stage(grid);
    const VolumeF field = reader.read_volume("field", "field_hz", grid);
    const Mask mask = reader.read_mask("field", "mask", grid);
    for (std::size_t i = 0; i < grid.size(); ++i) {
        ASSERT_EQ(field[i], (*want.datasets[0].volume)[i]);
        ASSERT_EQ(mask[i], (*want.datasets[1].mask)[i]);
    }
}

TEST(Record, RefusesAnotherShapeTypeOrName)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "r.h5";
    const Grid grid = test::grid_of(11, 9, 8);
    write_record(file, grid);
    const RecordReader reader(file);
    EXPECT_THROW((void)reader.read_volume("field", "field_hz", test::grid_of(9, 11, 8)), IoError);
    EXPECT_THROW((void)reader.read_volume("field", "mask", grid), IoError);
    EXPECT_THROW((void)reader.read_volume("chi", "chi_ppm", grid), IoError);
}

TEST(Record, EqualContentGivesEqualBytes)
{
    const test::TemporaryFolder folder;
    const fs::path a = fs::path(folder.path()) / "a.h5", b = fs::path(folder.path()) / "b.h5";
    const Grid grid = test::grid_of(8, 8, 8);
    write_record(a, grid);
    sleep(1);  // a stored time of creation would differ
    write_record(b, grid);
    EXPECT_EQ(io::read_file(a), io::read_file(b));
}

TEST(Record, CopiesFinishedStagesOfAnOlderRecord)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "r.h5";
    const Grid grid = test::grid_of(11, 9, 8);
    write_record(file, grid);
    {
        RecordWriter writer(file, oblique_geometry(grid), "sub-01");
        writer.copy(file, {"field"});
        writer.add(field_stage(grid, "chi"));
        writer.finish();
    }
    const RecordReader reader(file);
    EXPECT_EQ(reader.stage("field")->hash, "h-field");
    EXPECT_EQ(reader.stage("chi")->hash, "h-chi");
    EXPECT_THAT(reader.read_volume("field", "field_hz", grid),
                test::VolumeNear(field_stage(grid).datasets[0].volume.get(), 0.0));
}

TEST(Record, LeavesNothingWhenItIsNotFinished)
{
    const test::TemporaryFolder folder;
    const Grid grid = test::grid_of(16, 16, 16);
    {
        RecordWriter writer(fs::path(folder.path()) / "r.h5", oblique_geometry(grid), "sub-01");
        for (int i = 0; i < 50; ++i) writer.add(field_stage(grid, "stage" + std::to_string(i)));
    }
    EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(Record, KeepsTheOldFileWhenItsWriterIsKilled)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "r.h5";
    const Grid grid = test::grid_of(32, 32, 32);
    write_record(file, grid);
    const std::string before = io::read_file(file);
    const pid_t child = fork();
    if (child == 0) {
        RecordWriter writer(file, oblique_geometry(grid), "sub-01");
        for (int i = 0;; ++i) {
            writer.add(field_stage(grid, "stage" + std::to_string(i)));
            usleep(1000);
        }
    }
    const fs::path temporary = file.string() + ".tmp." + std::to_string(child);
    for (int i = 0; i < 2000 && (!fs::exists(temporary) || fs::file_size(temporary) < 500'000); ++i) usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    ASSERT_TRUE(fs::exists(temporary)) << "the child was killed before it wrote";
    EXPECT_EQ(io::read_file(file), before);
    EXPECT_EQ(io::remove_stale_temporaries(folder.path()), 1u);
}

TEST(Record, RefusesDamagedFiles)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "r.h5";
    const Grid grid = test::grid_of(32, 32, 32);
    write_record(file, grid);
    const std::string good = io::read_file(file);

    // A flipped bit among the voxels: the file opens, its hash tells.
    std::string flipped = good;
    flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 4);
    io::write_file_atomic(file, flipped);
    EXPECT_THROW(
        {
            const RecordReader reader(file);
            (void)reader.read_volume("field", "field_hz", grid);
        },
        IoError);
    io::write_file_atomic(file, good.substr(0, good.size() / 2));
    EXPECT_THROW(RecordReader reader(file), IoError);
    io::write_file_atomic(file, std::string_view{});
    EXPECT_THROW(RecordReader reader(file), IoError);
    EXPECT_THROW(RecordReader reader(file.string() + ".missing"), IoError);
}

TEST(Record, SaysThatTheDiskIsFullAndCleansUp)
{
    const test::TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "r.h5";
    const Grid grid = test::grid_of(32, 32, 32);
    // A limit on the size of files is the full disk that a test can have: EFBIG in place of ENOSPC.
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    const rlimit small{100'000, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    std::string message;
    try {
        write_record(file, grid);
    } catch (const IoError& e) {
        message = e.what();
    }
    setrlimit(RLIMIT_FSIZE, &old);
    std::signal(SIGXFSZ, handler);
    EXPECT_NE(message.find("r.h5"), std::string::npos) << message;
    EXPECT_NE(message.find("File too large"), std::string::npos) << message;
    EXPECT_EQ(files_in(folder.path()), 0u);
}

TEST(Record, SaysThatTheFolderIsNotWritable)
{
    const Grid grid = test::grid_of(8, 8, 8);
    try {
        write_record("/proc/qsmpi/r.h5", grid);
        FAIL() << "nobody can write to /proc";
    } catch (const IoError& e) {
        EXPECT_NE(std::string(e.what()).find("/proc/qsmpi/r.h5"), std::string::npos) << e.what();
    }
}

}  // namespace qsmpi
