#pragma once
#include <filesystem>
#include <vector>

namespace qsmpi::apps {

/// Paths of all maps (sub-*/**/*_Chimap.nii.gz, those of single echoes left out) below an output folder, sorted.
[[nodiscard]] std::vector<std::filesystem::path> find_maps(const std::filesystem::path& output_dir);

/// Three planes of each map through the middle of what is not 0, on one PNG; of more than `most` maps, as many spread evenly.
/// @throws InputError if there are no maps; IoError if the picture cannot be written
void draw_contact_sheet(const std::vector<std::filesystem::path>& maps, const std::filesystem::path& png,
                        double window_ppm, std::size_t most = 48);

}  // namespace qsmpi::apps
