#include "records.hpp"

#include <cstdio>
#include <set>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::runtime {
namespace {

constexpr double csv_interval_s = 30.0;

/// A value of a table. Not called quoted(), which std::string brings along.
std::string cell(const std::string& text)
{
    if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

std::string fixed(double value, int digits)
{
    char text[40];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
}

}  // namespace

Plan make_plan(const RunFiles& files, const std::vector<Job>& jobs, bool force,
               const std::function<bool(const Job&)>& outputs_complete)
{
    constexpr std::size_t longest_payload = std::size_t{15} << 20;  // a message holds 16 MiB
    Plan plan;
    std::vector<JournalContent> journals;
    for (const Shard& shard : RunFiles::present(files.folder(), "journal")) {
        journals.push_back(read_journal(RunFiles(files.folder(), shard).journal()));
    }
    plan.known = replay(journals);

    std::set<std::string> keys;
    for (const Job& job : jobs) {
        require(!job.key.empty(), "a job has no key: each needs a name of its own");
        require(keys.insert(job.key).second, str("job ", job.key, " occurs twice: each needs a key of its own"));
        require(job.payload.size() <= longest_payload,
                str("job ", job.key, ": its description of ", job.payload.size(), " bytes is longer than 15 MiB"));
        if (files.shard().count > 1 && shard_of(job.key, files.shard().count) != files.shard().index) continue;
        const auto found = plan.known.find(job.key);
        if (!job.refusal.empty()) {
            ++plan.refused;
            const bool told = found != plan.known.end() && found->second.state == "refused" && found->second.message == job.refusal;
            if (!told) plan.newly_refused.push_back(&job);
            continue;
        }
        const bool same = found != plan.known.end() && found->second.hash == job.hash;
        if (!force && same && found->second.state == "done" && (!outputs_complete || outputs_complete(job))) {
            ++plan.up_to_date;
            continue;
        }
        // Still "running" means that the whole run died with it.
        const int deaths = same && !force ? found->second.rank_deaths + (found->second.state == "running" ? 1 : 0) : 0;
        plan.todo.push_back(&job);
        plan.tasks.push_back({job.memory_bytes, job.cost, deaths});
    }
    return plan;
}

Records::Records(const RunFiles& files, const Plan& plan) : files_(files), journal_(files.journal())
{
    const auto own = replay({read_journal(files.journal())});
    for (const auto& [key, status] : plan.known) {
        if (own.count(key) > 0) jobs_[key] = status;
    }
    for (const Job* job : plan.todo) {
        JobStatus& status = jobs_[job->key];
        if (status.key.empty() || status.hash != job->hash) status = {.key = job->key, .hash = job->hash};
        status.state = "pending";
    }
    std::error_code absent;
    std::filesystem::remove(files_.status(), absent);  // none until this run has ended
    JournalRecord begin{.event = "run", .host = host_name()};
    begin.total = plan.todo.size() + plan.up_to_date + plan.refused;
    begin.up_to_date = plan.up_to_date;
    journal_.append(std::move(begin));
    for (const Job* job : plan.newly_refused)
        apply(journal_.append({.event = "refused", .key = job->key, .message = job->refusal, .host = host_name()}), jobs_);
    journal_.commit();
}

void Records::started(const Job& job, const coordinator::StartJob& start, const std::string& host)
{
    apply(journal_.append({.event = "started", .key = job.key, .hash = job.hash, .attempt = start.attempt, .host = host,
                           .rank = start.slot.rank, .threads = start.slot.threads}),
          jobs_);
    csv_is_old_ = true;
}

std::string Records::ended(const Job& job, const coordinator::JobEnded& end, const std::string& host)
{
    const Outcome& o = end.outcome;
    const char* event = o.cause == Cause::none          ? "done"
                        : end.final                     ? "failed"
                        : o.cause == Cause::lost        ? "lost"
                        : o.cause == Cause::interrupted ? "interrupted"
                                                        : "retry";
    apply(journal_.append({.event = event, .key = job.key, .hash = job.hash, .attempt = end.attempt, .cause = o.cause,
                           .message = o.message, .seconds = o.seconds, .peak_mb = o.peak_mb, .host = host,
                           .rank = end.slot.rank, .threads = end.slot.threads, .result = o.result}),
          jobs_);
    csv_is_old_ = true;
    if (o.cause == Cause::disk) disk_message_ = o.message;

    std::string line = str(job.key, ' ');
    if (o.cause == Cause::none) {
        return o.skipped ? line + "was up to date"
                         : str(line, "done in ", fixed(o.seconds, 1), " s, ", fixed(o.peak_mb, 0), " MB");
    }
    const bool put_back = o.cause == Cause::interrupted || o.cause == Cause::disk;
    line += end.final ? "failed" : put_back ? "put back" : "will be tried again";
    return str(line, " (", to_text(o.cause), "): ", o.message);
}

void Records::commit(double now_s)
{
    journal_.commit();
    if (!csv_is_old_ || now_s - csv_written_s_ < csv_interval_s) return;
    csv_written_s_ = now_s;
    write_csv();
}

void Records::write_csv()
{
    io::write_file_atomic(files_.jobs_csv(), csv_of(jobs_));
    csv_is_old_ = false;
}

void Records::finish(int exit_code, std::size_t lost_ranks)
{
    JournalRecord end{.event = "end", .host = host_name()};
    end.exit_code = exit_code;
    end.lost_ranks = lost_ranks;
    journal_.append(std::move(end));
    journal_.commit();
    write_csv();
    write_status(files_, exit_code);
}

void write_status(const RunFiles& files, int exit_code) { io::write_file_atomic(files.status(), str(exit_code, '\n')); }

std::string csv_of(const std::map<std::string, JobStatus>& jobs)
{
    std::string out = "key,state,cause,seconds,peak_mb,host,rank,threads,attempts,total_seconds,message,warnings\n";
    for (const auto& [key, s] : jobs) {
        std::string warnings;
        for (const std::string& warning : s.warnings) warnings += (warnings.empty() ? "" : " | ") + warning;
        out += str(cell(key), ',', s.state, ',', s.cause, ',', fixed(s.seconds, 3), ',', fixed(s.peak_mb, 1), ',',
                   cell(s.host), ',', s.rank, ',', s.threads, ',', s.attempts, ',', fixed(s.total_seconds, 3), ',',
                   cell(s.message), ',', cell(warnings), '\n');
    }
    return out;
}

}  // namespace qsmpi::runtime
