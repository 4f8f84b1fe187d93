#include "image_arguments.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/magnitude_scale.hpp"
#include "qsmpi/io/phase_image.hpp"
#include "qsmpi/io/plausible.hpp"

namespace qsmpi::apps {

void bring_to_scale(VolumeF& magnitude) { io::multiply_by_power_of_two(magnitude, io::exponent_for(io::scale_of(magnitude))); }

std::optional<VolumeF> read_magnitude(const std::string& file, const io::Image& like)
{
    if (file.empty()) return std::nullopt;
    VolumeF magnitude = io::read_image_on(file, like.header.geometry, "the first image");
    bring_to_scale(magnitude);
    return magnitude;
}

std::vector<VolumeF> read_magnitudes(const std::string& file, const io::Image& like)
{
    if (file.empty()) return {};
    const io::NiftiHeader header = io::read_nifti_header(file);
    io::require_place(file, header, like.header.geometry, "the first image");
    std::vector<VolumeF> magnitudes = io::read_nifti_all(file, header);
    io::MagnitudeScale scale;
    for (VolumeF& magnitude : magnitudes) {
        magnitude.set_voxel_mm(like.data.grid().voxel_mm);
        scale += io::scale_of(magnitude);
    }
    for (VolumeF& m : magnitudes) io::multiply_by_power_of_two(m, io::exponent_for(scale));
    return magnitudes;
}

Mask read_mask_like(const std::string& file, const io::Image& like)
{
    return file.empty() ? Mask(like.data.grid(), 1) : io::read_mask_on(file, like.header.geometry, "the first image");
}

void check_values(const VolumeF& volume, const std::string& file, const Mask& mask, const std::string& mask_file)
{
    std::size_t n = 0, n_finite = 0, n_not_zero = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        ++n;
        n_finite += std::isfinite(volume[i]) ? 1 : 0;
        n_not_zero += std::isfinite(volume[i]) && volume[i] != 0.0F ? 1 : 0;
    }
    const char* const where = mask_file.empty() ? "" : " of the mask";
    require(n > 0, str(mask_file, ": all voxels are zero; mark the voxels to use"));
    require(n_finite > 0, str(file, ": all voxels", where, " are NaN or infinite; make the image again"));
    require(n_not_zero > 0, str(file, ": all voxels", where, " are zero; make the image again"));
    if (n_finite < n)
        log::warn(str(file, ": ", n - n_finite, " of ", n, " voxels", where,
                      " are NaN or infinite and count as not known; repair them, or leave them out by a mask"));
}

void require_not_zero(const VolumeF& result, const Mask& mask, const char* what)
{
    std::size_t n = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        if (result[i] != 0.0F) return;
        ++n;
    }
    throw NumericalError(n == 0 ? str("the ", what, " is valid in no voxel: the mask is too small or too thin; give a larger one")
                                : str("the ", what, " is 0 in all ", n, " voxels of the mask; look at mask and field"));
}

void require_plausible_b0(double b0_tesla)
{
    if (!io::is_plausible_b0(b0_tesla)) throw UsageError(str("--b0-tesla: ", b0_tesla, ": ", io::plausible_b0));
}

void FieldUnit::add_to(CommandLine& line)
{
    line.option("unit", "WORD", unit, "unit of the field: ppm | hz");
    line.option("b0-tesla", "X", b0_tesla, "field strength, tesla; needed for hz");
}

double FieldUnit::ppm_per_unit() const
{
    if (b0_tesla != 0.0) require_plausible_b0(b0_tesla);
    if (unit == "ppm") return 1.0;
    if (unit != "hz") throw UsageError(str("--unit: '", unit, "' is not one of ppm, hz"));
    if (b0_tesla == 0.0) throw UsageError("--unit hz needs --b0-tesla");
    return 1.0 / units::hz_per_ppm(b0_tesla);
}

void PhaseUnits::add_to(CommandLine& line)
{
    line.option("phase-units", "WORD", word,
                "auto (from facts in file and sidecar) | rad | milliradian | degree | siemens | siemens-unsigned | minmax");
}

void PhaseUnits::check() const
{
    const std::vector<std::string>& words = io::phase_unit_names();
    if (std::find(words.begin(), words.end(), word) != words.end()) return;
    std::string list;
    for (const std::string& w : words) list += (list.empty() ? "" : ", ") + w;
    throw UsageError(str("--phase-units: '", word, "' is not one of ", list));
}

std::optional<VolumeF> read_phase(const std::string& file, const PhaseUnits& units, const io::Image& like)
{
    if (file.empty()) return std::nullopt;
    io::Image phase = io::read_phase(file, units.word);
    io::require_place(file, phase.header, like.header.geometry, "the first image");
    phase.data.set_voxel_mm(like.data.grid().voxel_mm);
    return std::move(phase.data);
}

void require_plausible_field(const VolumeF& field_ppm, const std::string& file)
{
    double largest_ppm = 0.0;
    for (const float v : field_ppm)
        if (std::isfinite(v)) largest_ppm = std::max(largest_ppm, std::abs(static_cast<double>(v)));
    require(largest_ppm <= io::largest_field_ppm, str(file, ": reaches ", largest_ppm, " ppm, but ", io::plausible_field,
                                                      "; give its unit by --unit, and 0 where it is not known"));
}

void scale(VolumeF& volume, double factor)
{
    const auto f = static_cast<float>(factor);
    parallel::for_blocks(volume.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) volume[i] *= f;
    });
}

}  // namespace qsmpi::apps
