#include "image_arguments.hpp"

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"

namespace qsmpi::apps {
namespace {

void require_shape(const Dims& have, const Dims& want, const std::string& file)
{
    require(have == want, str(file, ": has ", have.nx, "x", have.ny, "x", have.nz, " voxels, but the first image ", want.nx, "x",
                              want.ny, "x", want.nz, "; they must lie on one grid"));
}

}  // namespace

std::optional<VolumeF> read_optional(const std::string& file, const io::Image& like, const char* what)
{
    if (file.empty()) return std::nullopt;
    io::Image image = io::read_image(file);
    require_shape(image.data.dims(), like.data.dims(), str(what, " ", file));
    // Headers may round voxel sizes differently; the first image's count.
    VolumeF volume(like.data.grid());
    std::copy_n(image.data.data(), volume.size(), volume.data());
    return volume;
}

Mask read_mask_like(const std::string& file, const io::Image& like)
{
    Mask mask(like.data.grid(), 1);
    if (file.empty()) return mask;
    const Mask read = io::read_mask(file);
    require_shape(read.dims(), like.data.dims(), "mask " + file);
    std::copy_n(read.data(), mask.size(), mask.data());
    return mask;
}

void FieldUnit::add_to(CommandLine& line)
{
    line.option("unit", "WORD", unit, "unit of the field: ppm | hz");
    line.option("b0-tesla", "X", b0_tesla, "field strength, tesla; needed for hz");
}

double FieldUnit::ppm_per_unit() const
{
    if (unit == "ppm") return 1.0;
    if (unit != "hz") throw UsageError(str("--unit: '", unit, "' is not one of ppm, hz"));
    if (!(b0_tesla > 0.0)) throw UsageError("--unit hz needs --b0-tesla");
    return 1.0 / units::hz_per_ppm(b0_tesla);
}

void scale(VolumeF& volume, double factor)
{
    const auto f = static_cast<float>(factor);
    parallel::for_blocks(volume.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) volume[i] *= f;
    });
}

}  // namespace qsmpi::apps
