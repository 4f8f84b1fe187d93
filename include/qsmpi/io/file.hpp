#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace qsmpi::io
{

/// Writes the whole file under `<file>.tmp.<pid>`, flushes it to disk, renames it. Creates parent folders.
/// A link is followed: what it leads to is replaced. A pipe or a device is written into and stays what it is.
/// @throws IoError naming the file and the cause (disk full, permission); the temporary file is removed
void write_file_atomic(const std::filesystem::path& file, std::string_view content);
void write_file_atomic(const std::filesystem::path& file, std::span<const std::byte> content);
/// The same for content in several pieces, written one after the other without joining them in memory.
void write_parts_atomic(const std::filesystem::path& file, std::span<const std::span<const std::byte>> parts);
/// Name under which this process may write `file` before it calls publish(): `<file>.tmp.<pid>`.
[[nodiscard]] std::filesystem::path temporary_name(const std::filesystem::path& file);
/// Renames a complete temporary file to its final name after fsync of the file, then of the folder.
/// @throws IoError naming the file and the cause
void publish(const std::filesystem::path& temporary, const std::filesystem::path& final_name);
/// The whole content of a file.
/// @throws IoError if it cannot be opened or read
[[nodiscard]] std::string read_file(const std::filesystem::path& file);
/// Removes files and folders named *.tmp.<pid> below `folder` whose process no longer lives on this host; returns how
/// many.
std::size_t remove_stale_temporaries(const std::filesystem::path& folder);

}  // namespace qsmpi::io
