#include <filesystem>
#include <iostream>

#include "cli.hpp"
#include "commands.hpp"
#include "contact_sheet.hpp"

namespace qsmpi::apps {

int cmd_sheet(const Arguments& arguments)
{
    std::string folder, png;
    double window_ppm = 0.1;
    int most = 48;
    CommandLine line("sheet", "draw all maps of an output folder on one PNG", "OUT_DIR [options]",
                     "qsmpi sheet /scratch/qsm --window-ppm 0.2");
    line.positional("OUT_DIR", folder, "output folder of 'qsmpi run'");
    line.option("output", "FILE", png, "the picture; default: OUT_DIR/contact_sheet.png");
    line.option("window-ppm", "X", window_ppm, "black is -X, white is X, ppm");
    line.option("most", "N", most, "at most so many maps, spread evenly over all");
    if (!line.parse(arguments)) return exit_done;
    if (!(window_ppm > 0.0)) throw UsageError(str("--window-ppm: ", window_ppm, " is not above 0"));
    if (most < 1) throw UsageError(str("--most: ", most, " is not above 0"));
    const std::filesystem::path file = png.empty() ? std::filesystem::path(folder) / "contact_sheet.png" : std::filesystem::path(png);
    draw_contact_sheet(results_in(folder), file, window_ppm, static_cast<std::size_t>(most));
    std::cout << file.string() << '\n';
    return exit_done;
}

}  // namespace qsmpi::apps
