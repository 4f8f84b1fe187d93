#pragma once
#include <filesystem>
#include <string>

#include "qsmpi/io/nifti.hpp"

namespace qsmpi::io
{

/// A single phase image as a run reads it: in radians, wrapped to [-pi, pi), voxels that are not finite set to 0.
/// @param phase_units  as ScanOptions::phase_units; "auto" goes by Units and Manufacturer of the sidecar beside the file, by its
///                     header and by the range of its values
/// @throws InputError if the unit cannot be told or the image holds nothing, naming file, field and remedy
[[nodiscard]] Image read_phase(const std::filesystem::path& file, const std::string& phase_units);

}  // namespace qsmpi::io
