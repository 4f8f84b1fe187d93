#include "group_level.hpp"

#include "cli.hpp"
#include "contact_sheet.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::apps {

namespace fs = std::filesystem;

void draw_sheet(const fs::path& output_dir)
{
    try {
        draw_contact_sheet(output_dir, output_dir / "contact_sheet.png", 0.1);
    } catch (const Error& e) {
        log::warn(str("no contact sheet: ", e.what()));  // the maps are there all the same
    }
}

void draw_sheet_if_old(const fs::path& output_dir)
{
    std::error_code no_sheet, no_table;
    const auto drawn = fs::last_write_time(output_dir / "contact_sheet.png", no_sheet);
    const auto told = fs::last_write_time(output_dir / "jobs.csv", no_table);
    if (no_sheet || (!no_table && drawn < told)) draw_sheet(output_dir);
}

int group_level(const fs::path& output_dir)
{
    const auto maps = find_maps(output_dir);
    require(!maps.empty(), str(output_dir.string(), ": no maps to gather; run the participant level first"));
    draw_sheet(output_dir);
    std::string table = "scan,map\n";
    for (const fs::path& map : maps) {
        std::string scan = map.filename().string();
        scan.erase(scan.rfind("_Chimap"));
        table += scan + "," + fs::relative(map, output_dir).string() + "\n";
    }
    io::write_file_atomic(output_dir / "maps.csv", table);
    const std::size_t n = io::remove_stale_temporaries(output_dir);
    if (n > 0) log::info(str("removed ", n, " unfinished files of earlier runs"));
    log::info(str(maps.size(), " maps are listed in maps.csv and drawn on contact_sheet.png"));
    return exit_done;
}

}  // namespace qsmpi::apps
