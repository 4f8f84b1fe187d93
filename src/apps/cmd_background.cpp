#include <algorithm>
#include <functional>

#include <nlohmann/json.hpp>

#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/plausible.hpp"
#include "qsmpi/pipeline/span.hpp"

namespace qsmpi::apps {
namespace {

/// A field in ppm depends on neither; they are the scale of its standard deviation, where it is known.
constexpr double usual_b0_tesla = 3.0, usual_echo_time_s = 0.020;

void check_echo_times(const std::vector<double>& echo_times_s, std::size_t n_magnitudes)
{
    if (echo_times_s.size() != n_magnitudes)
        throw UsageError(str("--echo-times-s: ", echo_times_s.size(), " echo times, but --magnitude has ", n_magnitudes,
                             " volumes; give one for each"));
    const bool rise = std::adjacent_find(echo_times_s.begin(), echo_times_s.end(), std::greater_equal<>()) == echo_times_s.end();
    const bool plausible = echo_times_s.front() > 0.0 && echo_times_s.back() <= io::longest_echo_time_s;
    if (!rise || !plausible) throw UsageError("--echo-times-s: expected seconds, the shortest first");
}

}  // namespace

// The span `bfr` of the chain on single images.
int cmd_background(const Arguments& arguments)
{
    std::string field_file, mask_file, out, out_mask, magnitude_file, method = "default", cleanup = "auto";
    double radius_mm = 0.0;
    std::vector<double> echo_times_s;
    FieldUnit unit;
    CommandLine line("background", "remove the field of sources outside a mask", "FIELD MASK OUT [options]",
                     "qsmpi background field.nii.gz mask.nii.gz local_field.nii.gz --unit hz --b0-tesla 3");
    line.positional("FIELD", field_file, "total field, unwrapped, NIfTI; B0 is the scanner's z axis, from the affine");
    line.positional("MASK", mask_file, "voxels where the field is known, NIfTI");
    line.positional("OUT", out, "local field, NIfTI, in the unit of FIELD; 0 where it is not valid");
    unit.add_to(line);
    line.option("method", "NAME", method, "'qsmpi methods' lists the names");
    line.option("radius-mm", "X", radius_mm, "largest ball of the spherical mean value filters, mm; 0: the method's own");
    line.option("magnitude", "FILE", magnitude_file, "magnitude, any unit, of one echo or of all, for methods that use it");
    line.option("echo-times-s", "X,...", echo_times_s, "echo times of the volumes of --magnitude, s; of one volume 0.02 unless given");
    line.option("cleanup", "WORD", cleanup,
                "take smooth harmonic fields out of the local field: auto (where the method leaves them) | on | off");
    line.option("out-mask", "FILE", out_mask, "write the voxels where the local field is valid");
    if (!line.parse(arguments)) return exit_done;
    log::set_level(log::Level::warning);
    const double ppm_per_unit = unit.ppm_per_unit();
    require_range("radius-mm", radius_mm, "background_radius_mm");
    const pipeline::ChainOptions options = options_from(
        {{"background", method}, {"background_radius_mm", radius_mm}, {"background_cleanup", cleanup}});

    io::Image field = io::read_image(field_file);
    pipeline::SpanInput input;
    input.geometry = field.header.geometry;
    input.b0_tesla = unit.b0_tesla > 0.0 ? unit.b0_tesla : usual_b0_tesla;
    input.mask = read_mask_like(mask_file, field);
    input.magnitude = read_magnitudes(magnitude_file, field);
    if (input.magnitude.size() == 1 && echo_times_s.empty()) echo_times_s = {usual_echo_time_s};
    if (!echo_times_s.empty() || !input.magnitude.empty()) check_echo_times(echo_times_s, input.magnitude.size());
    input.echo_times_s = echo_times_s;
    check_values(field.data, field_file, input.mask, mask_file);
    scale(field.data, ppm_per_unit);
    require_plausible_field(field.data, field_file);
    input.field_ppm = std::move(field.data);
    pipeline::SpanResult local = pipeline::run_span(pipeline::span("bfr"), std::move(input), options);
    require_not_zero(local.volume_ppm, local.mask, "local field");
    scale(local.volume_ppm, 1.0 / ppm_per_unit);
    io::write_nifti(out, local.volume_ppm, field.header.geometry, "local field [" + unit.unit + "]");
    if (!out_mask.empty()) io::write_nifti(out_mask, local.mask, field.header.geometry, "mask");
    return exit_done;
}

}  // namespace qsmpi::apps
