#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/mask/expression.hpp"
#include "qsmpi/mask/threshold.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::apps {
namespace {

mask::Node parsed(const std::string& text)
{
    try {
        return mask::parse_expression(text);
    } catch (const InputError& e) {
        throw UsageError(str("--", e.what()));
    }
}

}  // namespace

int cmd_mask(const Arguments& arguments)
{
    std::string magnitude_file, phase_file, out, expression = "auto";
    double threshold_factor = 1.0, erosion_mm = 0.0;
    PhaseUnits units;
    mask::Inputs inputs;
    mask::BrainMaskOptions& brain = inputs.brain;
    CommandLine line("mask", "find the voxels that hold brain and reliable phase", "MAGNITUDE OUT [options]",
                     "qsmpi mask mag.nii.gz mask.nii.gz --phase phase.nii.gz");
    line.positional("MAGNITUDE", magnitude_file, "magnitude, NIfTI, any unit");
    line.positional("OUT", out, "mask, NIfTI, 0 or 1");
    line.option("phase", "FILE", phase_file,
                "wrapped phase: brain where phase is reliable; without it: foreground by a threshold");
    units.add_to(line);
    line.option("mask", "MASK", expression, "auto | quality | magnitude | FILE, or an expression of them: see below");
    line.option("quality-threshold", "X", brain.quality_threshold, "phase quality from which a voxel is reliable; 0: Otsu's");
    line.option("opening-mm", "X", brain.opening_mm, "auto: radius of the opening that cuts brain from scalp, mm");
    line.option("closing-mm", "X", brain.closing_mm, "auto: radius of the closing that keeps vessels inside, mm");
    line.option("erosion-mm", "X", erosion_mm, "peeled off at the end, mm");
    line.option("threshold-factor", "X", threshold_factor, "auto without --phase: factor on the automatic threshold");
    line.closing(mask::expression_help());
    if (!line.parse(arguments)) return exit_done;
    const mask::Node tree = parsed(expression);
    units.check();
    require_range("quality-threshold", brain.quality_threshold, "mask_quality_threshold");
    require_range("opening-mm", brain.opening_mm, "mask_erosion_mm");
    require_range("closing-mm", brain.closing_mm, "mask_erosion_mm");
    require_range("erosion-mm", erosion_mm, "mask_erosion_mm");

    io::Image magnitude = io::read_image(magnitude_file);
    bring_to_scale(magnitude.data);
    check_values(magnitude.data, magnitude_file, Mask(magnitude.data.grid(), 1), "");
    const auto phase = read_phase(phase_file, units, magnitude);
    inputs.grid = magnitude.data.grid();
    inputs.magnitude = &magnitude.data;
    inputs.read_file = [&](const std::string& file) { return read_mask_like(file, magnitude); };
    VolumeF quality;
    if (phase) {
        quality = phase::romeo_quality(*phase, {.magnitude = &magnitude.data});
        inputs.quality = &quality;
    }
    Mask result;
    if (!phase && tree == mask::Node{}) {  // auto
        result = mask::robust_threshold(magnitude.data, threshold_factor);
        require(numerics::count(result) > 0, "the mask is empty; lower --threshold-factor, or give --phase");
    } else {
        mask::Evaluated made = mask::evaluate(tree, inputs);
        require(made.parts.back().voxels > 0,
                str("the mask is empty (", mask::describe(made.parts), "); loosen the part that left nothing"));
        result = std::move(made.mask);
    }
    const std::size_t n_before = numerics::count(result);
    if (erosion_mm > 0.0) result = numerics::erode(result, erosion_mm);
    const std::size_t n = numerics::count(result);
    require(n > 0, str("the mask is empty: all ", n_before, " voxels lie within --erosion-mm ", erosion_mm, " of its edge; erode less"));
    if (erosion_mm > 0.0 && n == n_before)
        log::warn(str("--erosion-mm ", erosion_mm, " is less than a voxel: nothing was peeled off"));
    io::write_nifti(out, result, magnitude.header.geometry, "mask");
    return exit_done;
}

}  // namespace qsmpi::apps
