#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "bids_tree.hpp"
#include "qsmpi/io/bids.hpp"

namespace qsmpi::io
{

/// Which images the user asked for: labels and the BIDS filter file.
class Selection
{
public:
    /// Mistakes in the filter file become findings of the data set.
    Selection(const ScanOptions& options, std::vector<Finding>& findings);

    /// Why an image is left out, or "" if it is asked for. `is_gre` tells scans from anatomy (T1w).
    [[nodiscard]] std::string reason_against(const TreeImage& image, bool is_gre) const;
    /// Adds a finding for each label asked for that no subject folder has.
    void report_unknown_subjects(const std::vector<std::string>& folders,
                                 std::vector<Finding>& findings) const;

private:
    /// Allowed values of an entity; none allowed: the entity must be absent.
    struct Rule {
        std::string key;
        std::vector<std::string> allowed;
        bool absent = false;
    };
    void read_filter_file(const fs::path& file, std::vector<Finding>& findings);
    [[nodiscard]] static bool obeys(const Rule& rule, const TreeImage& image);

    const ScanOptions& options_;
    std::map<std::string, std::vector<Rule>> sections_;  ///< by lower-case name
};

}  // namespace qsmpi::io
