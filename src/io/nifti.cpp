#include "qsmpi/io/nifti.hpp"

#include <bit>
#include <cmath>
#include <cstring>

#include <fcntl.h>

#include "gzip.hpp"
#include "nifti_header.hpp"
#include "nifti_reader.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::io
{

namespace fs = std::filesystem;

namespace
{

/// One gzip byte stands for at most 1032 bytes (RFC 1951: a match of 258 bytes in two bits).
constexpr std::size_t largest_deflate_ratio = 1032;

bool is_gzip_file(const Descriptor& in)
{
    std::array<std::byte, 2> magic;
    return in.read_at(0, magic) == 2 && gzip::is_gzip(magic);
}

PageBuffer read_all(const Descriptor& in)
{
    PageBuffer content(in.size());
    const std::size_t n = in.read_at(0, content.span());
    if (n < content.size())
        throw IoError(str("a file shrank to ", n, " of ", content.size(), " bytes while it was read"));
    return content;
}

/// The bytes before the voxels, decompressed from as little of the file as will do.
std::vector<std::byte> header_bytes(const Descriptor& in, const std::string& file)
{
    std::vector<std::byte> out(nifti2_header_bytes);
    if (!is_gzip_file(in)) {
        out.resize(in.read_at(0, out));
        return out;
    }
    for (std::size_t n_compressed = 4096;; n_compressed *= 16) {
        std::vector<std::byte> compressed(n_compressed);
        compressed.resize(in.read_at(0, compressed));
        const std::size_t n = gzip::inflate_prefix(compressed, out);
        if (n == out.size() || compressed.size() < n_compressed) {
            if (n == 0)
                throw HeaderError(file, "", "", str("truncated or damaged: ", in.size(), " bytes of gzip that hold nothing"), fetch_again);
            out.resize(n);
            return out;
        }
    }
}

template <typename T>
T swapped(T value)
{
    using Bits = std::conditional_t<
        sizeof(T) == 1, std::uint8_t,
        std::conditional_t<sizeof(T) == 2, std::uint16_t,
                           std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>>;
    auto bits = std::bit_cast<Bits>(value);
    if constexpr (sizeof(T) == 2) bits = __builtin_bswap16(bits);
    if constexpr (sizeof(T) == 4) bits = __builtin_bswap32(bits);
    if constexpr (sizeof(T) == 8) bits = __builtin_bswap64(bits);
    return std::bit_cast<T>(bits);
}

struct Conversion {
    bool swap = false, scale = false;
    double slope = 1.0, inter = 0.0;
};

template <typename T>
void convert_block(const std::byte* in, std::size_t n, float* out, const Conversion& how)
{
    const auto value = [in](std::size_t i) {
        T x;
        std::memcpy(&x, in + i * sizeof(T), sizeof(T));
        return x;
    };
    if (how.swap && how.scale) {
        for (std::size_t i = 0; i < n; ++i) {
            out[i] = static_cast<float>(static_cast<double>(swapped(value(i))) * how.slope + how.inter);
        }
    } else if (how.swap) {
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(swapped(value(i)));
    } else if (how.scale) {
        for (std::size_t i = 0; i < n; ++i) {
            out[i] = static_cast<float>(static_cast<double>(value(i)) * how.slope + how.inter);
        }
    } else {
        for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<float>(value(i));
    }
}

template <typename T>
void convert(const NiftiReader& reader, std::size_t first_byte, VolumeF& volume, const Conversion& how)
{
    parallel::for_blocks(volume.size(), [&](std::size_t begin, std::size_t end) {
        const std::span<std::byte> direct(reinterpret_cast<std::byte*>(volume.data() + begin),
                                          (end - begin) * sizeof(T));
        if (std::is_same_v<T, float> && !how.swap && !how.scale) {
            reader.read_bytes(first_byte + begin * sizeof(T), direct);
            return;
        }
        std::array<std::byte, 8192> piece;
        constexpr std::size_t step = piece.size() / sizeof(T);
        for (std::size_t i = begin; i < end; i += step) {
            const std::size_t n = std::min(step, end - i);
            reader.read_bytes(first_byte + i * sizeof(T), std::span(piece).first(n * sizeof(T)));
            convert_block<T>(piece.data(), n, volume.data() + i, how);
        }
    });
}

}  // namespace

NiftiReader::NiftiReader(const fs::path& file, const NiftiHeader& header)
    : file_(file), header_(header), in_(file, O_RDONLY, "read")
{
    const std::size_t expected = expected_bytes(header), size = in_.size();
    if (!is_gzip_file(in_)) {
        if (size < expected) fail(size, expected);
        return;
    }
    if (size < expected / largest_deflate_ratio) fail(size, expected);
    const PageBuffer compressed = read_all(in_);
    raw_.emplace(expected);
    gzip::decompress(compressed.span(), raw_->span(), file);
}

void NiftiReader::read_bytes(std::size_t begin, std::span<std::byte> out) const
{
    const std::size_t first = header_.data_offset + begin;
    if (raw_) {
        std::memcpy(out.data(), raw_->span().data() + first, out.size());
    } else if (const std::size_t n = in_.read_at(first, out); n < out.size()) {
        fail(first + n, first + out.size());
    }
}

void NiftiReader::fail(std::size_t found, std::size_t expected) const
{
    throw InputError(str(file_.string(), ": truncated: ", found, " bytes in the file, the header needs ",
                         expected, "; copy or convert it again"));
}

VolumeF NiftiReader::volume(std::size_t i_volume, Scaling scaling) const
{
    require(i_volume < header_.n_volumes,
            str(file_.string(), ": volume ", i_volume + 1, " asked for, the file has ", header_.n_volumes));
    VolumeF out(header_.geometry.grid);
    const std::size_t first = i_volume * out.size() * header_.bytes_per_voxel;
    const Conversion how{.swap = header_.byte_swapped,
                         .scale = header_.has_scaling && scaling == Scaling::scaled,
                         .slope = header_.scl_slope,
                         .inter = header_.scl_inter};
    switch (static_cast<NiftiType>(header_.datatype)) {
        case NiftiType::uint8: convert<std::uint8_t>(*this, first, out, how); break;
        case NiftiType::int8: convert<std::int8_t>(*this, first, out, how); break;
        case NiftiType::int16: convert<std::int16_t>(*this, first, out, how); break;
        case NiftiType::uint16: convert<std::uint16_t>(*this, first, out, how); break;
        case NiftiType::int32: convert<std::int32_t>(*this, first, out, how); break;
        case NiftiType::uint32: convert<std::uint32_t>(*this, first, out, how); break;
        case NiftiType::int64: convert<std::int64_t>(*this, first, out, how); break;
        case NiftiType::uint64: convert<std::uint64_t>(*this, first, out, how); break;
        case NiftiType::float32: convert<float>(*this, first, out, how); break;
        case NiftiType::float64: convert<double>(*this, first, out, how); break;
    }
    return out;
}

bool NiftiHeader::is_integer() const
{
    return datatype != static_cast<int>(NiftiType::float32) &&
           datatype != static_cast<int>(NiftiType::float64);
}

NiftiHeader read_nifti_header(const fs::path& file)
{
    return parse_nifti_header(header_bytes(Descriptor(file, O_RDONLY, "read"), file.string()), file.string());
}

bool looks_truncated(const fs::path& file, const NiftiHeader& header)
{
    const Descriptor in(file, O_RDONLY, "read");
    const std::size_t size = in.size(), expected = expected_bytes(header);
    if (!is_gzip_file(in)) return size < expected;
    if (size < 18 || size < expected / largest_deflate_ratio) return true;
    std::array<unsigned char, 4> field;
    in.read_at(size - 4, std::as_writable_bytes(std::span(field)));
    const std::uint32_t stated =
        field[0] | field[1] << 8 | field[2] << 16 | static_cast<std::uint32_t>(field[3]) << 24;
    if (stated == static_cast<std::uint32_t>(expected)) return false;
    // The field counts the last member only, and a file may have several: look closer before it is called
    // damaged.
    const PageBuffer compressed = read_all(in);
    PageBuffer out(expected);
    return gzip::inflate_prefix(compressed.span(), out.span()) < expected;
}

VolumeF read_nifti(const fs::path& file, const NiftiHeader& header, std::size_t i_volume, Scaling scaling)
{
    return NiftiReader(file, header).volume(i_volume, scaling);
}

std::vector<VolumeF> read_nifti_all(const fs::path& file, const NiftiHeader& header, Scaling scaling)
{
    const NiftiReader reader(file, header);
    std::vector<VolumeF> volumes;
    volumes.reserve(header.n_volumes);
    for (std::size_t i = 0; i < header.n_volumes; ++i) volumes.push_back(reader.volume(i, scaling));
    return volumes;
}

void require_one_volume(const fs::path& file, const NiftiHeader& header)
{
    require(header.n_volumes == 1, str(file.string(), ": dim[4] = ", header.n_volumes,
                                       ": one volume expected; split the image first"));
}

Image read_image(const fs::path& file)
{
    NiftiHeader header = read_nifti_header(file);
    require_one_volume(file, header);
    VolumeF data = read_nifti(file, header);
    return {std::move(data), std::move(header)};
}

namespace
{

Mask mask_of(const VolumeF& volume, const fs::path& file, const Warn& given_warn)
{
    const Warn warn = given_warn ? given_warn : [](const std::string& message) { log::warn(message); };
    const auto is_fraction = [](float v) { return v > 0.0f && v < 1.0f; };
    bool has_fractions = false;
    float largest = 0.0f;
    for (const float v : volume) {
        has_fractions = has_fractions || is_fraction(v);
        if (v > largest) largest = v;
    }
    // Probabilities, or a mask that was interpolated, which may overshoot. An image cut to the head has other values.
    constexpr float overshoot = 1.5f;
    const bool is_soft = has_fractions && largest >= 0.5f && largest <= overshoot;
    if (has_fractions)
        warn(str(file.string(), ": holds values between 0 and 1; all that is ", is_soft ? "at least 0.5" : "not 0",
                 " counts as mask: make it 0 and 1"));
    const auto n_nan = std::count_if(volume.begin(), volume.end(), [](float v) { return std::isnan(v); });
    if (n_nan > 0) warn(str(file.string(), ": ", n_nan, " voxels are NaN and count as outside the mask: make it 0 and 1"));
    Mask mask(volume.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float value = volume[i];
            mask[i] = (is_soft ? value >= 0.5f : value != 0.0f) && value == value ? 1 : 0;  // NaN is outside
        }
    });
    return mask;
}

}  // namespace

Mask read_mask(const fs::path& file, const Warn& warn)
{
    return mask_of(read_image(file).data, file, warn);
}

void require_place(const fs::path& file, const NiftiHeader& header, const Geometry& geometry, const std::string& whose)
{
    const Dims &have = header.geometry.grid.dims, &want = geometry.grid.dims;
    require(have == want, str(file.string(), ": has ", have.nx, "x", have.ny, "x", have.nz, " voxels, but ", whose, " ",
                              want.nx, "x", want.ny, "x", want.nz, "; resample it to ", whose));
    if (const auto distance_mm = misplacement_mm(header.geometry, geometry))
        throw InputError(str(file.string(), ": affine differs by ", *distance_mm, " mm at a corner from that of ", whose,
                             "; resample it to ", whose));
}

VolumeF read_image_on(const fs::path& file, const Geometry& geometry, const std::string& whose)
{
    Image image = read_image(file);
    require_place(file, image.header, geometry, whose);
    image.data.set_voxel_mm(geometry.grid.voxel_mm);
    return std::move(image.data);
}

Mask read_mask_on(const fs::path& file, const Geometry& geometry, const std::string& whose, const Warn& warn)
{
    return mask_of(read_image_on(file, geometry, whose), file, warn);
}

}  // namespace qsmpi::io
