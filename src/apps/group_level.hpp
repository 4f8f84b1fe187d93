#pragma once
#include <filesystem>

namespace qsmpi::apps {

/// Draws the contact sheet of an output folder; a failure is a warning, the maps are there all the same.
void draw_sheet(const std::filesystem::path& output_dir);
/// The same, unless it is there already and no job has been recorded since.
void draw_sheet_if_old(const std::filesystem::path& output_dir);

/// What `qsmpi run ... group` does: contact sheet and list of all maps. Returns the exit code.
/// @throws InputError if there are no maps
[[nodiscard]] int group_level(const std::filesystem::path& output_dir);

}  // namespace qsmpi::apps
