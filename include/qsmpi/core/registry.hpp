#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/suggest.hpp"

namespace qsmpi {

/// Names of a registry: a table of pointers to rows that have a `name`.
template <typename Row>
[[nodiscard]] std::vector<std::string> names_of(std::span<const Row* const> rows)
{
    std::vector<std::string> names;
    for (const Row* row : rows) names.emplace_back(row->name);
    return names;
}

/// The row of this name; "default" is the first.
/// @param kind  what the rows are, for the message
/// @throws InputError naming all rows and the nearest name
template <typename Row>
[[nodiscard]] const Row& find_row(std::span<const Row* const> rows, std::string_view name, std::string_view kind)
{
    if (name == "default") return *rows.front();
    for (const Row* row : rows)
        if (row->name == name) return *row;
    const std::vector<std::string> names = names_of(rows);
    std::string all;
    for (const std::string& n : names) all += (all.empty() ? "" : ", ") + n;
    const std::string near = nearest_word(name, names);
    throw InputError(str(kind, " '", name, "' is not one of ", all, near.empty() ? "" : "; did you mean '" + near + "'?"));
}

}  // namespace qsmpi
