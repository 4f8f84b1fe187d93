#include <filesystem>
#include <iostream>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/runtime/status.hpp"

namespace qsmpi::apps {

int cmd_status(const Arguments& arguments)
{
    std::string folder;
    bool as_json = false;
    CommandLine line("status", "tell how far a run is, and what failed", "OUT_DIR [--json]", "qsmpi status /scratch/qsm");
    line.positional("OUT_DIR", folder, "output folder of 'qsmpi run', also while it is going on");
    line.flag("json", as_json, "everything, for machines");
    if (!line.parse(arguments)) return exit_done;
    require(std::filesystem::is_directory(folder), str(folder, " is not a folder"));
    const runtime::RunStatus status = runtime::read_status(folder);
    std::cout << (as_json ? runtime::status_json(status) : runtime::status_text(status));
    if (as_json) std::cout << '\n';
    return exit_done;
}

}  // namespace qsmpi::apps
