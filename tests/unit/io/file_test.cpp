#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"
#include "volumes.hpp"

namespace qsmpi::io
{
namespace
{

namespace fs = std::filesystem;
using test::TemporaryFolder;

std::size_t entries_of(const fs::path& folder)
{
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(File, IsWrittenWholeUnderItsFinalNameAndLeavesNothingElse)
{
    const TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "new" / "deep" / "a.txt";
    const std::string content("with\0zero", 9);
    write_file_atomic(file, content);
    EXPECT_EQ(read_file(file), content);
    write_file_atomic(file, std::string_view("second"));
    EXPECT_EQ(read_file(file), "second");
    EXPECT_EQ(entries_of(file.parent_path()), 1u);
    write_file_atomic(file, std::string_view());
    EXPECT_EQ(read_file(file), "");
}

TEST(File, AFullDiskIsReportedByNameAndCauseAndTheOldFileStays)
{
    const TemporaryFolder folder;
    // /dev/full answers every write with ENOSPC; the temporary name is a link to it.
    const fs::path file = fs::path(folder.path()) / "map.nii.gz";
    std::ofstream(file) << "old";
    fs::create_symlink("/dev/full", temporary_name(file));
    try {
        write_file_atomic(file, std::string_view("new"));
        FAIL() << "no error";
    } catch (const IoError& e) {
        const std::string text = e.what();
        EXPECT_NE(text.find("map.nii.gz"), std::string::npos) << text;
        EXPECT_NE(text.find("No space left"), std::string::npos) << text;
        EXPECT_NE(text.find("free some space"), std::string::npos) << text;
    }
    EXPECT_EQ(read_file(file), "old");
    EXPECT_EQ(entries_of(folder.path()), 1u);
}

TEST(File, APipeIsWrittenIntoAndStaysAPipe)
{
    const TemporaryFolder folder;
    const fs::path pipe = fs::path(folder.path()) / "pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    std::future<std::string> read = std::async(std::launch::async, [&] {
        std::ifstream in(pipe);
        return std::string(std::istreambuf_iterator<char>(in), {});
    });
    write_file_atomic(pipe, std::string_view("content"));
    EXPECT_TRUE(fs::is_fifo(pipe));
    if (!fs::is_fifo(pipe)) std::ofstream(pipe, std::ios::app).close();
    EXPECT_EQ(read.get(), "content");
    EXPECT_EQ(entries_of(folder.path()), 1u);
}

TEST(File, ALinkStaysALinkAndItsTargetIsReplaced)
{
    const TemporaryFolder folder;
    const fs::path below = fs::path(folder.path()) / "below", link = fs::path(folder.path()) / "link";
    fs::create_directory(below);
    std::ofstream(below / "target") << "old";
    fs::create_symlink("below/hop", link);
    fs::create_symlink("target", below / "hop");
    write_file_atomic(link, std::string_view("new"));
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_TRUE(fs::is_symlink(below / "hop"));
    EXPECT_EQ(read_file(below / "target"), "new");
    fs::remove(below / "target");
    write_file_atomic(link, std::string_view("made"));
    EXPECT_EQ(read_file(below / "target"), "made");
    EXPECT_EQ(entries_of(below), 2u);
    fs::create_symlink("circle", folder.path() + "/circle");
    EXPECT_THROW(write_file_atomic(folder.path() + "/circle", std::string_view("x")), IoError);
}

TEST(File, AFileThatMayNotGrowIsNamedWithTheRemedy)
{
    const TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "map.nii.gz";
    // The limit is of the process: a child has its own.
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{100, 100};
        setrlimit(RLIMIT_FSIZE, &limit);
        try {
            write_file_atomic(file, std::string_view(std::string(200, 'x')));
            _exit(1);
        } catch (const IoError& e) {
            const std::string text = e.what();
            const bool says_it = text.find("map.nii.gz") != std::string::npos && text.find("ulimit -f") != std::string::npos;
            _exit(says_it ? 0 : 2);
        }
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    EXPECT_EQ(entries_of(folder.path()), 0u);
}

TEST(File, FailuresNameTheFile)
{
    const TemporaryFolder folder;
    EXPECT_THROW((void)read_file(folder.path() + "/none"), IoError);
    EXPECT_THROW((void)read_file(folder.path()), IoError);
    std::ofstream(folder.path() + "/plain") << "x";
    EXPECT_THROW(write_file_atomic(folder.path() + "/plain/below", std::string_view("x")), IoError);
    EXPECT_THROW(publish(folder.path() + "/none", folder.path() + "/b"), IoError);
}

TEST(File, PublishMovesACompleteFile)
{
    const TemporaryFolder folder;
    const fs::path file = fs::path(folder.path()) / "sub" / "a.h5";
    std::ofstream(folder.path() + "/part") << "content";
    publish(folder.path() + "/part", file);
    EXPECT_EQ(read_file(file), "content");
    EXPECT_FALSE(fs::exists(folder.path() + "/part"));
}

TEST(File, TemporariesOfDeadProcessesAreRemovedAndOnlyThose)
{
    const TemporaryFolder folder;
    const pid_t dead = fork();
    if (dead == 0) _exit(0);
    waitpid(dead, nullptr, 0);
    const fs::path below = fs::path(folder.path()) / "sub-01";
    fs::create_directories(below);
    for (const std::string& name :
         {"a.tmp." + std::to_string(dead), "b.tmp." + std::to_string(getpid()), std::string("c.tmp.12x"),
          std::string("tmp.99999999"), std::string("d.nii.gz")}) {
        std::ofstream(below / name) << "x";
    }
    const fs::path dead_folder = below / ("e.tmp." + std::to_string(dead));
    fs::create_directory(dead_folder);
    std::ofstream(dead_folder / "map.nii.gz") << "x";
    EXPECT_EQ(remove_stale_temporaries(folder.path()), 2u);
    EXPECT_EQ(entries_of(below), 4u);
    EXPECT_FALSE(fs::exists(dead_folder));
    EXPECT_FALSE(fs::exists(below / ("a.tmp." + std::to_string(dead))));
    EXPECT_EQ(remove_stale_temporaries(folder.path() + "/none"), 0u);
}

TEST(File, ReadsFilesThatDoNotKnowTheirSize)
{
    EXPECT_FALSE(read_file("/proc/self/status").empty());
}

}  // namespace
}  // namespace qsmpi::io
