#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/io/phase_image.hpp"
#include "qsmpi/phase/laplacian.hpp"
#include "qsmpi/phase/romeo.hpp"

namespace qsmpi::apps {

int cmd_unwrap(const Arguments& arguments)
{
    std::string phase_file, out, magnitude_file, mask_file, method = "romeo";
    PhaseUnits units;
    CommandLine line("unwrap", "unwrap a phase image", "PHASE OUT [options]",
                     "qsmpi unwrap phase.nii.gz unwrapped.nii.gz --magnitude mag.nii.gz --mask mask.nii.gz");
    line.positional("PHASE", phase_file, "wrapped phase, NIfTI");
    line.positional("OUT", out, "unwrapped phase, NIfTI, radians");
    line.option("method", "NAME", method, "romeo (exact, in space) | laplacian (smooth, loses harmonic parts)");
    line.option("magnitude", "FILE", magnitude_file, "magnitude, any unit; guides romeo");
    line.option("mask", "FILE", mask_file, "voxels to unwrap; default: all");
    units.add_to(line);
    if (!line.parse(arguments)) return exit_done;
    if (method != "romeo" && method != "laplacian")
        throw UsageError(str("--method: '", method, "' is not one of romeo, laplacian"));
    units.check();

    const io::Image phase = io::read_phase(phase_file, units.word);
    const auto magnitude = read_magnitude(magnitude_file, phase);
    const Mask mask = read_mask_like(mask_file, phase);
    check_values(phase.data, phase_file, mask, mask_file);
    VolumeF unwrapped;
    if (method == "romeo") {
        unwrapped = phase::unwrap_romeo(phase.data, {.magnitude = magnitude ? &*magnitude : nullptr, .mask = &mask});
    } else {
        unwrapped = phase::unwrap_laplacian(phase.data);
        for (std::size_t i = 0; i < mask.size(); ++i) {
            if (mask[i] == 0) unwrapped[i] = 0.0F;
        }
    }
    io::write_nifti(out, unwrapped, phase.header.geometry, "unwrapped phase [rad]");
    return exit_done;
}

}  // namespace qsmpi::apps
