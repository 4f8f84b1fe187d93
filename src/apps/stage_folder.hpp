#pragma once
#include <filesystem>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/pipeline/span.hpp"

/// The folders of `qsmpi stage`: what the QSM-CI benchmark calls /input and /output.
namespace qsmpi::apps {

/// Name of the image of an artifact, "chimap.nii.gz".
[[nodiscard]] const char* file_name(pipeline::Artifact artifact);

/// Reads mask, params.json, what the span starts from, and the magnitude if it is there or the span needs it, and checks
/// all of it. Voxels that are not finite are 0 outside the mask and an error inside it.
/// @throws InputError with everything that is wrong, one line each
[[nodiscard]] pipeline::SpanInput read_stage_folder(const std::filesystem::path& folder, const pipeline::Span& span);

/// The chain options of config.json, keys in snake_case; an empty object when the file is not there.
/// @throws InputError if it is not a flat JSON object of options of the chain
[[nodiscard]] nlohmann::json read_stage_config(const std::filesystem::path& folder);

}  // namespace qsmpi::apps
