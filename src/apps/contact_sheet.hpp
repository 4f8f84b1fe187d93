#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace qsmpi::apps {

/// Paths of all maps (sub-*/**/*_Chimap.nii.gz, those of single echoes left out) below an output folder, sorted. A map that is
/// left of an earlier run, while the latest job of its scan was refused, failed or has not ended, is none of them.
[[nodiscard]] std::vector<std::filesystem::path> find_maps(const std::filesystem::path& output_dir);

/// "sub-01_run-1" of ".../sub-01_run-1_Chimap.nii.gz".
[[nodiscard]] std::string scan_of(const std::filesystem::path& map);

/// On one PNG, three planes of each map of an output folder through the middle of what is not 0, then the name and reason of
/// every scan that was refused or failed. Of more than `most` maps, as many spread evenly; of the others the first `most`.
/// @throws InputError if there are neither; IoError if the picture cannot be written
void draw_contact_sheet(const std::filesystem::path& output_dir, const std::filesystem::path& png, double window_ppm,
                        std::size_t most = 48);

}  // namespace qsmpi::apps
