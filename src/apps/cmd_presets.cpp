#include <iostream>

#include <nlohmann/json.hpp>

#include "chain_arguments.hpp"
#include "commands.hpp"

namespace qsmpi::apps {

int cmd_presets(const Arguments& arguments)
{
    CommandLine line("presets", "list the presets and what they say of the chain", "", "qsmpi presets");
    line.closing("A preset gives values to options of the chain (run --preset, stage --preset); options that are given, on the\n"
                 "command line or in a configuration file, go before it.");
    if (!line.parse(arguments)) return exit_done;
    for (const pipeline::Preset& preset : pipeline::presets()) {
        const auto values = nlohmann::ordered_json::parse(preset.values);
        std::cout << preset.name << '\n' << "      " << preset.help << '\n';
        for (const auto& [name, value] : values.items())
            std::cout << "      --" << kebab(name) << ' ' << text_of(value) << '\n';
    }
    return exit_done;
}

}  // namespace qsmpi::apps
