#include <iostream>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/background/registry.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::apps {
namespace {

std::string remark(const background::Method&) { return {}; }
std::string remark(const inversion::Method& m) { return m.input == inversion::Input::total_field ? " (of the total field)" : ""; }

template <typename Methods>
void print(const char* title, const Methods& methods)
{
    std::cout << title << '\n';
    bool first = true;
    for (const auto* m : methods) {
        std::cout << "  " << m->name << (first ? " (default)" : "") << remark(*m) << '\n'
                  << "      " << m->help << '\n'
                  << "      " << m->citation << '\n';
        first = false;
    }
}

}  // namespace

int cmd_methods(const Arguments& arguments)
{
    CommandLine line("methods", "list the methods of background removal and inversion with their papers", "", "qsmpi methods");
    if (!line.parse(arguments)) return exit_done;
    print("Background field removal (--background):", background::methods());
    print("Dipole inversion (--inversion):", inversion::methods());
    return exit_done;
}

}  // namespace qsmpi::apps
