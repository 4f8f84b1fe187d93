#include "run_report.hpp"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

#include "qsmpi/core/version.hpp"
#include "qsmpi/pipeline/job.hpp"

namespace qsmpi::apps {

using nlohmann::json;

namespace {

const char* word(io::Use use)
{
    switch (use) {
        case io::Use::used: return "used";
        case io::Use::ignored: return "ignored";
        case io::Use::refused: return "refused";
    }
    return "?";
}

std::map<std::string, std::string> refusals_of(const std::vector<io::Finding>& findings)
{
    std::map<std::string, std::string> refusals;
    for (const io::Finding& f : findings) {
        if (f.severity != io::Severity::error || f.acquisition.empty()) continue;
        std::string& text = refusals[f.acquisition];
        text += (text.empty() ? "" : " | ") + f.text();
    }
    return refusals;
}

}  // namespace

void add_plan(RunReport& report, const io::Acquisition& acquisition)
{
    const Dims& dims = acquisition.geometry.grid.dims;
    const double bytes =
        dims.size() == 0 ? 0.0 : static_cast<double>(pipeline::estimate_memory_bytes(acquisition, report.options));
    report.jobs.push_back({acquisition.key, acquisition.echoes.size(), dims, bytes / 1e6});
}

std::map<std::string, std::string> add_refusals(RunReport& report, const std::vector<std::string>& refused)
{
    for (const std::string& key : refused) report.jobs.push_back({.key = key});
    std::sort(report.jobs.begin(), report.jobs.end(), [](const PlannedJob& a, const PlannedJob& b) { return a.key < b.key; });
    auto refusals = refusals_of(report.findings);
    for (PlannedJob& job : report.jobs) {
        if (const auto why = refusals.find(job.key); why != refusals.end()) job.refusal = why->second;
    }
    return refusals;
}

std::string findings_text(const std::vector<io::Finding>& findings)
{
    std::string text;
    for (const io::Severity severity : {io::Severity::error, io::Severity::warning}) {
        for (const io::Finding& f : findings) {
            if (f.severity != severity) continue;
            text += (severity == io::Severity::error ? "ERROR " : "WARN  ") + f.line() + "\n";
        }
    }
    return text;
}

std::string plan_text(const RunReport& report)
{
    std::string text;
    for (const io::ImageDecision& image : report.images) {
        std::string use = word(image.use);
        use.resize(8, ' ');
        text += use + image.file + (image.reason.empty() ? "" : ": " + image.reason) + "\n";
    }
    std::size_t n_jobs = 0;
    for (const PlannedJob& job : report.jobs) {
        if (!job.refusal.empty()) {
            text += str("refused ", job.key, ": ", job.refusal, "\n");
            continue;
        }
        ++n_jobs;
        text += str("job     ", job.key, ": ", job.n_echoes, job.n_echoes == 1 ? " echo" : " echoes");
        if (job.dims.size() > 0) text += str(", ", job.dims.nx, "x", job.dims.ny, "x", job.dims.nz, " voxels");
        if (job.memory_mb > 0.0) text += str(", about ", std::lround(job.memory_mb), " MB");
        text += "\n";
    }
    const auto n_refused = report.jobs.size() - n_jobs;
    text += str(n_jobs, n_jobs == 1 ? " job" : " jobs", ", ", n_refused, " refused\n");
    return text;
}

json report_json(const RunReport& report)
{
    json jobs = json::array();
    for (const PlannedJob& job : report.jobs) {
        json j{{"key", job.key}, {"refused", !job.refusal.empty()}};
        if (!job.refusal.empty()) j["reason"] = job.refusal;
        if (job.n_echoes > 0) j["n_echoes"] = job.n_echoes;
        if (job.dims.size() > 0) j["dims"] = {job.dims.nx, job.dims.ny, job.dims.nz};
        if (job.memory_mb > 0.0) j["memory_mb"] = std::round(job.memory_mb);
        jobs.push_back(std::move(j));
    }
    return {{"version", version()},       {"commit", commit()},         {"options", report.options}, {"jobs", jobs},
            {"findings", report.findings}, {"images", report.images}};
}

}  // namespace qsmpi::apps
