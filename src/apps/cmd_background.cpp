#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/background/registry.hpp"
#include "qsmpi/background/weak_harmonics.hpp"

namespace qsmpi::apps {

int cmd_background(const Arguments& arguments)
{
    std::string field_file, mask_file, out, out_mask, magnitude_file, method_name = "default", cleanup = "auto";
    background::Problem problem;
    FieldUnit unit;
    CommandLine line("background", "remove the field of sources outside a mask", "FIELD MASK OUT [options]",
                     "qsmpi background field.nii.gz mask.nii.gz local_field.nii.gz --unit hz --b0-tesla 3");
    line.positional("FIELD", field_file, "total field, unwrapped, NIfTI; B0 is the scanner's z axis, from the affine");
    line.positional("MASK", mask_file, "voxels where the field is known, NIfTI");
    line.positional("OUT", out, "local field, NIfTI, in the unit of FIELD; 0 where it is not valid");
    unit.add_to(line);
    line.option("method", "NAME", method_name, "'qsmpi methods' lists the names");
    line.option("radius-mm", "X", problem.max_radius_mm, "largest ball of the spherical mean value filters, mm; 0: the method's own");
    line.option("magnitude", "FILE", magnitude_file, "magnitude, any unit, for methods that use it");
    line.option("cleanup", "WORD", cleanup,
                "take smooth harmonic fields out of the local field: auto (where the method leaves them) | on | off");
    line.option("out-mask", "FILE", out_mask, "write the voxels where the local field is valid");
    if (!line.parse(arguments)) return exit_done;
    const double ppm_per_unit = unit.ppm_per_unit();
    require_range("radius-mm", problem.max_radius_mm, "background_radius_mm");
    const background::Method* method = nullptr;
    try {
        method = &background::method(method_name);
    } catch (const InputError& e) {
        throw UsageError(str("--method: ", e.what()));
    }

    if (cleanup != "auto" && cleanup != "on" && cleanup != "off")
        throw UsageError(str("--cleanup: '", cleanup, "' is not one of auto, on, off"));

    io::Image field = io::read_image(field_file);
    const Mask mask = read_mask_like(mask_file, field);
    const auto magnitude = read_magnitude(magnitude_file, field);
    check_values(field.data, field_file, mask, mask_file);
    scale(field.data, ppm_per_unit);
    problem.total_field_ppm = &field.data;
    problem.mask = &mask;
    problem.magnitude = magnitude ? &*magnitude : nullptr;
    problem.b0_direction_ijk = field.header.geometry.b0_direction_ijk();
    background::LocalField local = method->run(problem);
    if (cleanup == "on" || (cleanup == "auto" && method->leaves_harmonics)) background::remove_weak_harmonics(local);
    require_not_zero(local.local_field_ppm, local.mask, "local field");
    scale(local.local_field_ppm, 1.0 / ppm_per_unit);
    io::write_nifti(out, local.local_field_ppm, field.header.geometry, "local field [" + unit.unit + "]");
    if (!out_mask.empty()) io::write_nifti(out_mask, local.mask, field.header.geometry, "mask");
    return exit_done;
}

}  // namespace qsmpi::apps
