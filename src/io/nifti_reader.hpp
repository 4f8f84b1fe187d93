#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>

#include "page_buffer.hpp"
#include "posix.hpp"
#include "qsmpi/core/volume.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::io
{

/// One file, opened once: decompressed into memory if it is compressed, else read as needed. Safe to use from
/// threads.
class NiftiReader
{
public:
    /// @throws InputError naming the file if it is truncated or damaged, IoError if it cannot be read
    NiftiReader(const std::filesystem::path& file, const NiftiHeader& header);
    /// @throws InputError if there is no such volume
    [[nodiscard]] VolumeF volume(std::size_t i_volume, Scaling scaling = Scaling::scaled) const;
    /// Bytes [begin, begin + out.size()) of the voxels.
    void read_bytes(std::size_t begin, std::span<std::byte> out) const;

private:
    [[noreturn]] void fail(std::size_t found, std::size_t expected) const;
    std::filesystem::path file_;
    NiftiHeader header_;
    Descriptor in_;
    std::optional<PageBuffer> raw_;
};

}  // namespace qsmpi::io
