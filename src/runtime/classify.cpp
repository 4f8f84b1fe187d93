#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include <nlohmann/json.hpp>
#include <signal.h>

#include "process.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

using nlohmann::json;

std::string_view last_line(std::string_view text)
{
    const auto end = text.find_last_not_of(" \t\r\n");
    if (end == std::string_view::npos) return {};
    text = text.substr(0, end + 1);
    const auto begin = text.rfind('\n');
    return begin == std::string_view::npos ? text : text.substr(begin + 1);
}

/// One line that a terminal and a table can hold.
std::string one_line(std::string_view text)
{
    constexpr std::size_t longest = 2000;
    std::string out(text.substr(0, longest));
    std::replace_if(out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
    return out;
}

bool mentions(std::string_view text, std::string_view what) { return text.find(what) != std::string_view::npos; }

bool says_disk_refuses(std::string_view message)
{
    const std::array errors{ENOSPC, EDQUOT, EROFS, EFBIG};
    return std::any_of(errors.begin(), errors.end(), [&](int e) { return mentions(message, std::strerror(e)); });
}

std::string with_last_words(std::string text, std::string_view log_tail)
{
    const std::string_view words = last_line(log_tail);
    return words.empty() ? text : str(text, "; its last words: ", one_line(words));
}

double number(const json& j, const char* name)
{
    const auto found = j.find(name);
    return found != j.end() && found->is_number() ? found->get<double>() : 0.0;
}

std::string text(const json& j, const char* name)
{
    const auto found = j.find(name);
    return found != j.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

}  // namespace

Outcome classify(const Ending& ending)
{
    Outcome out;
    out.code = ending.code;
    out.seconds = ending.seconds;
    out.peak_mb = ending.rusage_peak_mb;

    std::string state;
    if (const json answer = json::parse(last_line(ending.answer), nullptr, false); answer.is_object()) {
        state = text(answer, "state");
        out.message = one_line(text(answer, "message"));
        // What the job measured excludes the memory of this process, which the kernel books on it at its start.
        if (const double peak_mb = number(answer, "peak_mb"); peak_mb > 0) out.peak_mb = peak_mb;
        out.result = answer.dump(-1, ' ', false, json::error_handler_t::replace);
    }

    if (state == "failed") {
        out.cause = says_disk_refuses(out.message)               ? Cause::disk
                    : mentions(out.message, "std::bad_alloc")    ? Cause::oom
                                                                 : Cause::reported;
        if (out.message.empty()) out.message = "failed and did not say why; see its log";
    } else if (!ending.exited) {
        const char* const name = strsignal(ending.code);
        out.cause = Cause::signal;
        out.message = with_last_words(str("killed by signal ", ending.code, " (", name == nullptr ? "?" : name, ")"),
                                      ending.log_tail);
        if (ending.code == SIGKILL && ending.kernel_ran_out) {
            out.cause = Cause::oom;
            out.message = str("killed by the kernel: out of memory");
        } else if (ending.code == SIGABRT && mentions(ending.log_tail, "std::bad_alloc")) {
            out.cause = Cause::oom;
        } else if (says_disk_refuses(ending.log_tail)) {
            out.cause = Cause::disk;
        }
    } else if (ending.code == 0 && (state == "done" || state == "skipped")) {
        out.skipped = state == "skipped";
    } else {
        out.cause = says_disk_refuses(ending.log_tail) ? Cause::disk : Cause::exit;
        out.message = with_last_words(
            str("exit status ", ending.code, state.empty() ? " without an answer" : " after an answer"), ending.log_tail);
    }
    return out;
}

}  // namespace qsmpi::runtime
