#pragma once
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/io/bids.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::apps {

/// One acquisition as the plan shows it.
struct PlannedJob {
    std::string key = {};
    std::size_t n_echoes = 0;     ///< 0 if the scan did not get so far
    Dims dims = {};                  ///< 0 if the images were not opened
    double memory_mb = 0.0;       ///< 0 if the images were not opened
    std::string refusal = {};     ///< why it cannot run; empty: it can
};

/// Everything that --dry-run prints and --report-json writes.
struct RunReport {
    std::vector<PlannedJob> jobs;
    std::vector<io::ImageDecision> images;
    std::vector<io::Finding> findings;
    pipeline::ChainOptions options;
};

/// Adds the plan of one scan that got as far as its voxels.
void add_plan(RunReport& report, const io::Acquisition& acquisition);
/// Adds the scans that did not get so far, and says of each why it is refused, if it is.
/// @return acquisition -> its errors in one line, for those that have any
std::map<std::string, std::string> add_refusals(RunReport& report, const std::vector<std::string>& refused);
/// The findings, one line each, errors first.
[[nodiscard]] std::string findings_text(const std::vector<io::Finding>& findings);
/// Images with what becomes of them and why, then the jobs.
[[nodiscard]] std::string plan_text(const RunReport& report);
[[nodiscard]] nlohmann::json report_json(const RunReport& report);

}  // namespace qsmpi::apps
