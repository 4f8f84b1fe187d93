#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/inversion/reference.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::apps {

int cmd_invert(const Arguments& arguments)
{
    std::string field_file, mask_file, out, magnitude_file, method_name = "default", reference = "mean";
    double lambda = 0.0;
    FieldUnit unit;
    CommandLine line("invert", "susceptibility from a local field", "FIELD MASK OUT [options]",
                     "qsmpi invert local_field.nii.gz mask.nii.gz Chimap.nii.gz --unit hz --b0-tesla 3 --method tkd");
    line.positional("FIELD", field_file, "local field, or the total field for methods that start there, NIfTI; B0 is the scanner's z axis");
    line.positional("MASK", mask_file, "voxels to reconstruct, NIfTI");
    line.positional("OUT", out, "susceptibility, NIfTI, ppm");
    unit.add_to(line);
    line.option("method", "NAME", method_name, "dipole inversion; 'qsmpi methods' lists the names");
    line.option("lambda", "X", lambda, "strength of the regularisation, in the method's own unit; 0: its default");
    line.option("magnitude", "FILE", magnitude_file, "magnitude, any unit, for methods that use it");
    line.option("reference", "WORD", reference, "what is 0 ppm: mean (of the mask) | none");
    if (!line.parse(arguments)) return exit_done;
    const double ppm_per_unit = unit.ppm_per_unit();
    require_range("lambda", lambda, "inversion_lambda");
    if (reference != "mean" && reference != "none")
        throw UsageError(str("--reference: '", reference, "' is not one of mean, none"));
    const inversion::Method* method = nullptr;
    try {
        method = &inversion::method(method_name);
    } catch (const InputError& e) {
        throw UsageError(str("--method: ", e.what()));
    }

    io::Image field = io::read_image(field_file);
    const Mask mask = read_mask_like(mask_file, field);
    const auto magnitude = read_magnitude(magnitude_file, field);
    check_values(field.data, field_file, mask, mask_file);
    scale(field.data, ppm_per_unit);
    require_plausible_field(field.data, field_file);
    inversion::Problem problem;
    problem.field_ppm = &field.data;
    problem.mask = &mask;
    problem.magnitude = magnitude ? &*magnitude : nullptr;
    problem.b0_direction_ijk = field.header.geometry.b0_direction_ijk();
    problem.lambda = lambda;
    inversion::Result result = method->run(problem);
    require_not_zero(result.chi_ppm, mask, "map");
    inversion::set_reference(result.chi_ppm, mask, inversion::reference_from(reference.c_str()));
    io::write_nifti(out, result.chi_ppm, field.header.geometry, "susceptibility [ppm]");
    return exit_done;
}

}  // namespace qsmpi::apps
