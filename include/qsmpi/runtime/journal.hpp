#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qsmpi/runtime/outcome.hpp"
#include "qsmpi/runtime/status.hpp"

namespace qsmpi::runtime {

/// One line of a journal: a JSON object with these members (empty ones left out) and, last, the CRC-32 of the rest.
struct JournalRecord {
    std::uint64_t sequence = 0;  ///< counts up in one journal, over all runs
    std::string time = {};            ///< UTC
    std::string event = {};           ///< run | refused | started | done | failed | retry | interrupted | lost | end
    std::string key = {}, hash = {};       ///< of the job
    int attempt = 0;
    Cause cause = Cause::none;
    std::string message = {};
    double seconds = 0.0;
    double peak_mb = 0.0;
    std::string host = {};
    int rank = 0;
    int threads = 0;
    std::string result = {};          ///< JSON text of the job's answer, under "result" in the line
    std::size_t total = 0;       ///< run: jobs asked for
    std::size_t up_to_date = 0;  ///< run: of these, done before
    int exit_code = 0;           ///< end
    std::size_t lost_ranks = 0;  ///< end
};

[[nodiscard]] std::string journal_line(const JournalRecord& record);
/// Nothing if the line is not a whole, undamaged record.
[[nodiscard]] std::optional<JournalRecord> record_from(std::string_view line);

struct JournalContent {
    std::vector<JournalRecord> records;  ///< in the order written
    std::size_t damaged_lines = 0;       ///< skipped, a torn last one included
    std::uintmax_t good_bytes = 0;       ///< length up to the last whole line
};
/// An absent file is an empty journal. @throws IoError if it cannot be read
[[nodiscard]] JournalContent read_journal(const std::filesystem::path& file);

/// Appends to a journal. A line torn by a crash is cut off when it is opened.
class Journal {
public:
    /// @throws IoError if the file cannot be opened for writing
    explicit Journal(std::filesystem::path file);
    ~Journal();
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    /// Sets sequence and time, and keeps the line until commit(). Returns the record as it will be written.
    const JournalRecord& append(JournalRecord record);
    /// Writes all lines kept; they are on the disk when it returns if one of them tells an end (done, failed,
    /// refused, retry, lost, interrupted, end), so one flush serves many jobs. @throws IoError (disk full)
    void commit();

private:
    std::filesystem::path file_;
    int fd_ = -1;
    std::uint64_t next_ = 1;
    std::string kept_;
    JournalRecord last_;
    bool must_flush_ = false;
};

/// Lets one record change what is known of its job; records without a job change nothing.
void apply(const JournalRecord& record, std::map<std::string, JobStatus>& jobs);

/// What journals say about every job: each journal in its order, several merged by time. Jobs whose last record
/// is "started" are left in state running.
[[nodiscard]] std::map<std::string, JobStatus> replay(const std::vector<JournalContent>& journals);

}  // namespace qsmpi::runtime
