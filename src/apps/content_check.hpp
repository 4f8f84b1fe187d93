#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "qsmpi/io/bids.hpp"

namespace qsmpi::apps {

/// What is known of one acquisition before it becomes a job.
struct CheckedAcquisition {
    io::Acquisition acquisition;         ///< phase scaling settled where the values had to decide
    std::vector<io::Finding> findings;
    std::string input_hash;              ///< of the bytes of all its images
    [[nodiscard]] bool refused() const;
};

enum class CheckDepth {
    headers,  ///< nothing is read; the hash is that of names, sizes and times
    full      ///< every voxel is read
};

/// Checks the voxels of acquisitions in parallel, and remembers the answers in `cache_file` for files whose size and time
/// of change stay the same. Answers are kept as they come, so a run that is killed need not read twice.
/// @param older  further caches to look into, e.g. of other shards
/// @throws IoError if the cache cannot be written
[[nodiscard]] std::vector<CheckedAcquisition> check_acquisitions(std::vector<io::Acquisition> acquisitions, CheckDepth depth,
                                                                 const std::filesystem::path& cache_file,
                                                                 const std::vector<std::filesystem::path>& older);

}  // namespace qsmpi::apps
