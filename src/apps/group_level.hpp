#pragma once
#include <filesystem>

namespace qsmpi::apps {

/// Draws the contact sheet of an output folder and writes methods.txt, unless both are younger than the journal. A failure is a
/// warning, the maps are there all the same.
void summarise_if_old(const std::filesystem::path& output_dir);

/// What `qsmpi run ... group` does: contact sheet, methods.txt and list of all maps. Returns the exit code.
/// @throws InputError if there are no maps
[[nodiscard]] int group_level(const std::filesystem::path& output_dir);

}  // namespace qsmpi::apps
