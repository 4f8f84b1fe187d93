#include "qsmpi/runtime/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::runtime {
namespace {

using nlohmann::ordered_json;

// Every line ends in  ,"crc":"0123abcd"}  where the CRC is that of the line with only  }  there.
constexpr std::string_view crc_begin = ",\"crc\":\"";
constexpr std::size_t crc_length = crc_begin.size() + 8 + 2;

std::string crc_text(std::string_view object)
{
    char text[9];
    std::snprintf(text, sizeof text, "%08x", static_cast<unsigned>(crc32_of(object)));
    return text;
}

/// What the job's answer calls its warnings; see child.hpp.
std::vector<std::string> warnings_in(const ordered_json& answer)
{
    std::vector<std::string> warnings;
    if (!answer.is_object() || !answer.contains("warnings")) return warnings;
    for (const auto& warning : answer["warnings"])
        if (warning.is_string()) warnings.push_back(warning.get<std::string>());
    return warnings;
}

/// Whether the job found everything up to date: what it cost is what it cost before.
bool was_skipped(const ordered_json& answer)
{
    return answer.is_object() && answer.contains("state") && answer["state"] == "skipped";
}

double rounded(double value) { return static_cast<double>(static_cast<std::int64_t>(value * 1000.0 + 0.5)) / 1000.0; }

}  // namespace

std::string journal_line(const JournalRecord& r)
{
    ordered_json j;
    j["seq"] = r.sequence;
    j["time"] = r.time;
    j["event"] = r.event;
    if (r.event == "run") {
        j["total"] = r.total;
        j["up_to_date"] = r.up_to_date;
    }
    if (r.event == "end") {
        j["exit_code"] = r.exit_code;
        j["lost_ranks"] = r.lost_ranks;
    }
    if (!r.key.empty()) {
        j["key"] = r.key;
        j["hash"] = r.hash;
        j["attempt"] = r.attempt;
        j["rank"] = r.rank;
        j["threads"] = r.threads;
    }
    if (!r.host.empty()) j["host"] = r.host;
    if (r.cause != Cause::none) j["cause"] = to_text(r.cause);
    if (!r.message.empty()) j["message"] = r.message;
    if (r.seconds > 0) j["seconds"] = rounded(r.seconds);
    if (r.peak_mb > 0) j["peak_mb"] = rounded(r.peak_mb);
    if (!r.result.empty()) j["result"] = ordered_json::parse(r.result, nullptr, false);
    std::string object = j.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
    const std::string crc = crc_text(object);
    object.pop_back();
    return str(object, crc_begin, crc, "\"}");
}

std::optional<JournalRecord> record_from(std::string_view line)
{
    if (line.size() <= crc_length || !line.ends_with("\"}")) return std::nullopt;
    const std::size_t at = line.size() - crc_length;
    if (line.substr(at, crc_begin.size()) != crc_begin) return std::nullopt;
    const std::string object = str(line.substr(0, at), '}');
    if (line.substr(at + crc_begin.size(), 8) != crc_text(object)) return std::nullopt;
    try {
        const auto j = ordered_json::parse(object);
        JournalRecord r;
        r.sequence = j.at("seq").get<std::uint64_t>();
        r.time = j.at("time").get<std::string>();
        r.event = j.at("event").get<std::string>();
        r.total = j.value("total", std::size_t{0});
        r.up_to_date = j.value("up_to_date", std::size_t{0});
        r.exit_code = j.value("exit_code", 0);
        r.lost_ranks = j.value("lost_ranks", std::size_t{0});
        r.key = j.value("key", "");
        r.hash = j.value("hash", "");
        r.attempt = j.value("attempt", 0);
        r.rank = j.value("rank", 0);
        r.threads = j.value("threads", 0);
        r.host = j.value("host", "");
        r.cause = cause_from(j.value("cause", "none"));
        r.message = j.value("message", "");
        r.seconds = j.value("seconds", 0.0);
        r.peak_mb = j.value("peak_mb", 0.0);
        if (const auto result = j.find("result"); result != j.end()) r.result = result->dump();
        return r;
    } catch (const ordered_json::exception&) {
        return std::nullopt;  // whole, but of another version of this program
    } catch (const CommError&) {
        return std::nullopt;
    }
}

JournalContent read_journal(const std::filesystem::path& file)
{
    JournalContent content;
    std::error_code error;
    if (!std::filesystem::exists(file, error)) return content;
    const std::string text = io::read_file(file);
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\n', begin);
        if (end == std::string::npos) {
            ++content.damaged_lines;
            break;
        }
        if (auto record = record_from(std::string_view(text).substr(begin, end - begin))) {
            content.records.push_back(*std::move(record));
        } else {
            ++content.damaged_lines;
        }
        begin = content.good_bytes = end + 1;
    }
    return content;
}

Journal::Journal(std::filesystem::path file) : file_(std::move(file))
{
    const JournalContent content = read_journal(file_);
    for (const JournalRecord& r : content.records) next_ = std::max(next_, r.sequence + 1);
    fd_ = open(file_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd_ < 0) throw IoError(str(file_.string(), ": cannot open the journal: ", std::strerror(errno)));
    struct stat info {};
    if (fstat(fd_, &info) == 0 && static_cast<std::uintmax_t>(info.st_size) > content.good_bytes) {
        if (ftruncate(fd_, static_cast<off_t>(content.good_bytes)) != 0) {
            throw IoError(str(file_.string(), ": cannot cut off a torn line: ", std::strerror(errno)));
        }
    }
    if (content.damaged_lines > 0) {
        log::warn(str(file_.string(), ": ", content.damaged_lines, " damaged line(s) skipped; what they told runs again"));
    }
    // The name itself must survive a crash of the machine too.
    const int folder = open(file_.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
        fsync(folder);
        close(folder);
    }
}

Journal::~Journal()
{
    if (fd_ >= 0) close(fd_);
}

const JournalRecord& Journal::append(JournalRecord record)
{
    record.sequence = next_++;
    record.time = log::utc_now();
    must_flush_ = must_flush_ || (record.event != "started" && record.event != "run");
    kept_ += journal_line(record);
    kept_ += '\n';
    last_ = std::move(record);
    return last_;
}

void Journal::commit()
{
    std::string_view rest = kept_;
    while (!rest.empty()) {
        const ssize_t n = write(fd_, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw IoError(str(file_.string(), ": cannot write the journal: ", std::strerror(errno)));
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
    kept_.clear();
    if (must_flush_ && fdatasync(fd_) != 0) {
        throw IoError(str(file_.string(), ": cannot flush the journal to disk: ", std::strerror(errno)));
    }
    must_flush_ = false;
}

void apply(const JournalRecord& r, std::map<std::string, JobStatus>& jobs)
{
    if (r.key.empty()) return;
    JobStatus& s = jobs[r.key];
    if (s.key.empty() || s.hash != r.hash) s = {.key = r.key, .hash = r.hash};
    if (r.event == "started") {
        if (s.state == "running") ++s.rank_deaths;  // the end of the attempt before was never told
        ++s.attempts;
        s.state = "running";
        s.cause = s.message = "";
        s.warnings.clear();
    } else {
        s.cause = r.cause == Cause::none ? "" : to_text(r.cause);
        s.message = r.message;
        const auto answer = ordered_json::parse(r.result, nullptr, false);
        s.warnings = warnings_in(answer);
        if (!was_skipped(answer)) {
            s.seconds = r.seconds;
            s.total_seconds += r.seconds;
            s.peak_mb = r.peak_mb;
        }
        if (r.event == "lost") ++s.rank_deaths;
        if (r.event == "done" || r.event == "failed" || r.event == "refused") {
            s.state = r.event;
            s.rank_deaths = 0;
        } else {
            s.state = "interrupted";
        }
    }
    s.host = r.host;
    s.rank = r.rank;
    s.threads = r.threads;
    s.time = r.time;
}

std::map<std::string, JobStatus> replay(const std::vector<JournalContent>& journals)
{
    std::map<std::string, JobStatus> jobs;
    std::vector<std::size_t> at(journals.size(), 0);
    for (;;) {
        std::optional<std::size_t> first;
        for (std::size_t i = 0; i < journals.size(); ++i) {
            if (at[i] == journals[i].records.size()) continue;
            if (!first || journals[i].records[at[i]].time < journals[*first].records[at[*first]].time) first = i;
        }
        if (!first) return jobs;
        apply(journals[*first].records[at[*first]++], jobs);
    }
}

}  // namespace qsmpi::runtime
