#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/core/version.hpp"

namespace qsmpi::apps {
namespace {

struct Command {
    const char* name;
    const char* summary;  ///< empty: not listed
    int (*run)(const Arguments& arguments);
};

// `run` is not here but in main_of(): it needs the program's own arguments.
constexpr Command commands[] = {
    {"status", "tell how far a run is, and what failed", cmd_status},
    {"sheet", "draw all maps of an output folder on one PNG", cmd_sheet},
    {"methods", "list the methods of background removal and inversion with their papers", cmd_methods},
    {"presets", "list the presets and what they say of the chain", cmd_presets},
    {"stage", "run one step of the chain on a folder of images, as the QSM-CI benchmark asks", cmd_stage},
    {"unwrap", "unwrap a phase image", cmd_unwrap},
    {"mask", "find the voxels that hold brain and reliable phase", cmd_mask},
    {"background", "remove the field of sources outside a mask", cmd_background},
    {"invert", "susceptibility from a local field", cmd_invert},
    {"phantom", "simulate a cohort of heads with known susceptibility", cmd_phantom},
    {"score", "compare a susceptibility map with the truth", cmd_score},
    {"job", "", cmd_job},
};

std::string row(const std::string& name, const std::string& summary)
{
    return "  " + name + std::string(12 - std::min<std::size_t>(name.size(), 11), ' ') + summary + "\n";
}

std::string overview()
{
    std::string text =
        "qsmpi - susceptibility maps of whole cohorts of gradient-echo scans\n\n"
        "Usage:    qsmpi <command> ...\n"
        "Example:  mpirun -np 4 qsmpi run /data/ds01 /scratch/qsm\n\nCommands:\n";
    text += row("run", "reconstruct susceptibility maps for every scan of a BIDS data set");
    for (const Command& c : commands) {
        if (*c.summary != '\0') text += row(c.name, c.summary);
    }
    text += row("version", "print version and commit");
    return text + "\n'qsmpi <command> --help' tells the options of a command.\n"
                  "Exit codes: 0 all done, 1 some jobs failed, 2 usage, 3 input, 4 I/O, 70 bug, 75 interrupted: run again\n";
}

int main_of(int argc, char** argv)
{
    Arguments words(argv + 1, argv + argc);
    if (words.empty()) {
        std::cerr << overview();
        return exit_usage;
    }
    const std::string name = words.front();
    words.erase(words.begin());
    if (name == "--help" || name == "-h" || name == "help") {
        std::cout << overview();
        return exit_done;
    }
    if (name == "--version" || name == "version") {
        std::cout << "qsmpi " << version() << " (" << commit() << ")\n";
        return exit_done;
    }
    try {
        if (name == "run") return cmd_run(words, argc, argv);
        std::vector<std::string> names{"run", "version", "help"};
        for (const Command& c : commands) {
            if (name == c.name) return c.run(words);
            if (*c.summary != '\0') names.emplace_back(c.name);
        }
        const std::string nearest = nearest_word(name, names);
        std::cerr << "qsmpi: there is no command '" << name << "'"
                  << (nearest.empty() ? "" : "; did you mean '" + nearest + "'?") << "\nTry 'qsmpi --help'.\n";
        return exit_usage;
    } catch (...) {
        return report_exception(name);
    }
}

}  // namespace

int report_exception(const std::string& command)
{
    const auto say = [&](const char* what) { std::cerr << "qsmpi " << command << ": " << what << '\n'; };
    try {
        throw;
    } catch (const UsageError& e) {
        say(e.what());
        std::cerr << "Try 'qsmpi " << command << " --help'.\n";
        return exit_usage;
    } catch (const InputError& e) {
        say(e.what());
        return exit_input;
    } catch (const NumericalError& e) {
        say(e.what());
        return exit_some_failed;
    } catch (const Error& e) {  // IoError, CommError
        say(e.what());
        return exit_io;
    } catch (const std::filesystem::filesystem_error& e) {
        say(e.what());
        return exit_io;
    } catch (const std::bad_alloc&) {
        say("out of memory");
        return exit_io;
    } catch (const std::exception& e) {
        say((std::string("this is a bug, please report it: ") + e.what()).c_str());
        return exit_bug;
    } catch (...) {
        say("this is a bug, please report it: unknown exception");
        return exit_bug;
    }
}

}  // namespace qsmpi::apps

int main(int argc, char** argv)
{
    std::signal(SIGXFSZ, SIG_IGN);  // a write beyond the limit of file sizes then fails with EFBIG, and says where
    return qsmpi::apps::main_of(argc, argv);
}
