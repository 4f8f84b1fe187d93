#pragma once
#include <optional>
#include <string>

#include "cli.hpp"
#include "qsmpi/io/nifti.hpp"

/// What the commands on single images share.
namespace qsmpi::apps {

/// An image if a name was given. @throws InputError if its shape differs from that of `like`
[[nodiscard]] std::optional<VolumeF> read_optional(const std::string& file, const io::Image& like, const char* what);
/// The mask, or all voxels if no name was given; shape as `like`.
[[nodiscard]] Mask read_mask_like(const std::string& file, const io::Image& like);

/// The unit of a field map on the command line, and the factor that makes it ppm.
struct FieldUnit {
    std::string unit = "ppm";
    double b0_tesla = 0.0;
    void add_to(CommandLine& line);
    /// @throws UsageError for another unit, or Hz without field strength
    [[nodiscard]] double ppm_per_unit() const;
};

void scale(VolumeF& volume, double factor);

}  // namespace qsmpi::apps
