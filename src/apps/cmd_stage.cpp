#include <filesystem>

#include <nlohmann/json.hpp>

#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "stage_folder.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

const pipeline::Span& span_of(const std::string& task)
{
    try {
        return pipeline::span(task);
    } catch (const InputError& e) {
        throw UsageError(str("TASK: ", e.what()));
    }
}

/// Default, preset, config.json, --config, command line: what comes later goes first.
pipeline::ChainOptions options_of(const ChainArguments& arguments, const fs::path& input)
{
    const json on_line = arguments.given();
    json chosen = read_stage_config(input);
    if (chosen.contains("mask") || on_line.contains("mask"))
        throw UsageError("mask: a stage uses mask.nii.gz as it is; leave the option out");
    chosen.update(on_line);
    pipeline::ChainOptions options = options_from(chosen);
    if (options.mask != pipeline::ChainOptions{}.mask)
        log::warn(str("mask.nii.gz is the mask, not '", options.mask, "' of preset ", options.preset));
    // Presets peel masks that are made for them; this one is given.
    if (!chosen.contains("mask_erosion_mm")) options.mask_erosion_mm = 0.0;
    return options;
}

const char* description_of(pipeline::Artifact artifact)
{
    switch (artifact) {
        case pipeline::Artifact::phase: return "phase [rad]";
        case pipeline::Artifact::total_field: return "total field [ppm]";
        case pipeline::Artifact::local_field: return "local field [ppm]";
        case pipeline::Artifact::chi: return "susceptibility [ppm]";
    }
    return "";
}

void write_outputs(const fs::path& output, const pipeline::Span& span, const pipeline::SpanResult& result,
                   const io::Geometry& geometry, const pipeline::ChainOptions& options)
{
    const fs::path image = output / file_name(span.to);
    fs::path sidecar = image;
    sidecar.replace_extension().replace_extension(".json");
    nlohmann::ordered_json j{{"Stage", span.name}, {"Units", "ppm"}};
    j["Preset"] = options.preset;
    j.update(nlohmann::ordered_json::parse(result.account_json));
    j["Warnings"] = result.warnings;
    j["GeneratedBy"] = {{"Name", "qsmpi"}, {"Version", version()}, {"Commit", commit()}};
    io::write_file_atomic(sidecar, j.dump(2) + "\n");
    io::write_nifti(image, result.volume_ppm, geometry, description_of(span.to));  // last: its presence says that all is there
}

}  // namespace

int cmd_stage(const Arguments& arguments)
{
    std::string task, input, output, log_level = "warning";
    int threads = 0;
    ChainArguments chain;
    CommandLine line("stage", "run one step of the chain on a folder of images, as the QSM-CI benchmark asks",
                     "TASK INPUT_DIR OUTPUT_DIR [options]", "qsmpi stage dipole /input /output --inversion tv");
    line.positional("TASK", task, "field-mapping | bfr | dipole | unwrap+bfr | bfr+dipole | end-to-end");
    line.positional("INPUT_DIR", input, "folder with mask.nii.gz, params.json and what the task starts from");
    line.positional("OUTPUT_DIR", output, "folder for totalfield.nii.gz, localfield.nii.gz or chimap.nii.gz, ppm");
    chain.add_to(line);
    line.group("Execution");
    line.option("threads", "N", threads, "threads; 0: as OMP_NUM_THREADS or the cores say");
    line.option("log-level", "LEVEL", log_level, "error | warning | info | debug");
    line.with_config_files();
    line.closing(
        "Input: phase.nii.gz (radians; x, y, z, echo) and magnitude.nii.gz, or totalfield.nii.gz, or localfield.nii.gz (ppm);\n"
        "mask.nii.gz, used as it is; params.json with TE (s), B0 (T), B0_dir (unit vector, image axes), voxel_size (mm).\n"
        "magnitude.nii.gz is used by tasks that start from a field too, if it is there.\n"
        "config.json in INPUT_DIR may give options of the chain: it goes before --preset, and the command line before it.");
    if (!line.parse(arguments)) return exit_done;
    const pipeline::Span& span = span_of(task);
    if (threads < 0) throw UsageError(str("--threads: ", threads, " is negative"));
    if (threads > 0) parallel::set_threads(threads);
    try {
        log::set_level(log::level_from(log_level));
    } catch (const Error& e) {
        throw UsageError(str("--log-level: ", e.what()));
    }

    const pipeline::ChainOptions options = options_of(chain, input);
    pipeline::SpanInput data = read_stage_folder(input, span);
    const io::Geometry geometry = data.geometry;
    const pipeline::SpanResult result = pipeline::run_span(span, std::move(data), options);
    write_outputs(output, span, result, geometry, options);
    return exit_done;
}

}  // namespace qsmpi::apps
