#include "gzip.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include <libdeflate.h>
#include <zlib.h>

#include "qsmpi/core/error.hpp"

namespace qsmpi::io::gzip
{

namespace
{

template <std::size_t n>
void put_little_endian(std::byte* out, std::uint64_t value)
{
    for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(value >> (8 * i) & 0xff);
}

}  // namespace

bool is_gzip(std::span<const std::byte> content)
{
    return content.size() >= 2 && content[0] == std::byte{0x1f} && content[1] == std::byte{0x8b};
}

namespace
{

class Inflater
{
public:
    Inflater()
    {
        constexpr int gzip_only = 16 + MAX_WBITS;
        if (inflateInit2(&stream_, gzip_only) != Z_OK) throw std::bad_alloc();
    }
    ~Inflater() { inflateEnd(&stream_); }
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    /// Goes on with `in` into `out`, both advanced by what was used; false at the end of all members or at
    /// damage.
    bool step(std::span<const std::byte>& in, std::span<std::byte>& out)
    {
        constexpr std::size_t chunk = std::numeric_limits<int>::max();  // zlib counts in 32 bits
        const std::size_t in_now = std::min(chunk, in.size()), out_now = std::min(chunk, out.size());
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
        stream_.avail_in = static_cast<uInt>(in_now);
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out_now);
        const int state = inflate(&stream_, Z_NO_FLUSH);
        const std::size_t took = in_now - stream_.avail_in, gave = out_now - stream_.avail_out;
        in = in.subspan(took);
        out = out.subspan(gave);
        member_complete_ = state == Z_STREAM_END;
        if (member_complete_) return is_gzip(in) && inflateReset(&stream_) == Z_OK;
        return state == Z_OK && (took > 0 || gave > 0);
    }
    [[nodiscard]] bool member_complete() const { return member_complete_; }

private:
    z_stream stream_{};
    bool member_complete_ = false;
};

}  // namespace

std::size_t inflate_prefix(std::span<const std::byte> compressed, std::span<std::byte> out)
{
    Inflater inflater;
    std::span<std::byte> room = out;
    while (!room.empty() && !compressed.empty() && inflater.step(compressed, room)) {
    }
    return out.size() - room.size();
}

bool is_intact(std::span<const std::byte> compressed)
{
    Inflater inflater;
    std::vector<std::byte> scratch(1 << 18);
    for (;;) {
        std::span<std::byte> room = scratch;
        if (!inflater.step(compressed, room)) return inflater.member_complete();
    }
}

void decompress(std::span<const std::byte> compressed, std::span<std::byte> out,
                const std::filesystem::path& file)
{
    const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
        libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
    if (!decompressor) throw std::bad_alloc();

    std::size_t taken = 0, made = 0;
    bool damaged = false;
    while (made < out.size() && taken < compressed.size()) {
        std::size_t took = 0, gave = 0;
        const libdeflate_result result = libdeflate_gzip_decompress_ex(
            decompressor.get(), compressed.data() + taken, compressed.size() - taken, out.data() + made,
            out.size() - made, &took, &gave);
        // More data than the header speaks of: odd, but harmless if they are sound.
        if (result == LIBDEFLATE_INSUFFICIENT_SPACE && is_intact(compressed)) {
            inflate_prefix(compressed, out);
            return;
        }
        if (result != LIBDEFLATE_SUCCESS) {
            damaged = true;
            break;
        }
        taken += took;
        made += gave;
    }
    if (made == out.size() && !damaged) return;
    if (damaged) made = inflate_prefix(compressed, out);
    const char* remedy = "; copy or convert it again";
    require(made < out.size(),
            str(file.string(), ": the gzip data are damaged (a checksum differs)", remedy));
    throw InputError(str(file.string(), ": truncated or damaged gzip data: ", made, " of ", out.size(),
                         " bytes could be decompressed", remedy));
}

std::array<std::span<const std::byte>, 4> Member::parts() const
{
    return {std::span<const std::byte>(start), head, compressed.span().first(compressed_bytes),
            std::span<const std::byte>(trailer)};
}

Member compress(std::span<const std::byte> head, std::span<const std::byte> body, int level)
{
    QSMPI_ASSERT(head.size() <= 0xffff);
    const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> compressor(
        libdeflate_alloc_compressor(level), &libdeflate_free_compressor);
    if (!compressor) throw std::bad_alloc();

    Member member{.head = head,
                  .compressed = PageBuffer(libdeflate_deflate_compress_bound(compressor.get(), body.size()))};
    // Ten bytes of gzip header (deflate, no flags, no time, unknown system); then `head` as one stored
    // deflate block, which ends on a byte boundary, so that the stream made from `body` may simply follow.
    constexpr unsigned char gzip_start[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff};
    std::memcpy(member.start.data(), gzip_start, sizeof gzip_start);
    put_little_endian<2>(&member.start[11], head.size());
    put_little_endian<2>(&member.start[13], ~head.size() & 0xffff);

    const std::span<std::byte> room = member.compressed.span();
    member.compressed_bytes =
        libdeflate_deflate_compress(compressor.get(), body.data(), body.size(), room.data(), room.size());
    QSMPI_ASSERT(member.compressed_bytes > 0);

    const std::uint32_t crc =
        libdeflate_crc32(libdeflate_crc32(0, head.data(), head.size()), body.data(), body.size());
    put_little_endian<4>(&member.trailer[0], crc);
    put_little_endian<4>(&member.trailer[4], head.size() + body.size());
    return member;
}

}  // namespace qsmpi::io::gzip
