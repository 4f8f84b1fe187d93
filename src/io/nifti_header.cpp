#include "nifti_header.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "qsmpi/core/units.hpp"
#include "qsmpi/io/plausible.hpp"

namespace qsmpi::io
{

static_assert(std::endian::native == std::endian::little,
              "headers and voxels are written in the host's order");

HeaderError::HeaderError(const std::string& file, std::string field_, std::string value_,
                         std::string problem_, std::string remedy_)
    : InputError(str(file, ": ", field_, field_.empty() ? "" : " = ", value_, field_.empty() ? "" : ": ",
                     problem_, "; ", remedy_)),
      field(std::move(field_)),
      value(std::move(value_)),
      problem(std::move(problem_)),
      remedy(std::move(remedy_))
{
}

namespace
{

constexpr const char* convert_again = "convert the image again, or repair the header";

/// Fixed offsets of what we read (nifti1.h, nifti2.h).
struct Layout {
    std::size_t datatype, bitpix, dim, pixdim, vox_offset, slope, inter, description, qform_code, sform_code,
        qform, sform, xyzt_units;
};
constexpr Layout layout1{70, 72, 40, 76, 108, 112, 116, 148, 252, 254, 256, 280, 123};
constexpr Layout layout2{12, 14, 16, 104, 168, 176, 184, 240, 344, 348, 352, 400, 500};

class Fields
{
public:
    Fields(std::span<const std::byte> bytes, bool swap) : bytes_(bytes), swap_(swap) {}
    template <typename T>
    [[nodiscard]] T get(std::size_t offset) const
    {
        std::array<std::byte, sizeof(T)> raw;
        std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), sizeof(T), raw.begin());
        if (swap_) std::reverse(raw.begin(), raw.end());
        return std::bit_cast<T>(raw);
    }

private:
    std::span<const std::byte> bytes_;
    bool swap_;
};

std::size_t bytes_of_type(int datatype)
{
    switch (static_cast<NiftiType>(datatype)) {
        case NiftiType::uint8:
        case NiftiType::int8: return 1;
        case NiftiType::int16:
        case NiftiType::uint16: return 2;
        case NiftiType::int32:
        case NiftiType::uint32:
        case NiftiType::float32: return 4;
        case NiftiType::float64:
        case NiftiType::int64:
        case NiftiType::uint64: return 8;
    }
    return 0;
}

void check_type(int datatype, int bitpix, std::size_t bytes, const std::string& file)
{
    if (datatype == 32 || datatype == 1792) {
        throw HeaderError(file, "datatype", std::to_string(datatype), "complex voxels",
                          "split the image into part-mag and part-phase");
    }
    if (bytes == 0) {
        throw HeaderError(file, "datatype", std::to_string(datatype), "a type that is not read here",
                          "store 8 to 64 bit integers, or 32 or 64 bit floats");
    }
    if (bitpix != 0 && static_cast<std::size_t>(bitpix) != 8 * bytes) {
        throw HeaderError(file, "bitpix", std::to_string(bitpix), str("contradicts datatype ", datatype),
                          convert_again);
    }
}

/// Dimensions, with what is above dim[0] taken as 1.
std::array<std::size_t, 7> checked_dims(const std::array<std::int64_t, 8>& dim, std::size_t bytes_per_voxel,
                                        const std::string& file)
{
    if (dim[0] < 1 || dim[0] > 7) {
        throw HeaderError(file, "dim[0]", std::to_string(dim[0]), "expected 1 to 7 dimensions",
                          convert_again);
    }
    std::array<std::size_t, 7> out;
    out.fill(1);
    constexpr double too_many_bytes = 1e14;
    double total = static_cast<double>(bytes_per_voxel);
    for (std::size_t i = 1; i <= static_cast<std::size_t>(dim[0]); ++i) {
        // Some writers leave 0 in dimensions beyond the third that they do not use.
        if (dim[i] == 0 && i > 3) continue;
        total *= static_cast<double>(dim[i]);
        if (dim[i] < 1 || total > too_many_bytes) {
            throw HeaderError(file, str("dim[", i, "]"), std::to_string(dim[i]), "an absurd number of voxels",
                              convert_again);
        }
        out[i - 1] = static_cast<std::size_t>(dim[i]);
    }
    return out;
}

template <typename Real>
void read_geometry(const Fields& fields, const Layout& at, Geometry& geometry)
{
    const auto real = [&](std::size_t offset, std::size_t i) {
        return static_cast<float>(fields.get<Real>(offset + i * sizeof(Real)));
    };
    geometry.qfac = real(at.pixdim, 0);
    for (std::size_t i = 0; i < 3; ++i) geometry.pixdim_mm[i] = real(at.pixdim, i + 1);
    for (std::size_t i = 0; i < 6; ++i) geometry.qform[i] = real(at.qform, i);
    for (std::size_t i = 0; i < 12; ++i) geometry.sform[i / 4][i % 4] = real(at.sform, i);
}

double largest_width_mm(const Geometry& geometry)
{
    double largest = 0.0;
    for (int axis = 0; axis < 3; ++axis)
        largest = std::max(largest, static_cast<double>(geometry.grid.dims[axis]) * geometry.unit_mm() *
                                        static_cast<double>(geometry.pixdim_mm[static_cast<std::size_t>(axis)]));
    return largest;
}

/// Scanners have no sheared voxels: an sform that does was edited, or holds a registration, and says neither where B0 is
/// nor how far voxels are apart.
void check_right_angles(const Affine& a, const std::string& file)
{
    constexpr double most_shear_degrees = 1.0;
    for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = i + 1; j < 3; ++j) {
            double product = 0.0;
            for (const auto& row : a) product += row[i] * row[j];
            const double cosine = product / std::hypot(a[0][i], a[1][i], a[2][i]) / std::hypot(a[0][j], a[1][j], a[2][j]);
            const double angle = std::acos(std::clamp(cosine, -1.0, 1.0)) * 180.0 / units::pi;
            if (std::abs(angle - 90.0) <= most_shear_degrees) continue;
            throw HeaderError(file, "sform (srow_x, y, z)", str("axes ", i + 1, " and ", j + 1, " at ", angle, " degrees"),
                              "voxel axes at no right angle: the direction of B0 is not known",
                              "write the true orientation into the header, or resample to axes at right angles");
        }
    }
}

void check_geometry(const Geometry& geometry, const std::string& file)
{
    for (std::size_t i = 0; i < 3; ++i) {
        const float size = geometry.pixdim_mm[i];
        if (!(size > 0.0f) || !std::isfinite(size)) {
            throw HeaderError(file, str("pixdim[", i + 1, "]"), str(size), "voxel size must be above zero",
                              "write the true voxel size in mm into the header");
        }
        const double size_mm = static_cast<double>(size) * geometry.unit_mm();
        // Headers round: 20 may be stored as 20.000001.
        if (size_mm < 0.999 * smallest_voxel_mm || size_mm > 1.001 * largest_voxel_mm) {
            throw HeaderError(file, str("pixdim[", i + 1, "]"), str(size),
                              str("a voxel of ", size_mm, " mm, expected ", smallest_voxel_mm, " to ", largest_voxel_mm),
                              "check the unit of lengths (xyzt_units) and write the true voxel size");
        }
    }
    if (const double width_mm = largest_width_mm(geometry); width_mm < smallest_image_mm) {
        throw HeaderError(file, "pixdim", str(geometry.pixdim_mm[0], ", ", geometry.pixdim_mm[1], ", ", geometry.pixdim_mm[2]),
                          str("the whole image is ", width_mm, " mm wide, expected ", smallest_image_mm, " or more"),
                          "check the unit of lengths (xyzt_units) and write the true voxel size");
    }
    const std::array<float, 6>& q = geometry.qform;
    if (geometry.qform_code > 0 && !(std::hypot(q[0], q[1], q[2]) <= 1.0005F)) {
        throw HeaderError(file, "qform (quatern_b, c, d)", str(q[0], ", ", q[1], ", ", q[2]),
                          "no rotation: their squares sum to more than 1", "write the true orientation into the header");
    }
    const Affine a = geometry.affine();
    double columns = 1.0;
    bool finite = true;
    for (std::size_t c = 0; c < 3; ++c) columns *= std::hypot(a[0][c], a[1][c], a[2][c]);
    for (const auto& row : a) {
        for (const double x : row) finite = finite && std::isfinite(x);
    }
    // The ratio is the volume of the cell spanned by unit axes: 1 when orthogonal, 0 when singular.
    if (!finite || !(std::abs(determinant(a)) > 1e-3 * columns)) {
        throw HeaderError(
            file, geometry.sform_code > 0 ? "sform" : "qform", str("determinant ", determinant(a), " mm^3"),
            "the affine is singular or not finite", "write the true orientation into the header");
    }
    if (geometry.sform_code > 0) check_right_angles(a, file);
}

template <typename Real, typename Offset>
void read_scaling_and_offset(const Fields& fields, const Layout& at, std::size_t smallest,
                             NiftiHeader& header, const std::string& file)
{
    const auto slope = static_cast<double>(fields.get<Real>(at.slope));
    const auto inter = static_cast<double>(fields.get<Real>(at.inter));
    if (std::isinf(slope) || std::isinf(inter)) {
        throw HeaderError(file, "scl_slope", str(slope), "slope or intercept is infinite", convert_again);
    }
    if (slope != 0.0 && !std::isnan(slope)) {
        header.scl_slope = slope;
        header.scl_inter = std::isnan(inter) ? 0.0 : inter;
        header.has_scaling = header.scl_slope != 1.0 || header.scl_inter != 0.0;
    }
    const auto offset = static_cast<double>(fields.get<Offset>(at.vox_offset));
    if (offset == 0.0) {
        header.data_offset = smallest;
        return;
    }
    if (!(offset >= static_cast<double>(smallest)) || offset > 1e9) {
        throw HeaderError(file, "vox_offset", str(offset), str("expected ", smallest, " or more"),
                          convert_again);
    }
    header.data_offset = static_cast<std::size_t>(offset);
}

std::string text_at(std::span<const std::byte> bytes, std::size_t offset, std::size_t length)
{
    const char* const begin = reinterpret_cast<const char*>(bytes.data() + offset);
    return std::string(begin, ::strnlen(begin, length));
}

[[noreturn]] void throw_no_nifti(const std::string& file, const std::string& what, const std::string& remedy)
{
    throw HeaderError(file, "", "", what, remedy);
}

}  // namespace

NiftiHeader parse_nifti_header(std::span<const std::byte> bytes, const std::string& file)
{
    if (bytes.empty())
        throw_no_nifti(file, "the file is empty (0 bytes)", fetch_again);
    if (bytes.size() < nifti1_header_bytes) {
        throw_no_nifti(file, str("only ", bytes.size(), " bytes, a NIfTI header has 348"), fetch_again);
    }
    const auto first = Fields(bytes, false).get<std::int32_t>(0);
    const auto first_swapped = Fields(bytes, true).get<std::int32_t>(0);
    const bool two = first == 540 || first_swapped == 540;
    if (!two && first != 348 && first_swapped != 348) {
        throw_no_nifti(file, str("not a NIfTI file: its first number is ", first, ", expected 348 or 540"),
                       "store NIfTI-1 or NIfTI-2 (.nii, .nii.gz)");
    }
    const std::string magic = text_at(bytes, two ? 4 : 344, 4);
    if (magic == "ni1" || magic == "ni2")
        throw_no_nifti(file, "header of a .hdr/.img pair", "store a single .nii file");
    if (magic != (two ? "n+2" : "n+1")) {
        throw_no_nifti(file, "no NIfTI magic: Analyze 7.5, or damaged",
                       "convert it to NIfTI with its orientation");
    }
    if (two && bytes.size() < nifti2_header_bytes)
        throw_no_nifti(file, "the file ends within the header", convert_again);

    NiftiHeader header;
    header.byte_swapped = two ? first != 540 : first != 348;
    const Fields fields(bytes, header.byte_swapped);
    const Layout& at = two ? layout2 : layout1;

    header.datatype = fields.get<std::int16_t>(at.datatype);
    header.bytes_per_voxel = bytes_of_type(header.datatype);
    check_type(header.datatype, fields.get<std::int16_t>(at.bitpix), header.bytes_per_voxel, file);

    std::array<std::int64_t, 8> dim{};
    for (std::size_t i = 0; i < 8; ++i) {
        dim[i] = two ? fields.get<std::int64_t>(at.dim + 8 * i) : fields.get<std::int16_t>(at.dim + 2 * i);
    }
    const auto size = checked_dims(dim, header.bytes_per_voxel, file);
    header.n_volumes = size[3] * size[4] * size[5] * size[6];

    Geometry& geometry = header.geometry;
    geometry.grid.dims = {size[0], size[1], size[2]};
    if (two) {
        geometry.qform_code = static_cast<short>(fields.get<std::int32_t>(at.qform_code));
        geometry.sform_code = static_cast<short>(fields.get<std::int32_t>(at.sform_code));
        geometry.xyzt_units = static_cast<char>(fields.get<std::int32_t>(at.xyzt_units));
        read_geometry<double>(fields, at, geometry);
        read_scaling_and_offset<double, std::int64_t>(fields, at, 544, header, file);
    } else {
        geometry.qform_code = fields.get<std::int16_t>(at.qform_code);
        geometry.sform_code = fields.get<std::int16_t>(at.sform_code);
        geometry.xyzt_units = fields.get<char>(at.xyzt_units);
        read_geometry<float>(fields, at, geometry);
        read_scaling_and_offset<float, float>(fields, at, 352, header, file);
    }
    check_geometry(geometry, file);
    for (std::size_t i = 0; i < 3; ++i) {
        geometry.grid.voxel_mm[i] = static_cast<double>(geometry.pixdim_mm[i]) * geometry.unit_mm();
    }
    header.description = text_at(bytes, at.description, 80);
    return header;
}

std::array<std::byte, 352> encode_nifti_header(const Geometry& geometry, NiftiType type,
                                               const std::string& description)
{
    std::array<std::byte, 352> out{};
    const auto put = [&](std::size_t offset, auto value) {
        std::memcpy(out.data() + offset, &value, sizeof value);
    };
    put(0, std::int32_t{348});
    const Dims& dims = geometry.grid.dims;
    put(layout1.dim, std::int16_t{3});
    for (int axis = 0; axis < 3; ++axis) {
        require(dims[axis] <= 32767,
                str("write_nifti: ", dims[axis], " voxels along an axis; NIfTI-1 holds up to 32767"));
        put(layout1.dim + 2 + 2 * static_cast<std::size_t>(axis), static_cast<std::int16_t>(dims[axis]));
    }
    for (std::size_t i = 4; i < 8; ++i) put(layout1.dim + 2 * i, std::int16_t{1});

    put(layout1.datatype, static_cast<std::int16_t>(type));
    put(layout1.bitpix, static_cast<std::int16_t>(8 * bytes_of_type(static_cast<int>(type))));
    put(layout1.pixdim, geometry.qfac);
    for (std::size_t i = 0; i < 3; ++i) put(layout1.pixdim + 4 * (i + 1), geometry.pixdim_mm[i]);
    for (std::size_t i = 4; i < 8; ++i) put(layout1.pixdim + 4 * i, 1.0f);
    put(layout1.vox_offset, 352.0f);
    put(layout1.slope, 1.0f);
    put(layout1.inter, 0.0f);
    put(layout1.xyzt_units, geometry.xyzt_units);
    const std::string text = description.substr(0, 79);
    std::memcpy(out.data() + layout1.description, text.data(), text.size());
    put(layout1.qform_code, static_cast<std::int16_t>(geometry.qform_code));
    put(layout1.sform_code, static_cast<std::int16_t>(geometry.sform_code));
    put(layout1.qform, geometry.qform);
    put(layout1.sform, geometry.sform);
    std::memcpy(out.data() + 344, "n+1", 4);
    return out;
}

std::size_t expected_bytes(const NiftiHeader& header)
{
    return header.data_offset + header.geometry.grid.size() * header.n_volumes * header.bytes_per_voxel;
}

}  // namespace qsmpi::io
