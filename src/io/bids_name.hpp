#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace qsmpi::io
{

/// "sub-01_echo-2_part-mag_MEGRE.nii.gz" taken apart.
struct BidsName {
    std::vector<std::pair<std::string, std::string>> entities;  ///< in the order of the name
    std::string suffix;                                         ///< "MEGRE"
    std::string extension;                                      ///< ".nii.gz", with the dot
    /// Value of an entity, or "".
    [[nodiscard]] const std::string& entity(std::string_view key) const;
    /// The first entity whose label BIDS does not allow: ("sub", "x_y").
    [[nodiscard]] std::optional<std::pair<std::string, std::string>> bad_label() const;
    /// True if every entity of this name is in `other` with the same value and the suffixes agree
    /// (inheritance).
    [[nodiscard]] bool applies_to(const BidsName& other) const;
};

/// Nothing if the file name is not made of key-value pairs and a suffix. Labels may be such that BIDS forbids.
[[nodiscard]] std::optional<BidsName> parse_bids_name(std::string_view file_name);

/// Position of an entity in the order that BIDS prescribes for file names; unknown ones come last.
[[nodiscard]] int entity_rank(std::string_view key);

/// "run-1" and "1" against "01": digits compare as numbers, everything else as text, without the prefix
/// `key-`.
[[nodiscard]] bool same_label(std::string_view key, std::string_view wanted, std::string_view label);

}  // namespace qsmpi::io
