#include <iostream>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/background/registry.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::apps {
namespace {

template <typename Methods>
void print(const char* title, const Methods& methods)
{
    std::cout << title << '\n';
    bool first = true;
    for (const auto* m : methods) {
        std::cout << "  " << m->name << (first ? " (default)" : "") << '\n'
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
