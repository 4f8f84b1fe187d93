#include "qsmpi/comm/communicator.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "qsmpi/core/error.hpp"

namespace qsmpi::comm {
namespace {

const char* const launcher_variables[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};

/// A process that no launcher started; ctest itself may run under one.
class PlainEnvironment : public testing::Test {
protected:
    void SetUp() override { clear(); }
    void TearDown() override { clear(); }

private:
    static void clear()
    {
        for (const char* name : launcher_variables) unsetenv(name);
        for (const char* name : {"SLURM_JOB_ID", "SLURM_PROCID", "SLURM_NTASKS"}) unsetenv(name);
    }
};

using StartedByMpi = PlainEnvironment;
using Single = PlainEnvironment;

TEST_F(StartedByMpi, IsFalseInAPlainShellAndInASlurmBatchScript)
{
    EXPECT_FALSE(started_by_mpi());
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_PROCID", "0", 1);  // a batch script has all three, without MPI
    setenv("SLURM_NTASKS", "4", 1);
    EXPECT_FALSE(started_by_mpi());
}

TEST_F(StartedByMpi, IsTrueForARankOfAnyLauncher)
{
    for (const char* name : launcher_variables) {
        setenv(name, "0", 1);
        EXPECT_TRUE(started_by_mpi()) << name;
        unsetenv(name);
    }
}

TEST_F(Single, IsMadeWithoutALauncherAndReturnsOwnMessagesInOrder)
{
    int argc = 0;
    char** argv = nullptr;
    const auto comm = make_communicator(argc, argv);
    EXPECT_EQ(comm->rank(), 0);
    EXPECT_EQ(comm->size(), 1);
    EXPECT_FALSE(comm->receive().has_value());
    comm->send(0, "first");
    comm->send(0, std::string(100'000, 'x'));
    comm->send(0, "");
    EXPECT_EQ(comm->receive()->bytes, "first");
    EXPECT_EQ(comm->receive()->bytes.size(), 100'000u);
    const auto last = comm->receive();
    ASSERT_TRUE(last.has_value());
    EXPECT_EQ(last->source, 0);
    EXPECT_EQ(last->bytes, "");
    EXPECT_FALSE(comm->receive().has_value());
    comm->finish(true);
    comm->finish(true);
}

TEST_F(Single, RefusesARankThatDoesNotExistAndAMessageTooLong)
{
    const auto comm = make_single_communicator();
    EXPECT_THROW(comm->send(1, "x"), CommError);
    EXPECT_THROW(comm->send(-1, "x"), CommError);
    EXPECT_THROW(comm->send(0, std::string(max_message_bytes + 1, 'x')), CommError);
}

}  // namespace
}  // namespace qsmpi::comm
