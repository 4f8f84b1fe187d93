#include "qsmpi/core/hash.hpp"

#include <cstdio>

#include <xxhash.h>
#include <zlib.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi {

Hasher::Hasher() : state_(XXH3_createState())
{
    QSMPI_ASSERT(state_ != nullptr);
    XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}

Hasher::~Hasher() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }

void Hasher::add(const void* data, std::size_t bytes)
{
    XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), data, bytes);
}

void Hasher::add(std::string_view text)
{
    const std::uint64_t length = text.size();
    add(&length, sizeof length);
    add(text.data(), text.size());
}

std::string Hasher::hex() const
{
    const XXH128_hash_t value = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
    char text[33];
    std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(value.high64),
                  static_cast<unsigned long long>(value.low64));
    return text;
}

std::string hash_of(std::string_view text)
{
    Hasher hasher;
    hasher.add(text);
    return hasher.hex();
}

std::uint32_t crc32_of(std::string_view text)
{
    return static_cast<std::uint32_t>(
        ::crc32(0L, reinterpret_cast<const Bytef*>(text.data()), static_cast<uInt>(text.size())));
}

}  // namespace qsmpi
