#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qsmpi {

/// 128-bit content hash (XXH3) as 32 hexadecimal digits. Not cryptographic: it detects change, not malice.
class Hasher {
public:
    Hasher();
    ~Hasher();
    Hasher(const Hasher&) = delete;
    Hasher& operator=(const Hasher&) = delete;
    void add(const void* data, std::size_t bytes);
    /// Adds the length and then the text, so that ("ab","c") and ("a","bc") differ.
    void add(std::string_view text);
    [[nodiscard]] std::string hex() const;

private:
    void* state_;
};

[[nodiscard]] std::string hash_of(std::string_view text);

/// CRC-32 (zlib polynomial), for lines of the journal.
[[nodiscard]] std::uint32_t crc32_of(std::string_view text);

}  // namespace qsmpi
