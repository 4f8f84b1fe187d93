#pragma once
#include <list>
#include <string>
#include <utility>

#include "cli.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::apps {

/// The options of the chain on a command line: one for each member of pipeline::ChainOptions.
class ChainArguments {
public:
    void add_to(CommandLine& line);
    /// After parsing. @throws UsageError for words and ranges that validate() refuses
    [[nodiscard]] pipeline::ChainOptions options() const;

private:
    std::list<std::pair<std::string, std::string>> texts_;  ///< JSON key and value; a list, so that addresses stay
    bool per_echo_ = false;
};

}  // namespace qsmpi::apps
