#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/io/geometry.hpp"

namespace qsmpi::io
{

/// What the first bytes of a NIfTI-1/2 file (.nii, .nii.gz; either byte order) say.
struct NiftiHeader {
    Geometry geometry;
    std::size_t n_volumes = 1;  ///< dim[4] (and dim[5..7] multiplied)
    int datatype = 0;           ///< NIFTI_TYPE_*
    double scl_slope = 1.0;     ///< 1 when the file says 0 or NaN
    double scl_inter = 0.0;
    bool has_scaling = false;  ///< slope and intercept are stored and not 1, 0
    std::string description;
    std::size_t data_offset = 352, bytes_per_voxel = 0;
    bool byte_swapped = false;
    [[nodiscard]] bool is_integer() const;
};

/// Reads and checks the header only (a few kB are decompressed).
/// @throws InputError naming field, value and remedy for zero or negative voxel size, absurd dims, unknown
/// type,
///         complex data; IoError if it cannot be read
[[nodiscard]] NiftiHeader read_nifti_header(const std::filesystem::path& file);

/// True if the trailing size field of the gzip member disagrees with the header, i.e. the file is truncated
/// (or, uncompressed: the file is too short). Costs one seek.
[[nodiscard]] bool looks_truncated(const std::filesystem::path& file, const NiftiHeader& header);

/// A volume as stored times slope plus intercept (scaled) or as stored (raw).
enum class Scaling { scaled, raw };

/// Reads volume `i_volume` as float.
/// @throws InputError for a truncated or damaged file, naming it and how many bytes are missing
[[nodiscard]] VolumeF read_nifti(const std::filesystem::path& file, const NiftiHeader& header,
                                 std::size_t i_volume = 0, Scaling scaling = Scaling::scaled);
/// All volumes with one decompression.
[[nodiscard]] std::vector<VolumeF> read_nifti_all(const std::filesystem::path& file,
                                                  const NiftiHeader& header,
                                                  Scaling scaling = Scaling::scaled);
/// Convenience for single 3-D files: header and data.
struct Image {
    VolumeF data;
    NiftiHeader header;
};
[[nodiscard]] Image read_image(const std::filesystem::path& file);
/// @throws InputError if it is a series
void require_one_volume(const std::filesystem::path& file, const NiftiHeader& header);
/// What is told of an image that is read all the same.
using Warn = std::function<void(const std::string& message)>;
/// Nonzero voxels of a 3-D file.
/// @param warn  hears of values that are no mask's; none: the log
[[nodiscard]] Mask read_mask(const std::filesystem::path& file, const Warn& warn = {});

/// @throws InputError if an image has another shape than `whose` ("the scan") or lies elsewhere
void require_place(const std::filesystem::path& file, const NiftiHeader& header, const Geometry& geometry,
                   const std::string& whose);
/// The same of a file that must lie where another image does, `whose` ("the scan"); on its grid, for headers may round voxel
/// sizes differently.
/// @throws InputError if shape or place differ
[[nodiscard]] VolumeF read_image_on(const std::filesystem::path& file, const Geometry& geometry, const std::string& whose);
[[nodiscard]] Mask read_mask_on(const std::filesystem::path& file, const Geometry& geometry, const std::string& whose,
                                const Warn& warn = {});

/// Writes a NIfTI-1 file (gzip when the name ends in .gz, deterministic bytes), atomically: temporary name,
/// fsync, rename. Geometry is written verbatim: sform, qform, codes and pixdim equal those read.
void write_nifti(const std::filesystem::path& file, const VolumeF& volume, const Geometry& geometry,
                 const std::string& description = "");
void write_nifti(const std::filesystem::path& file, const Mask& mask, const Geometry& geometry,
                 const std::string& description = "");

}  // namespace qsmpi::io
