#pragma once
#include <filesystem>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::apps {

/// Sees to it that FFT plans for grids of these sizes are measured once for this type of machine, and keeps them in the
/// user's cache ($XDG_CACHE_HOME/qsmpi or ~/.cache/qsmpi), or not at all if that cannot be written.
/// The plans that a run uses are copied to `output_dir`/.qsmpi/fftw.wisdom and win over the cache, so that a run that
/// is resumed computes the same bits as before.
/// @return the file for the jobs to read
/// @throws IoError if the output folder cannot be written
[[nodiscard]] std::filesystem::path prepare_wisdom(const std::filesystem::path& output_dir, const std::vector<Dims>& sizes);

}  // namespace qsmpi::apps
