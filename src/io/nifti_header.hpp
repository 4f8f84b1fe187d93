#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::io
{

/// NIFTI_TYPE_* codes that hold one real number a voxel.
enum class NiftiType : int {
    uint8 = 2,
    int16 = 4,
    int32 = 8,
    float32 = 16,
    float64 = 64,
    int8 = 256,
    uint16 = 512,
    uint32 = 768,
    int64 = 1024,
    uint64 = 1280
};

/// A header that cannot be worked with; the parts of the message, so that a scan can list them.
class HeaderError : public InputError
{
public:
    HeaderError(const std::string& file, std::string field_, std::string value_, std::string problem_,
                std::string remedy_);
    std::string field, value, problem, remedy;
};

inline constexpr const char* fetch_again = "fetch or convert the image again";
inline constexpr std::size_t nifti1_header_bytes = 348, nifti2_header_bytes = 540;

/// Interprets the first bytes of a decompressed file (540 or more, unless the file is shorter).
/// @throws HeaderError naming `file`, field, value and remedy
[[nodiscard]] NiftiHeader parse_nifti_header(std::span<const std::byte> bytes, const std::string& file);

/// The 352 bytes before the voxels of a single-file NIfTI-1 with one volume.
/// @throws InputError if a dimension does not fit into 16 bits
[[nodiscard]] std::array<std::byte, 352> encode_nifti_header(const Geometry& geometry, NiftiType type,
                                                             const std::string& description);

/// Bytes of the decompressed file that the header speaks of.
[[nodiscard]] std::size_t expected_bytes(const NiftiHeader& header);

}  // namespace qsmpi::io
