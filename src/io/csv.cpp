#include "qsmpi/io/csv.hpp"

#include <array>
#include <charconv>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io
{

namespace
{

void append_line(std::string& text, const std::vector<std::string>& fields)
{
    for (std::size_t i = 0; i < fields.size(); ++i) {
        if (i > 0) text += ',';
        text += csv_field(fields[i]);
    }
    text += "\r\n";
}

}  // namespace

std::string csv_field(std::string_view text)
{
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

CsvTable::CsvTable(std::vector<std::string> heading) : n_columns_(heading.size())
{
    require(!heading.empty(), "csv: a table needs a heading");
    append_line(text_, heading);
}

void CsvTable::add(const std::vector<std::string>& fields)
{
    require(fields.size() == n_columns_,
            str("csv: ", fields.size(), " fields in a row, the heading has ", n_columns_));
    append_line(text_, fields);
}

void CsvTable::write(const std::filesystem::path& file) const
{
    write_file_atomic(file, text_);
}

std::string number_text(double value)
{
    std::array<char, 32> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return std::string(digits.data(), end);
}

}  // namespace qsmpi::io
