#pragma once
#include <array>
#include <cstddef>
#include <filesystem>
#include <span>
#include <vector>

#include "page_buffer.hpp"

namespace qsmpi::io::gzip
{

/// True for the two magic bytes of RFC 1952.
[[nodiscard]] bool is_gzip(std::span<const std::byte> content);

/// Decompresses into `out` by zlib, through any number of members, until `out` is full or the data end or are
/// damaged. Slow (a third of decompress()), but it says how far it came. Returns the bytes produced.
std::size_t inflate_prefix(std::span<const std::byte> compressed, std::span<std::byte> out);

/// True if every member is complete and its checksum right; what they hold beyond memory's reach is not kept.
[[nodiscard]] bool is_intact(std::span<const std::byte> compressed);

/// Decompresses exactly out.size() bytes (members are joined; what follows is ignored) and checks every
/// checksum on the way.
/// @throws InputError naming `file` and the bytes found and expected if the data end early or are damaged
void decompress(std::span<const std::byte> compressed, std::span<std::byte> out,
                const std::filesystem::path& file);

/// One gzip member holding `head` and then `body`, as pieces to be written one after the other.
/// Equal content gives equal bytes: no time, no name. `head` (at most 65535 bytes) is stored, `body`
/// compressed.
struct Member {
    std::array<std::byte, 15> start{};
    std::span<const std::byte> head{};
    PageBuffer compressed{};
    std::size_t compressed_bytes = 0;
    std::array<std::byte, 8> trailer{};
    [[nodiscard]] std::array<std::span<const std::byte>, 4> parts() const;
};
[[nodiscard]] Member compress(std::span<const std::byte> head, std::span<const std::byte> body, int level);

}  // namespace qsmpi::io::gzip
