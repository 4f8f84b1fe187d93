#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

/// NIfTI files with known bytes, put together from the format's offsets (nifti1.h, nifti2.h), not by the code
/// under test.
namespace qsmpi::test
{

class Bytes
{
public:
    explicit Bytes(std::size_t n = 0) : data_(n, '\0') {}
    template <typename T>
    void put(std::size_t offset, T value, bool swap = false)
    {
        char raw[sizeof(T)];
        std::memcpy(raw, &value, sizeof(T));
        for (std::size_t i = 0; i < sizeof(T); ++i) data_.at(offset + i) = raw[swap ? sizeof(T) - 1 - i : i];
    }
    void put_text(std::size_t offset, const std::string& text) { data_.replace(offset, text.size(), text); }
    [[nodiscard]] std::string& text() { return data_; }
    [[nodiscard]] const std::string& text() const { return data_; }

private:
    std::string data_;
};

struct NiftiSpec {
    std::vector<std::int64_t> dim{3, 4, 5};
    std::vector<double> pixdim{1, 1, 1};
    int datatype = 16;
    bool two = false, swap = false;
    double slope = 0.0, inter = 0.0;
    double qfac = 1.0;
    int qform_code = 0, sform_code = 1;
    std::vector<double> qform{0, 0, 0, 0, 0, 0};
    std::vector<double> sform{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};
    int xyzt_units = 2;
    std::string description{};
};

inline std::size_t type_bytes(int datatype)
{
    switch (datatype) {
        case 2:
        case 256: return 1;
        case 4:
        case 512: return 2;
        case 64:
        case 1024:
        case 1280: return 8;
        default: return 4;
    }
}

/// Header and the four (extension) bytes after it.
inline Bytes nifti_header(const NiftiSpec& s)
{
    Bytes b(s.two ? 544 : 352);
    const auto n = static_cast<std::int64_t>(s.dim.size());
    const bool w = s.swap;
    if (s.two) {
        b.put(0, std::int32_t{540}, w);
        b.put_text(4, std::string("n+2\0\r\n\032\n", 8));
        b.put(12, static_cast<std::int16_t>(s.datatype), w);
        b.put(14, static_cast<std::int16_t>(8 * type_bytes(s.datatype)), w);
        b.put(16, n, w);
        for (std::size_t i = 0; i < 7; ++i)
            b.put(24 + 8 * i, i < s.dim.size() ? s.dim[i] : std::int64_t{1}, w);
        b.put(104, s.qfac, w);
        for (std::size_t i = 0; i < s.pixdim.size(); ++i) b.put(112 + 8 * i, s.pixdim[i], w);
        b.put(168, std::int64_t{544}, w);
        b.put(176, s.slope, w);
        b.put(184, s.inter, w);
        b.put_text(240, s.description);
        b.put(344, static_cast<std::int32_t>(s.qform_code), w);
        b.put(348, static_cast<std::int32_t>(s.sform_code), w);
        for (std::size_t i = 0; i < 6; ++i) b.put(352 + 8 * i, s.qform[i], w);
        for (std::size_t i = 0; i < 12; ++i) b.put(400 + 8 * i, s.sform[i], w);
        b.put(500, static_cast<std::int32_t>(s.xyzt_units), w);
        return b;
    }
    b.put(0, std::int32_t{348}, w);
    b.put(40, static_cast<std::int16_t>(n), w);
    for (std::size_t i = 0; i < 7; ++i) {
        b.put(42 + 2 * i, static_cast<std::int16_t>(i < s.dim.size() ? s.dim[i] : 1), w);
    }
    b.put(70, static_cast<std::int16_t>(s.datatype), w);
    b.put(72, static_cast<std::int16_t>(8 * type_bytes(s.datatype)), w);
    b.put(76, static_cast<float>(s.qfac), w);
    for (std::size_t i = 0; i < s.pixdim.size(); ++i) b.put(80 + 4 * i, static_cast<float>(s.pixdim[i]), w);
    b.put(108, 352.0f, w);
    b.put(112, static_cast<float>(s.slope), w);
    b.put(116, static_cast<float>(s.inter), w);
    b.put(123, static_cast<char>(s.xyzt_units));
    b.put_text(148, s.description);
    b.put(252, static_cast<std::int16_t>(s.qform_code), w);
    b.put(254, static_cast<std::int16_t>(s.sform_code), w);
    for (std::size_t i = 0; i < 6; ++i) b.put(256 + 4 * i, static_cast<float>(s.qform[i]), w);
    for (std::size_t i = 0; i < 12; ++i) b.put(280 + 4 * i, static_cast<float>(s.sform[i]), w);
    b.put_text(344, std::string("n+1\0", 4));
    return b;
}

/// Voxels of type T after a header.
template <typename T>
std::string nifti_file(const NiftiSpec& s, const std::vector<T>& voxels)
{
    Bytes data(voxels.size() * sizeof(T));
    for (std::size_t i = 0; i < voxels.size(); ++i) data.put(i * sizeof(T), voxels[i], s.swap);
    return nifti_header(s).text() + data.text();
}

inline void write_bytes(const std::filesystem::path& file, const std::string& content)
{
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << content;
}

/// One gzip member by zlib, as gzip(1) would write it.
[[nodiscard]] std::string gzip_member(const std::string& content);

}  // namespace qsmpi::test
