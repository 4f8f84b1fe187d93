#include "bids_name.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace qsmpi::io
{

namespace
{

bool is_label(std::string_view text)
{
    return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '+' || c == '.';
    });
}

bool is_number(std::string_view text)
{
    return !text.empty() &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string_view without_zeros(std::string_view digits)
{
    digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return digits;
}

}  // namespace

const std::string& BidsName::entity(std::string_view key) const
{
    static const std::string none;
    for (const auto& [name, value] : entities) {
        if (name == key) return value;
    }
    return none;
}

std::optional<std::pair<std::string, std::string>> BidsName::bad_label() const
{
    const auto bad = std::find_if(entities.begin(), entities.end(), [](const auto& e) { return !is_label(e.second); });
    if (bad == entities.end()) return std::nullopt;
    return *bad;
}

bool BidsName::applies_to(const BidsName& other) const
{
    return suffix == other.suffix && std::all_of(entities.begin(), entities.end(), [&](const auto& pair) {
               return other.entity(pair.first) == pair.second;
           });
}

std::optional<BidsName> parse_bids_name(std::string_view file_name)
{
    BidsName name;
    const auto extension = [&]() -> std::string_view {
        for (const std::string_view known : {".nii.gz", ".nii", ".json"}) {
            if (file_name.size() > known.size() && file_name.ends_with(known)) return known;
        }
        return {};
    }();
    if (extension.empty()) return std::nullopt;
    name.extension = extension;
    std::string_view rest = file_name.substr(0, file_name.size() - extension.size());
    for (;;) {
        const auto end = rest.find('_');
        const std::string_view part = rest.substr(0, end);
        const auto dash = part.find('-');
        if (end == std::string_view::npos) {
            if (!is_label(part)) return std::nullopt;
            name.suffix = part;
            return name;
        }
        if (dash != std::string_view::npos && is_label(part.substr(0, dash))) {
            name.entities.emplace_back(part.substr(0, dash), part.substr(dash + 1));
        } else if (!name.entities.empty()) {
            name.entities.back().second += "_" + std::string(part);
        } else {
            return std::nullopt;
        }
        rest.remove_prefix(end + 1);
    }
}

int entity_rank(std::string_view key)
{
    constexpr std::array<std::string_view, 22> order{
        "sub", "ses", "sample", "task", "tracksys", "acq", "ce",   "trc",  "stain", "rec",   "dir",
        "run", "mod", "echo",   "flip", "inv",      "mt",  "part", "proc", "hemi",  "space", "chunk"};
    const auto at = std::find(order.begin(), order.end(), key);
    return static_cast<int>(at - order.begin());
}

bool same_label(std::string_view key, std::string_view wanted, std::string_view label)
{
    if (wanted.size() > key.size() && wanted.starts_with(key) && wanted[key.size()] == '-') {
        wanted.remove_prefix(key.size() + 1);
    }
    // Subject and session labels are text even when they look like numbers: sub-1 and sub-01 are two people.
    const bool numeric = key != "sub" && key != "ses" && is_number(wanted) && is_number(label);
    return numeric ? without_zeros(wanted) == without_zeros(label) : wanted == label;
}

}  // namespace qsmpi::io
