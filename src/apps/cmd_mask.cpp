#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/mask/mask.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::apps {

int cmd_mask(const Arguments& arguments)
{
    std::string magnitude_file, phase_file, out;
    double threshold_factor = 1.0;
    mask::BrainMaskOptions options;
    CommandLine line("mask", "find the voxels that hold brain and reliable phase", "MAGNITUDE OUT [options]",
                     "qsmpi mask mag.nii.gz mask.nii.gz --phase phase.nii.gz");
    line.positional("MAGNITUDE", magnitude_file, "magnitude, NIfTI, any unit");
    line.positional("OUT", out, "mask, NIfTI, 0 or 1");
    line.option("phase", "FILE", phase_file,
                "wrapped phase, radians: brain where phase is reliable; without it: foreground by a threshold");
    line.option("quality-threshold", "X", options.quality_threshold, "phase quality from which a voxel is reliable; 0: Otsu's");
    line.option("opening-mm", "X", options.opening_mm, "radius of the opening that cuts brain from scalp, mm");
    line.option("closing-mm", "X", options.closing_mm, "radius of the closing that keeps vessels inside, mm");
    line.option("erosion-mm", "X", options.erosion_mm, "peeled off at the end, mm");
    line.option("threshold-factor", "X", threshold_factor, "without --phase: factor on the automatic threshold");
    if (!line.parse(arguments)) return exit_done;

    const io::Image magnitude = io::read_image(magnitude_file);
    const auto phase = read_optional(phase_file, magnitude, "phase");
    Mask result;
    if (phase) {
        const VolumeF quality = phase::romeo_quality(*phase, {.magnitude = &magnitude.data});
        result = mask::brain_mask(quality, magnitude.data, options);
    } else {
        result = mask::robust_threshold(magnitude.data, threshold_factor);
    }
    io::write_nifti(out, result, magnitude.header.geometry, "mask");
    return exit_done;
}

}  // namespace qsmpi::apps
