#include "qsmpi/runtime/resources.hpp"

#include <gtest/gtest.h>

#include <map>

#include <unistd.h>

#include "folder.hpp"

namespace qsmpi::runtime {
namespace {

using Cgroup = FolderTest;

TEST_F(Cgroup, TakesTheTightestLimitOfVersionTwo)
{
    write("self", "0::/slurm/job_7/step_0\n");
    write("fs/slurm/cpu.max", "max 100000\n");
    write("fs/slurm/job_7/cpu.max", "250000 100000\n");
    write("fs/slurm/job_7/memory.max", "1000000000\n");
    write("fs/slurm/job_7/memory.current", "400000000\n");
    write("fs/slurm/job_7/memory.stat", "anon 100\ninactive_file 300000000\n");
    write("fs/slurm/job_7/step_0/memory.max", "max\n");
    const CgroupLimits limits = cgroup_limits(folder / "self", folder / "fs");
    EXPECT_DOUBLE_EQ(limits.cpus.value(), 2.5);
    EXPECT_EQ(limits.memory_bytes.value(), 900'000'000u) << "file cache of 300 MB gives way";
}

TEST_F(Cgroup, ReadsVersionOneAndIgnoresItsNumberForUnlimited)
{
    write("self", "5:memory:/a\n4:cpu,cpuacct:/a\n");
    write("fs/cpu,cpuacct/a/cpu.cfs_quota_us", "-1\n");
    write("fs/cpu,cpuacct/a/cpu.cfs_period_us", "100000\n");
    write("fs/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    CgroupLimits limits = cgroup_limits(folder / "self", folder / "fs");
    EXPECT_FALSE(limits.cpus.has_value());
    EXPECT_FALSE(limits.memory_bytes.has_value());
    write("fs/cpu,cpuacct/a/cpu.cfs_quota_us", "400000\n");
    write("fs/memory/a/memory.limit_in_bytes", "5000\n");
    write("fs/memory/a/memory.usage_in_bytes", "1000\n");
    limits = cgroup_limits(folder / "self", folder / "fs");
    EXPECT_DOUBLE_EQ(limits.cpus.value(), 4.0);
    EXPECT_EQ(limits.memory_bytes.value(), 4000u);
}

TEST_F(Cgroup, IsWithoutLimitWhereThereAreNoGroups)
{
    const CgroupLimits limits = cgroup_limits(folder / "absent", folder / "fs");
    EXPECT_FALSE(limits.cpus.has_value());
    EXPECT_FALSE(limits.memory_bytes.has_value());
}

BatchLimits with(std::map<std::string, std::string> variables)
{
    return batch_limits([&](const char* name) -> const char* {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

TEST(Batch, ReadsTheShareThatSlurmGave)
{
    const auto a = with({{"SLURM_JOB_ID", "7"}, {"SLURM_CPUS_ON_NODE", "8"}, {"SLURM_CPUS_PER_TASK", "2"}, {"SLURM_MEM_PER_NODE", "4096"}});
    EXPECT_EQ(a.cpus, 8);
    EXPECT_EQ(a.cpus_per_task, 2);
    EXPECT_EQ(a.memory_bytes.value(), std::uint64_t{4} << 30);
    const auto b = with({{"SLURM_JOB_ID", "7"}, {"SLURM_CPUS_ON_NODE", "8"}, {"SLURM_MEM_PER_CPU", "1024"}});
    EXPECT_EQ(b.memory_bytes.value(), std::uint64_t{8} << 30);
}

TEST(Batch, ReadsTheShareThatPbsGave)
{
    EXPECT_EQ(with({{"PBS_JOBID", "1.s"}, {"NCPUS", "4"}, {"OMP_NUM_THREADS", "2"}}).cpus, 4);
    EXPECT_EQ(with({{"PBS_JOBID", "1.s"}, {"OMP_NUM_THREADS", "2"}}).cpus_per_task, 2);
}

TEST(Batch, KnowsNoLimitOutsideABatchSystem)
{
    const auto none = with({{"OMP_NUM_THREADS", "2"}, {"SLURM_CPUS_ON_NODE", "8"}});
    EXPECT_EQ(none.cpus, 0);
    EXPECT_EQ(none.cpus_per_task, 0);
    EXPECT_FALSE(none.memory_bytes.has_value());
}

TEST(Node, ReportsThisProcess)
{
    const NodeReport report = report_node(std::uint64_t{1} << 20);
    EXPECT_FALSE(report.host.empty());
    EXPECT_FALSE(report.cores.empty());
    EXPECT_EQ(report.pid, getpid());
    EXPECT_EQ(process_start_ticks(report.pid).value(), report.start_ticks);
    EXPECT_EQ(report.memory_bytes, static_cast<std::uint64_t>(0.9 * (1 << 20)));
    EXPECT_FALSE(process_start_ticks(1 << 30).has_value());
}

}  // namespace
}  // namespace qsmpi::runtime
