#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "nifti_bytes.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "volumes.hpp"

namespace qsmpi::io
{
namespace
{

using test::gzip_member;
using test::nifti_file;
using test::nifti_header;
using test::NiftiSpec;
using test::TemporaryFolder;
using test::write_bytes;

template <typename T>
class NiftiTypes : public ::testing::Test
{
};
template <typename T, int code>
struct Coded {
    using type = T;
    static constexpr int datatype = code;
};
using AllTypes = ::testing::Types<Coded<std::uint8_t, 2>, Coded<std::int8_t, 256>, Coded<std::int16_t, 4>,
                                  Coded<std::uint16_t, 512>, Coded<std::int32_t, 8>,
                                  Coded<std::uint32_t, 768>, Coded<std::int64_t, 1024>,
                                  Coded<std::uint64_t, 1280>, Coded<float, 16>, Coded<double, 64>>;
TYPED_TEST_SUITE(NiftiTypes, AllTypes);

TYPED_TEST(NiftiTypes, AreReadInBothByteOrdersBothVersionsRawAndScaledPlainAndCompressed)
{
    using T = typename TypeParam::type;
    std::vector<T> stored(60);
    std::iota(stored.begin(), stored.end(), T{3});
    stored[7] = std::is_signed_v<T> ? static_cast<T>(-100) : std::numeric_limits<T>::max();
    const TemporaryFolder folder;
    for (const bool two : {false, true}) {
        for (const bool swap : {false, true}) {
            for (const bool gz : {false, true}) {
                const NiftiSpec spec{
                    .datatype = TypeParam::datatype, .two = two, .swap = swap, .slope = 0.5, .inter = -2};
                const std::string content = nifti_file(spec, stored);
                const std::filesystem::path file = folder.path() + (gz ? "/a.nii.gz" : "/a.nii");
                write_bytes(file, gz ? gzip_member(content) : content);

                const NiftiHeader header = read_nifti_header(file);
                EXPECT_EQ(header.datatype, TypeParam::datatype);
                EXPECT_EQ(header.bytes_per_voxel, sizeof(T));
                EXPECT_EQ(header.byte_swapped, swap);
                EXPECT_TRUE(header.has_scaling);
                EXPECT_EQ(header.is_integer(), std::is_integral_v<T>);
                EXPECT_EQ(header.geometry.grid.dims, (Dims{3, 4, 5}));
                EXPECT_FALSE(looks_truncated(file, header));
                const VolumeF scaled = read_nifti(file, header),
                              raw = read_nifti(file, header, 0, Scaling::raw);
                for (std::size_t i = 0; i < stored.size(); ++i) {
                    ASSERT_EQ(raw[i], static_cast<float>(stored[i]));
                    ASSERT_EQ(scaled[i], static_cast<float>(0.5 * static_cast<double>(stored[i]) - 2.0));
                }
            }
        }
    }
}

TEST(Nifti, TakesSlopeZeroAndNanAsNoScaling)
{
    const TemporaryFolder folder;
    for (const double slope : {0.0, std::nan(""), 1.0}) {
        write_bytes(folder.path() + "/a.nii",
                    nifti_file(NiftiSpec{.datatype = 4, .slope = slope}, std::vector<std::int16_t>(60, 9)));
        const NiftiHeader header = read_nifti_header(folder.path() + "/a.nii");
        EXPECT_FALSE(header.has_scaling) << slope;
        EXPECT_EQ(read_nifti(folder.path() + "/a.nii", header)[59], 9.0f);
    }
}

TEST(Nifti, ReadsEveryVolumeOfAStackWithOneDecompression)
{
    std::vector<std::int16_t> stored(2 * 3 * 2 * 4);
    std::iota(stored.begin(), stored.end(), std::int16_t{0});
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/stack.nii.gz";
    write_bytes(file, gzip_member(nifti_file(
                          NiftiSpec{.dim = {2, 3, 2, 4}, .pixdim = {1, 1, 1, 0}, .datatype = 4}, stored)));
    const NiftiHeader header = read_nifti_header(file);
    ASSERT_EQ(header.n_volumes, 4u);
    const auto all = read_nifti_all(file, header);
    for (std::size_t v = 0; v < 4; ++v) {
        const VolumeF one = read_nifti(file, header, v);
        for (std::size_t i = 0; i < 12; ++i) {
            EXPECT_EQ(all[v][i], static_cast<float>(12 * v + i));
            EXPECT_EQ(one[i], all[v][i]);
        }
    }
    EXPECT_THROW((void)read_nifti(file, header, 4), InputError);
    EXPECT_THROW((void)read_image(file), InputError);
}

TEST(Nifti, JoinsTheMembersOfAGzipFileAndIgnoresWhatFollows)
{
    std::vector<float> stored(60);
    std::iota(stored.begin(), stored.end(), 0.5f);
    const std::string content = nifti_file(NiftiSpec{}, stored);
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii.gz";
    for (const std::size_t cut : {std::size_t{1}, std::size_t{200}, std::size_t{352}, std::size_t{500}}) {
        for (const std::string tail : {"", "garbage after the end"}) {
            write_bytes(file, gzip_member(content.substr(0, cut)) + gzip_member("") +
                                  gzip_member(content.substr(cut)) + tail);
            const NiftiHeader header = read_nifti_header(file);
            EXPECT_FALSE(looks_truncated(file, header)) << cut;
            EXPECT_EQ(read_nifti(file, header)[59], 59.5f) << cut;
        }
    }
}

TEST(Nifti, AcceptsMoreVoxelsThanTheHeaderSpeaksOfWhenTheChecksumIsRight)
{
    const std::string content =
        nifti_file(NiftiSpec{}, std::vector<float>(60, 2.5f)) + std::string(1000, 'x');
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii.gz";
    write_bytes(file, gzip_member(content));
    EXPECT_EQ(read_image(file).data[59], 2.5f);
    std::string damaged = gzip_member(content);
    damaged[damaged.size() - 6] ^= 1;  // the checksum
    write_bytes(file, damaged);
    EXPECT_THROW((void)read_image(file), InputError);
}

TEST(Nifti, EveryTruncationIsNoticedAndTheMessageCountsTheBytes)
{
    std::vector<float> stored(60);
    for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = std::sin(static_cast<float>(i));
    const std::string plain = nifti_file(NiftiSpec{}, stored), packed = gzip_member(plain);
    const TemporaryFolder folder;
    for (const bool gz : {false, true}) {
        const std::string& whole = gz ? packed : plain;
        const std::string file = folder.path() + (gz ? "/a.nii.gz" : "/a.nii");
        for (std::size_t n = 0; n < whole.size(); ++n) {
            write_bytes(file, whole.substr(0, n));
            try {
                const NiftiHeader header = read_nifti_header(file);
                // A gzip file that lacks but its checksum still has every voxel; reading it all the same
                // tells.
                if (!gz || n + 8 < whole.size()) {
                    EXPECT_TRUE(looks_truncated(file, header)) << n;
                }
                (void)read_nifti(file, header);
                ADD_FAILURE() << n << " of " << whole.size() << " bytes were accepted";
            } catch (const InputError& e) {
                EXPECT_NE(std::string(e.what()).find(file), std::string::npos);
                if (n > whole.size() - 100) {
                    EXPECT_NE(std::string(e.what()).find(gz && n + 8 >= whole.size() ? "checksum" : "592"),
                              std::string::npos)
                        << e.what();
                }
            }
        }
    }
}

TEST(Nifti, AFlippedBitInTheCompressedDataIsNoticed)
{
    std::vector<float> stored(60);
    for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = std::sin(static_cast<float>(i));
    const std::string packed = gzip_member(nifti_file(NiftiSpec{}, stored));
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii.gz";
    int n_harmless = 0;
    for (std::size_t i = 10; i < packed.size() - 4; ++i) {
        std::string damaged = packed;
        damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
        write_bytes(file, damaged);
        try {
            // A few bits of a Huffman table describe codes that never occur.
            const Image image = read_image(file);
            EXPECT_TRUE(std::equal(stored.begin(), stored.end(), image.data.begin())) << "byte " << i;
            ++n_harmless;
        } catch (const InputError&) {
        }
    }
    EXPECT_LE(n_harmless, 5);
}

TEST(Nifti, AnyHeaderByteMayBeWrongWithoutHarm)
{
    const std::string whole = nifti_file(NiftiSpec{.qform_code = 1}, std::vector<float>(60, 1.0f));
    const std::string two = nifti_file(NiftiSpec{.two = true, .qform_code = 1}, std::vector<float>(60, 1.0f));
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii";
    parallel::set_threads(1);
    for (const std::string& good : {whole, two}) {
        for (std::size_t i = 0; i < good.size() - 240; ++i) {
            for (const char value : {'\x7f', '\xff'}) {
                std::string bad = good;
                bad[i] = value;
                write_bytes(file, bad);
                try {
                    const Image image = read_image(file);
                    EXPECT_GT(image.data.size(), 0u);
                } catch (const InputError&) {
                } catch (const IoError&) {
                }
            }
        }
    }
}

TEST(Nifti, AbsurdHeadersAreNamedByFieldAndValue)
{
    const TemporaryFolder folder;
    const std::string file = folder.path() + "/a.nii";
    const auto message = [&](const NiftiSpec& spec) -> std::string {
        write_bytes(file, nifti_header(spec).text() + std::string(1000, '\0'));
        try {
            (void)read_nifti_header(file);
        } catch (const InputError& e) {
            return e.what();
        }
        return "accepted";
    };
    const auto has = [](const std::string& text, const std::string& part) {
        return text.find(part) != std::string::npos;
    };
    EXPECT_PRED2(has, message({.pixdim = {1, 0, 1}}), "pixdim[2] = 0");
    EXPECT_PRED2(has, message({.pixdim = {1, 1, -2}}), "pixdim[3] = -2");
    EXPECT_PRED2(has, message({.pixdim = {std::nan(""), 1, 1}}), "pixdim[1] = nan");
    EXPECT_PRED2(has, message({.dim = {0, 4, 5}}), "dim[1] = 0");
    EXPECT_PRED2(has, message({.dim = {3, -4, 5}}), "dim[2] = -4");
    EXPECT_PRED2(has, message({.dim = {32000, 32000, 32000}}), "dim[3] = 32000");
    EXPECT_PRED2(has, message({.datatype = 32}), "complex");
    EXPECT_PRED2(has, message({.datatype = 128}), "datatype = 128");
    EXPECT_PRED2(has, message({.slope = INFINITY}), "scl_slope = inf");
    EXPECT_PRED2(has, message({.sform = std::vector<double>(12, 0.0)}), "singular");
    const auto sheared = [&](double degrees) {
        const double t = degrees * std::numbers::pi / 180.0;
        return message({.sform = {std::cos(t), 0, 0, 0, 0, 1, 0, 0, std::sin(t), 0, 1, 0}});
    };
    EXPECT_PRED2(has, sheared(5), "sform (srow_x, y, z) = axes 1 and 3 at 85 degrees");
    EXPECT_PRED2(has, sheared(-45), "135 degrees");
    EXPECT_EQ(sheared(0.5), "accepted") << "headers round";
    EXPECT_PRED2(has, message({.qform_code = 1, .sform_code = 0, .qform = {std::nan(""), 0, 0, 0, 0, 0}}),
                 "qform");
    EXPECT_PRED2(has, message({.qform_code = 1, .sform_code = 0, .qform = {1, 1, 1, 0, 0, 0}}), "quatern_b, c, d) = 1, 1, 1");
    EXPECT_EQ(message({.qform_code = 0, .sform_code = 1, .qform = {1, 1, 1, 0, 0, 0}}), "accepted");
    EXPECT_EQ(message({.qform_code = 1, .sform_code = 0, .qform = {0.6, 0.8, 1e-3, 0, 0, 0}}), "accepted");
    write_bytes(file, "");
    EXPECT_THROW((void)read_nifti_header(file), InputError);
    EXPECT_THROW((void)read_nifti_header(folder.path() + "/none.nii"), IoError);
    EXPECT_THROW((void)read_nifti_header(folder.path()), IoError);
    // dim[4] and pixdim[4] of 0 are common and harmless.
    EXPECT_EQ(message({.dim = {3, 4, 5, 0}, .pixdim = {1, 1, 1, 0}}), "accepted");
}

Geometry odd_geometry()
{
    Geometry g;
    g.grid = {{5, 4, 3}, {0.5, 0.75, 2.0}};
    g.sform = {
        {{-0.49f, 0.01f, 0.003f, 91.3f}, {0.011f, 0.74f, -0.13f, -126.5f}, {-0.0f, 0.051f, 1.98f, -72.25f}}};
    g.qform = {0.01f, 0.99f, 0.03f, 91.3f, -126.5f, -72.25f};
    g.qfac = -1.0f;
    g.pixdim_mm = {0.5f, 0.75f, 2.0f};
    g.sform_code = 1;
    g.qform_code = 2;
    g.xyzt_units = 10;
    return g;
}

TEST(Nifti, WritesVoxelsAndGeometryVerbatim)
{
    const Geometry geometry = odd_geometry();
    const VolumeF volume = test::noise(geometry.grid, 1.0, 7);
    const TemporaryFolder folder;
    for (const std::string name : {"/new/folder/a.nii", "/a.nii.gz"}) {
        write_nifti(folder.path() + name, volume, geometry, "chi in ppm");
        const Image back = read_image(folder.path() + name);
        EXPECT_EQ(back.header.geometry, geometry);
        EXPECT_EQ(back.header.description, "chi in ppm");
        EXPECT_THAT(back.data, test::VolumeNear(&volume, 0.0));
    }
    Mask mask(geometry.grid, 0);
    mask[17] = 1;
    write_nifti(folder.path() + "/m.nii.gz", mask, geometry);
    const Mask back = read_mask(folder.path() + "/m.nii.gz");
    EXPECT_EQ(std::accumulate(back.begin(), back.end(), 0), 1);
    EXPECT_EQ(back[17], 1);
    EXPECT_THROW(write_nifti(folder.path() + "/b.nii", VolumeF(test::grid_of(2, 2, 2), 0.0f), geometry),
                 InputError);
}

TEST(Nifti, CompressedFilesAreOneGzipMemberWithTheSameBytesEachTime)
{
    Geometry geometry = odd_geometry();
    geometry.grid.dims = {40, 41, 42};
    const VolumeF volume = test::noise(geometry.grid, 1.0, 7);
    const TemporaryFolder folder;
    write_nifti(folder.path() + "/a.nii.gz", volume, geometry);
    parallel::set_threads(3);
    write_nifti(folder.path() + "/b.nii.gz", volume, geometry);
    write_nifti(folder.path() + "/c.nii", volume, geometry);
    const std::string a = read_file(folder.path() + "/a.nii.gz"), plain = read_file(folder.path() + "/c.nii");
    EXPECT_EQ(a, read_file(folder.path() + "/b.nii.gz"));
    EXPECT_EQ(a.substr(4, 4), std::string(4, '\0')) << "a time stamp";
    EXPECT_EQ(a[3], 0) << "no name, no comment";
    // gzip(1) is another implementation: it checks CRC and size.
    ASSERT_EQ(std::system(("gzip -dc " + folder.path() + "/a.nii.gz > " + folder.path() + "/d.nii").c_str()),
              0);
    EXPECT_EQ(read_file(folder.path() + "/d.nii"), plain);
}

TEST(Nifti, NibabelReadsWhatWeWriteAndWeReadWhatNibabelWrites)
{
    if (std::system("/usr/bin/python3 -c 'import nibabel' 2>/dev/null") != 0)
        GTEST_SKIP() << "no nibabel here";
    const TemporaryFolder folder;
    const Geometry geometry = odd_geometry();
    VolumeF volume(geometry.grid);
    for (std::size_t i = 0; i < volume.size(); ++i) volume[i] = static_cast<float>(i) - 7.5f;
    write_nifti(folder.path() + "/a.nii.gz", volume, geometry, "ours");
    // Voxel (1, 2, 0) is number 11. nibabel keeps header bytes 76..107 and 252..327 (pixdim, codes, quatern,
    // srow).
    const std::string script = R"(
import nibabel as nib, numpy as np, gzip, sys
d = sys.argv[1]
im = nib.load(d + '/a.nii.gz'); x = im.get_fdata()
assert x.shape == (5, 4, 3) and x[1, 2, 0] == 3.5 and x[4, 3, 2] == 51.5, x
assert np.allclose(im.affine[:3], [[-.49, .01, .003, 91.3], [.011, .74, -.13, -126.5], [0, .051, 1.98, -72.25]]), im.affine
assert im.header['qform_code'] == 2 and im.header['pixdim'][0] == -1 and im.header.get_xyzt_units() == ('mm', 'sec')
h = nib.Nifti1Header(); h.set_data_dtype(np.int16); h.set_slope_inter(.25, -3)
out = nib.Nifti1Image(np.asarray(x * 0 + 2), im.affine, h); out.to_filename(d + '/b.nii.gz')
nib.Nifti2Image(np.asfortranarray(x), im.affine).to_filename(d + '/c.nii')
)";
    write_bytes(folder.path() + "/check.py", script);
    ASSERT_EQ(std::system(("/usr/bin/python3 " + folder.path() + "/check.py " + folder.path()).c_str()), 0);
    const Image b = read_image(folder.path() + "/b.nii.gz"), c = read_image(folder.path() + "/c.nii");
    EXPECT_EQ(b.data[33], 2.0f);
    EXPECT_EQ(b.header.datatype, 4);
    EXPECT_THAT(c.data, test::VolumeNear(&volume, 0.0));
    EXPECT_EQ(c.header.geometry.sform, geometry.sform);
}

TEST(Nifti, ReadsTheRealFilesWithOddHeaders)
{
    const std::string data = QSMPI_SHARED_DATA "/data";
    if (!std::filesystem::exists(data)) GTEST_SKIP() << "no shared data here";
    const Image integer = read_image(data + "/phase-with-nan/int16.nii");
    EXPECT_EQ(integer.header.geometry.grid.dims, (Dims{11, 11, 11}));
    EXPECT_EQ(integer.header.datatype, 4);
    const NiftiHeader stack = read_nifti_header(data + "/phase-with-nan/phase_with_nan.nii.gz");
    EXPECT_EQ(stack.n_volumes, 2u);
    std::size_t n_nan = 0;
    for (const VolumeF& v : read_nifti_all(data + "/phase-with-nan/phase_with_nan.nii.gz", stack)) {
        for (const float x : v) n_nan += std::isnan(x) ? 1 : 0;
    }
    EXPECT_EQ(n_nan, 1280u);
    // Philips: slope and intercept give radians.
    const Image philips = read_image(
        data + "/dicom-philips-classic-brain-2echo/Ref/2001_WIP_fcMRI_Field_Mapping_cl_e1_ph.nii.gz");
    EXPECT_NEAR(*std::min_element(philips.data.begin(), philips.data.end()), -3.14159250, 1e-6);
    EXPECT_NEAR(*std::max_element(philips.data.begin(), philips.data.end()), 3.14049482, 1e-6);
}

}  // namespace
}  // namespace qsmpi::io
