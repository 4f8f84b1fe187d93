#pragma once
#include <list>
#include <optional>
#include <string>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include "cli.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::apps {

/// The options of the chain on a command line: one for each member of pipeline::ChainOptions.
class ChainArguments {
public:
    void add_to(CommandLine& line);
    /// What the command line and its configuration file say, and no more: for pipeline::from_json(). After parsing.
    /// @throws UsageError for a value that is not of the option's type
    [[nodiscard]] nlohmann::json given() const;
    /// options_from() what is given.
    [[nodiscard]] pipeline::ChainOptions options() const;

private:
    /// JSON key and value; a list, so that addresses stay.
    std::list<std::pair<std::string, std::optional<std::string>>> texts_;
};

/// What is given, over the preset, over the defaults.
/// @throws UsageError for words and ranges that validate() refuses too, and for what has no effect
[[nodiscard]] pipeline::ChainOptions options_from(const nlohmann::json& given);

/// That a number is one that an option of the chain takes. @throws UsageError
void require_range(const char* option, double value, const char* chain_option);

/// "offset_sigma_mm" as the command line has it: "offset-sigma-mm".
[[nodiscard]] std::string kebab(std::string name);
/// The value of an option as it is written on the command line.
[[nodiscard]] std::string text_of(const nlohmann::json& value);

}  // namespace qsmpi::apps
