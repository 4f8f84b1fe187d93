#pragma once
#include <string>
#include <vector>

/// The sub-commands; each lives in cmd_<name>.cpp and returns the exit code.
namespace qsmpi::apps {

/// What follows the name of the sub-command.
using Arguments = std::vector<std::string>;

[[nodiscard]] int cmd_background(const Arguments& arguments);
[[nodiscard]] int cmd_invert(const Arguments& arguments);
[[nodiscard]] int cmd_job(const Arguments& arguments);
[[nodiscard]] int cmd_mask(const Arguments& arguments);
[[nodiscard]] int cmd_methods(const Arguments& arguments);
[[nodiscard]] int cmd_phantom(const Arguments& arguments);
[[nodiscard]] int cmd_presets(const Arguments& arguments);
/// Needs the program's own arguments too: MPI may take some of them.
[[nodiscard]] int cmd_run(const Arguments& arguments, int& argc, char**& argv);
[[nodiscard]] int cmd_score(const Arguments& arguments);
[[nodiscard]] int cmd_sheet(const Arguments& arguments);
[[nodiscard]] int cmd_stage(const Arguments& arguments);
[[nodiscard]] int cmd_status(const Arguments& arguments);
[[nodiscard]] int cmd_unwrap(const Arguments& arguments);

/// Exit code for the exception in flight, after a line on standard error.
[[nodiscard]] int report_exception(const std::string& command);

}  // namespace qsmpi::apps
