#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace qsmpi::runtime {

/// Which part of the jobs a run does; of 1: all.
struct Shard {
    int index = 0;
    int count = 1;
    [[nodiscard]] bool operator==(const Shard&) const = default;
};

/// Names of a run's own files in the output folder: journal.jsonl, or journal.2-of-4.jsonl for shard 2 of 0 ... 3.
class RunFiles {
public:
    explicit RunFiles(std::filesystem::path folder, Shard shard = {}) : folder_(std::move(folder)), shard_(shard) {}

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    [[nodiscard]] Shard shard() const { return shard_; }
    [[nodiscard]] std::filesystem::path journal() const { return name("journal", ".jsonl"); }
    [[nodiscard]] std::filesystem::path jobs_csv() const { return name("jobs", ".csv"); }
    [[nodiscard]] std::filesystem::path status() const { return name("status", ""); }
    [[nodiscard]] std::filesystem::path lock() const { return name(".lock", ""); }
    /// A job's key may hold any characters; its log's name holds only harmless ones.
    [[nodiscard]] std::filesystem::path log_of(const std::string& key) const;

    /// The shards of which the folder holds a file of this kind ("journal", "status" or ".lock").
    [[nodiscard]] static std::vector<Shard> present(const std::filesystem::path& folder, const std::string& kind);

private:
    [[nodiscard]] std::filesystem::path name(const std::string& stem, const char* extension) const;
    std::filesystem::path folder_;
    Shard shard_;
};

}  // namespace qsmpi::runtime
