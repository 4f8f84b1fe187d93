#include "qsmpi/core/log.hpp"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <mutex>

#include "qsmpi/core/error.hpp"

namespace qsmpi::log {
namespace {

struct Settings {
    std::mutex mutex;
    Level level = Level::info;
    std::function<void(std::string_view)> sink = [](std::string_view line) {
        std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
    };
};

// One sink for the process is what a log is; it is the only mutable state shared across the library.
Settings& settings()
{
    static Settings instance;
    return instance;
}

std::string& context()
{
    thread_local std::string text;
    return text;
}

constexpr const char* word(Level level)
{
    switch (level) {
        case Level::error: return "ERROR";
        case Level::warning: return "WARN";
        case Level::info: return "INFO";
        case Level::debug: return "DEBUG";
    }
    return "?";
}

}  // namespace

void set_context(std::string text) { context() = std::move(text); }

void set_sink(std::function<void(std::string_view)> sink)
{
    const std::lock_guard lock(settings().mutex);
    settings().sink = std::move(sink);
}

void set_level(Level level)
{
    const std::lock_guard lock(settings().mutex);
    settings().level = level;
}

Level level()
{
    const std::lock_guard lock(settings().mutex);
    return settings().level;
}

void write(Level level, std::string_view message)
{
    const std::lock_guard lock(settings().mutex);
    if (level > settings().level || !settings().sink) return;
    const std::string& where = context();
    settings().sink(str(utc_now(), where.empty() ? "" : " ", where, " ", word(level), " ", message));
}

Level level_from(std::string_view name)
{
    if (name == "error") return Level::error;
    if (name == "warning") return Level::warning;
    if (name == "info") return Level::info;
    if (name == "debug") return Level::debug;
    throw InputError(str("log level '", name, "' is not one of error, warning, info, debug"));
}

std::string utc_now()
{
    using namespace std::chrono;
    const auto now = system_clock::now();
    const std::time_t seconds = system_clock::to_time_t(now);
    const auto ms = static_cast<int>(duration_cast<milliseconds>(now.time_since_epoch()).count() % 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[96];
    std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900,
                  utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms);
    return text;
}

}  // namespace qsmpi::log
