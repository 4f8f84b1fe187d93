#include "group_level.hpp"

#include "cli.hpp"
#include "contact_sheet.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/pipeline/job.hpp"

namespace qsmpi::apps {

namespace fs = std::filesystem;

namespace {

/// A failure is a warning: the maps are there all the same.
template <typename Write>
void attempt(const char* file, Write&& write)
{
    try {
        write();
    } catch (const std::exception& e) {
        log::warn(str("no ", file, ": ", e.what()));
    }
}

void summarise(const fs::path& output_dir, const Results& results)
{
    attempt("contact_sheet.png", [&] { draw_contact_sheet(results, output_dir / "contact_sheet.png", 0.1); });
    attempt("methods.txt", [&] {
        std::vector<fs::path> sidecars = results.maps;
        for (fs::path& file : sidecars) file.replace_extension().replace_extension(".json");
        if (!sidecars.empty()) pipeline::write_methods(output_dir, sidecars);
    });
}

/// When a file was written; before everything else if it is not there.
fs::file_time_type time_of(const fs::path& file)
{
    std::error_code absent;
    const auto time = fs::last_write_time(file, absent);
    return absent ? fs::file_time_type::min() : time;
}

}  // namespace

void summarise_if_old(const fs::path& output_dir)
{
    const auto told = time_of(output_dir / "journal.jsonl");
    if (time_of(output_dir / "contact_sheet.png") < told || time_of(output_dir / "methods.txt") < told)
        attempt("contact_sheet.png and methods.txt", [&] { summarise(output_dir, results_in(output_dir)); });
}

int group_level(const fs::path& output_dir)
{
    const Results results = results_in(output_dir);
    const std::vector<fs::path>& maps = results.maps;
    require(!maps.empty(), str(output_dir.string(), ": no maps to gather; run the participant level first"));
    summarise(output_dir, results);
    std::string table = "scan,map\n";
    for (const fs::path& map : maps) table += scan_of(map) + "," + fs::relative(map, output_dir).string() + "\n";
    io::write_file_atomic(output_dir / "maps.csv", table);
    const std::size_t n = io::remove_stale_temporaries(output_dir);
    if (n > 0) log::info(str("removed ", n, " unfinished files of earlier runs"));
    const std::size_t n_without = results.status.refused + results.status.failed;
    log::info(str(maps.size(), " maps are listed in maps.csv and drawn on contact_sheet.png",
                  n_without > 0 ? str("; scans that were refused or failed: ", n_without, ", see jobs.csv") : ""));
    return exit_done;
}

}  // namespace qsmpi::apps
