#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "qsmpi/runtime/status.hpp"

namespace qsmpi::apps {

/// What an output folder holds.
struct Results {
    /// All maps (sub-*/**/*_Chimap.nii.gz, those of single echoes left out), sorted. A map that is left of an earlier run, while
    /// the latest job of its scan was refused, failed or has not ended, is none of them.
    std::vector<std::filesystem::path> maps;
    runtime::RunStatus status;
};
/// @throws IoError if the folder cannot be read
[[nodiscard]] Results results_in(const std::filesystem::path& output_dir);

/// "sub-01_run-1" of ".../sub-01_run-1_Chimap.nii.gz".
[[nodiscard]] std::string scan_of(const std::filesystem::path& map);

/// On one PNG, three planes of each map through the middle of what is not 0, then the name and reason of
/// every scan that was refused or failed. Of more than `most` maps, as many spread evenly; of the others the first `most`.
/// @throws InputError if there are neither; IoError if the picture cannot be written
void draw_contact_sheet(const Results& results, const std::filesystem::path& png, double window_ppm,
                        std::size_t most = 48);

}  // namespace qsmpi::apps
