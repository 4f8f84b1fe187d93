#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
    EXPECT_EQ(remove_stale_temporaries(folder.path()), 1u);
    EXPECT_EQ(entries_of(below), 4u);
    EXPECT_FALSE(fs::exists(below / ("a.tmp." + std::to_string(dead))));
    EXPECT_EQ(remove_stale_temporaries(folder.path() + "/none"), 0u);
}

TEST(File, ReadsFilesThatDoNotKnowTheirSize)
{
    EXPECT_FALSE(read_file("/proc/self/status").empty());
}

}  // namespace
}  // namespace qsmpi::io
