#pragma once
#include <functional>
#include <string>
#include <string_view>

namespace qsmpi::log {

enum class Level { error, warning, info, debug };

/// Context that every line of this thread carries, e.g. "rank=3 job=sub-07_run-1 stage=vsharp".
void set_context(std::string context);

/// The one sink; apps set it. Default: standard error, level info.
void set_sink(std::function<void(std::string_view line)> sink);
void set_level(Level level);
[[nodiscard]] Level level();

/// Writes "2026-11-22T06:31:07.123Z <context> WARN message" to the sink if the level admits it. Thread-safe.
void write(Level level, std::string_view message);

inline void error(std::string_view message) { write(Level::error, message); }
inline void warn(std::string_view message) { write(Level::warning, message); }
inline void info(std::string_view message) { write(Level::info, message); }
inline void debug(std::string_view message) { write(Level::debug, message); }

/// "error" | "warning" | "info" | "debug"; throws InputError for another word.
[[nodiscard]] Level level_from(std::string_view name);

/// Now, in UTC, as 2026-11-22T06:31:07.123Z.
[[nodiscard]] std::string utc_now();

}  // namespace qsmpi::log
