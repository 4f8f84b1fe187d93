#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace qsmpi::io
{

/// A field as RFC 4180 wants it: quoted if it holds a comma, quote or line break, quotes doubled.
[[nodiscard]] std::string csv_field(std::string_view text);

/// A table in memory with a heading; every row has as many fields as the heading.
class CsvTable
{
public:
    explicit CsvTable(std::vector<std::string> heading);
    /// @throws InputError if the number of fields differs from the heading's
    void add(const std::vector<std::string>& fields);
    /// The whole text, lines ending in CR LF as RFC 4180 says.
    [[nodiscard]] const std::string& text() const { return text_; }
    /// Writes atomically.
    /// @throws IoError naming the file and the cause
    void write(const std::filesystem::path& file) const;

private:
    std::size_t n_columns_;
    std::string text_;
};

/// Shortest decimal text that reads back as the same number, for fields and JSON-free reports.
[[nodiscard]] std::string number_text(double value);

}  // namespace qsmpi::io
