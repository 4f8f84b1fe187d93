#pragma once
#include <span>
#include <string>
#include <vector>

#include "qsmpi/io/geometry.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::pipeline {

/// What parts of the chain hand to each other.
enum class Artifact { phase, total_field, local_field, chi };

/// A part of the chain with a name: one step, or several in a row, cut as the QSM-CI benchmark cuts them.
struct Span {
    const char* name;
    Artifact from, to;
    const char* first_stage;  ///< of the chain; see stage_names()
    const char* last_stage;
};

/// field-mapping, bfr, dipole, unwrap+bfr, bfr+dipole, end-to-end.
[[nodiscard]] std::span<const Span> spans();
/// The span of this name. @throws InputError naming all spans and the nearest name
[[nodiscard]] const Span& span(const std::string& name);

/// What a span starts from, in memory.
struct SpanInput {
    io::Geometry geometry;             ///< of all volumes
    double b0_tesla = 0.0;
    std::vector<double> echo_times_s;  ///< ascending; may be empty for spans from a field
    std::vector<VolumeF> phase_rad;    ///< of each echo, wrapped; for spans from phase
    std::vector<VolumeF> magnitude;    ///< of each echo, any unit; empty: none
    VolumeF field_ppm;                 ///< total or local field; for spans from a field
    std::vector<std::string> warnings; ///< of what was found when it was read: they become the result's first
    Mask mask;                         ///< used as it is, but for mask_erosion_mm; the option `mask` is not looked at
};

struct SpanResult {
    VolumeF volume_ppm;  ///< what `to` says; 0 outside `mask`
    Mask mask;           ///< where it is valid: the given mask or a part of it
    std::vector<std::string> warnings;
    std::string account_json;  ///< "Method", "Parameters" and "Findings" of the stages that ran, as in sidecars
};

/// Runs the stages of one span of the chain, the same as in run_job().
///
/// Where a span starts from a field its standard deviation is not known. With magnitude and echo times it is taken as that
/// of the field of all echoes, noise / (2 pi sqrt(sum m^2 TE^2)); without them all voxels count alike. Where the null
/// space is settled, R2* is fitted to the magnitude too.
/// @throws InputError for volumes that are missing or do not fit each other, and for per_echo where one map is asked for
/// @throws NumericalError if a stage fails
[[nodiscard]] SpanResult run_span(const Span& span, SpanInput input, const ChainOptions& options);

}  // namespace qsmpi::pipeline
