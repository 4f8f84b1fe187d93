#include "qsmpi/runtime/status.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "lock.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/runtime/journal.hpp"
#include "run_files.hpp"

namespace qsmpi::runtime {
namespace {

namespace fs = std::filesystem;

std::optional<int> exit_code_in(const fs::path& file)
{
    std::error_code error;
    if (!fs::exists(file, error)) return std::nullopt;
    const std::string text = io::read_file(file);
    int code = 0;
    const auto [end, bad] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (bad != std::errc{}) return std::nullopt;
    return code;
}

/// The latest run of a journal: its first record, and its last if it ended.
struct LatestRun {
    Shard shard;
    const JournalRecord* begin = nullptr;
    const JournalRecord* end = nullptr;
};

LatestRun latest_run(const JournalContent& journal, const Shard& shard)
{
    LatestRun run{.shard = shard};
    for (const JournalRecord& r : journal.records) {
        if (r.event == "run") run = {shard, &r, nullptr};
        if (r.event == "end") run.end = &r;
    }
    return run;
}

/// Of several exit codes the one that asks for most: failed beats interrupted beats done, anything else beats all.
int worst(int a, int b)
{
    const auto badness = [](int code) { return code == 0 ? 0 : code == 75 ? 1 : code == 1 ? 2 : 3; };
    return badness(a) >= badness(b) ? a : b;
}

}  // namespace

RunStatus read_status(const fs::path& output_dir)
{
    RunStatus status;
    const std::vector<Shard> shards = RunFiles::present(output_dir, "journal");
    std::vector<JournalContent> journals;
    for (const Shard& shard : shards) {
        journals.push_back(read_journal(RunFiles(output_dir, shard).journal()));
        status.damaged_lines += journals.back().damaged_lines;
    }

    // The latest run says of how many parts it was one; the others of that split belong to it.
    std::vector<LatestRun> runs;
    for (std::size_t i = 0; i < shards.size(); ++i) {
        if (const LatestRun run = latest_run(journals[i], shards[i]); run.begin != nullptr) runs.push_back(run);
    }
    const auto latest = std::max_element(runs.begin(), runs.end(), [](const LatestRun& a, const LatestRun& b) {
        return a.begin->time < b.begin->time;
    });
    bool alive = false, ended = true;
    if (latest != runs.end()) {
        const int count = latest->shard.count;
        for (const LatestRun& run : runs) {
            if (run.shard.count != count) continue;
            const RunFiles files(output_dir, run.shard);
            status.total += run.begin->total;
            if (run.end != nullptr) status.lost_ranks += run.end->lost_ranks;
            const auto holder = read_lock(files.lock());
            alive = alive || (holder && is_alive(*holder, LockTiming{}.stale_after_s));
            const auto code = exit_code_in(files.status());
            ended = ended && code.has_value();
            if (code) status.exit_code = status.exit_code ? worst(*status.exit_code, *code) : *code;
        }
        status.state = alive ? "running" : !ended ? "died" : status.exit_code == 75 ? "interrupted" : "ended";
    }

    for (auto& [key, job] : replay(journals)) {
        if (job.state == "running" && !alive) job.state = "interrupted";
        if (job.state == "done") ++status.done;
        if (job.state == "failed") ++status.failed;
        if (job.state == "refused") ++status.refused;
        if (job.state == "running") ++status.running;
        if (job.state == "interrupted") ++status.interrupted;
        status.jobs.push_back(std::move(job));
    }
    status.total = std::max(status.total, status.jobs.size());  // the latest run may have been over a part only
    return status;
}

std::string status_text(const RunStatus& s)
{
    if (s.state == "none") return "No run has been started in this folder.\n";
    std::ostringstream out;
    out << "The latest run ";
    if (s.state == "running") out << "is going on";
    if (s.state == "died") out << "ended without saying so: start it again to finish the rest";
    if (s.state == "interrupted") out << "was interrupted: start it again to finish the rest";
    if (s.state == "ended") out << "ended with status " << s.exit_code.value_or(0);
    out << ".\n" << s.done << " of " << s.total << " jobs done, " << s.failed << " failed, " << s.refused << " refused, "
        << s.running << " running, " << s.interrupted << " interrupted, " << s.pending() << " not started yet.\n";
    if (s.lost_ranks > 0) out << s.lost_ranks << " rank(s) were lost on the way; their jobs were given to others.\n";
    if (s.damaged_lines > 0) out << s.damaged_lines << " damaged line(s) of the journal were skipped.\n";
    for (const JobStatus& job : s.jobs) {
        if (job.state == "done") continue;
        out << "  " << job.key << ": " << job.state;
        if (!job.cause.empty()) out << " (" << job.cause << ")";
        if (!job.message.empty()) out << ": " << job.message;
        if (job.state == "running") out << " on " << job.host << ", rank " << job.rank << ", since " << job.time;
        out << '\n';
    }
    std::map<std::string, std::vector<std::string>> warned;  // text -> jobs
    for (const JobStatus& job : s.jobs) {
        if (job.state != "done") continue;
        for (const std::string& warning : job.warnings) warned[warning].push_back(job.key);
    }
    for (const auto& [warning, keys] : warned) {
        out << "  " << keys.front();
        if (keys.size() > 1) out << " and " << keys.size() - 1 << " more";
        out << ": warning: " << warning << '\n';
    }
    return out.str();
}

std::string status_json(const RunStatus& s)
{
    nlohmann::ordered_json j;
    j["state"] = s.state;
    j["exit_code"] = s.exit_code ? nlohmann::ordered_json(*s.exit_code) : nlohmann::ordered_json(nullptr);
    j["total"] = s.total;
    j["done"] = s.done;
    j["failed"] = s.failed;
    j["refused"] = s.refused;
    j["running"] = s.running;
    j["interrupted"] = s.interrupted;
    j["pending"] = s.pending();
    j["lost_ranks"] = s.lost_ranks;
    j["damaged_lines"] = s.damaged_lines;
    j["jobs"] = nlohmann::ordered_json::array();
    for (const JobStatus& job : s.jobs) {
        j["jobs"].push_back({{"key", job.key},
                             {"state", job.state},
                             {"cause", job.cause},
                             {"message", job.message},
                             {"warnings", job.warnings},
                             {"seconds", job.seconds},
                             {"total_seconds", job.total_seconds},
                             {"peak_mb", job.peak_mb},
                             {"host", job.host},
                             {"rank", job.rank},
                             {"threads", job.threads},
                             {"attempts", job.attempts},
                             {"time", job.time}});
    }
    return j.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace qsmpi::runtime
