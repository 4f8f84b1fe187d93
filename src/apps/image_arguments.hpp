#pragma once
#include <optional>
#include <string>

#include "cli.hpp"
#include "qsmpi/io/nifti.hpp"

/// What the commands on single images share.
namespace qsmpi::apps {

/// Brings a magnitude to a scale that can be computed with, see io::exponent_for().
void bring_to_scale(VolumeF& magnitude);
/// A magnitude, brought to scale, if a name was given. @throws InputError if it differs from `like` in shape or place
[[nodiscard]] std::optional<VolumeF> read_magnitude(const std::string& file, const io::Image& like);
/// All volumes of one, brought to one scale; none if no name was given.
[[nodiscard]] std::vector<VolumeF> read_magnitudes(const std::string& file, const io::Image& like);
/// The mask, or all voxels if no name was given. @throws InputError if it differs from `like` in shape or place
[[nodiscard]] Mask read_mask_like(const std::string& file, const io::Image& like);

/// Warns of voxels in the mask that are NaN or infinite; background removal and inversion take them as not known.
/// @throws InputError naming the file if the mask is empty, or if the image is 0 or not finite in all of it
void check_values(const VolumeF& volume, const std::string& file, const Mask& mask, const std::string& mask_file);
/// @throws NumericalError if a result is 0 in all of the mask it is valid in
void require_not_zero(const VolumeF& result, const Mask& mask, const char* what);

/// @throws UsageError
void require_plausible_b0(double b0_tesla);

/// The unit of a field map on the command line, and the factor that makes it ppm.
struct FieldUnit {
    std::string unit = "ppm";
    double b0_tesla = 0.0;
    void add_to(CommandLine& line);
    /// @throws UsageError for another unit, or Hz without field strength
    [[nodiscard]] double ppm_per_unit() const;
};

/// How the values of a phase image become radians: the rules of a run, for every command that reads one.
struct PhaseUnits {
    std::string word = "auto";
    void add_to(CommandLine& line);
    /// @throws UsageError for another word
    void check() const;
};

/// Wrapped phase [rad] if a name was given, see io::read_phase(). @throws InputError if it differs from `like` in shape or place
[[nodiscard]] std::optional<VolumeF> read_phase(const std::string& file, const PhaseUnits& units, const io::Image& like);

/// @throws InputError if a field is larger than any scanner measures
void require_plausible_field(const VolumeF& field_ppm, const std::string& file);

void scale(VolumeF& volume, double factor);

}  // namespace qsmpi::apps
