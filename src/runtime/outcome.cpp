#include "qsmpi/runtime/outcome.hpp"

#include <array>
#include <utility>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

constexpr std::array<std::pair<Cause, const char*>, 11> words{{{Cause::none, "none"},
                                                               {Cause::reported, "reported"},
                                                               {Cause::exit, "exit"},
                                                               {Cause::signal, "signal"},
                                                               {Cause::oom, "oom"},
                                                               {Cause::timeout, "timeout"},
                                                               {Cause::spawn, "spawn"},
                                                               {Cause::memory, "memory"},
                                                               {Cause::lost, "lost"},
                                                               {Cause::interrupted, "interrupted"},
                                                               {Cause::disk, "disk"}}};

}  // namespace

const char* to_text(Cause cause)
{
    for (const auto& [value, word] : words) {
        if (value == cause) return word;
    }
    return "none";
}

Cause cause_from(std::string_view text)
{
    for (const auto& [value, word] : words) {
        if (text == word) return value;
    }
    throw CommError(str("'", text, "' is not a cause that this version knows"));
}

}  // namespace qsmpi::runtime
