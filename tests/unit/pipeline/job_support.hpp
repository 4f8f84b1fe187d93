#pragma once
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "qsmpi/core/log.hpp"
#include "qsmpi/io/file.hpp"
#include "tiny_scan.hpp"

/// What the tests of whole jobs share.
namespace qsmpi::pipeline {

namespace fs = std::filesystem;
using nlohmann::json;
using test::TinyScan;

/// Stages that a run executes, without what follows them.
inline std::vector<std::string> stages_run(const JobSpec& spec, JobResult* result = nullptr)
{
    std::vector<std::string> stages;
    const JobResult r = run_job(spec, [&](const std::string& stage, double fraction) {
        EXPECT_GE(fraction, 0.0);
        EXPECT_LE(fraction, 1.0);
        if (stage != "record" && stage != "publish") stages.push_back(stage);
    });
    EXPECT_NE(r.state, "failed") << r.message;
    if (result) *result = r;
    return stages;
}

inline json sidecar_of(const JobSpec& spec, const std::string& suffix)
{
    return json::parse(io::read_file(spec.output_dir / ("sub-01/anat/sub-01_run-2_" + suffix + ".json")));
}

inline fs::path image_of(const JobSpec& spec, const std::string& suffix)
{
    return spec.output_dir / ("sub-01/anat/sub-01_run-2_" + suffix + ".nii.gz");
}

inline std::map<std::string, std::string> tree(const fs::path& folder)
{
    std::map<std::string, std::string> files;
    if (fs::exists(folder))
        for (const auto& entry : fs::recursive_directory_iterator(folder))
            if (entry.is_regular_file())
                files[fs::relative(entry.path(), folder)] = io::read_file(entry.path());
    return files;
}

class Job : public ::testing::Test {
protected:
    void SetUp() override { log::set_sink({}); }
    void TearDown() override { unsetenv("QSMPI_INJECT"); }
};

inline const std::vector<std::string> all_stages = stage_names();

}  // namespace qsmpi::pipeline
