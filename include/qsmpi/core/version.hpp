#pragma once

namespace qsmpi {
/// Release of the program, e.g. "0.1.0".
[[nodiscard]] const char* version();
/// Short git commit of the build, or "unknown".
[[nodiscard]] const char* commit();
}  // namespace qsmpi
