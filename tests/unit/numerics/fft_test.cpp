#include "qsmpi/numerics/fft.hpp"

#include <cmath>
#include <complex>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fftw3.h>
#include <gtest/gtest.h>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "volumes.hpp"

namespace qsmpi::numerics {
namespace {

using test::grid_of;
using test::noise;
using Cd = std::complex<double>;

/// The definition, term by term, in double: half spectrum of the volume padded to `d`.
std::vector<Cd> naive_dft(const VolumeF& v, const Dims& d)
{
    const auto turn = [](std::size_t k, std::size_t i, std::size_t n) {
        return static_cast<double>(k * i % n) / static_cast<double>(n);
    };
    std::vector<Cd> spectrum;
    for (std::size_t kz = 0; kz < d.nz; ++kz)
        for (std::size_t ky = 0; ky < d.ny; ++ky)
            for (std::size_t kx = 0; kx <= d.nx / 2; ++kx) {
                Cd s = 0;
                for (std::size_t z = 0; z < v.dims().nz; ++z)
                    for (std::size_t y = 0; y < v.dims().ny; ++y)
                        for (std::size_t x = 0; x < v.dims().nx; ++x)
                            s += static_cast<double>(v(x, y, z)) *
                                 std::polar(
                                     1.0,
                                     -2 * M_PI * (turn(kx, x, d.nx) + turn(ky, y, d.ny) + turn(kz, z, d.nz)));
                spectrum.push_back(s);
            }
    return spectrum;
}

double largest(const std::vector<Cd>& s)
{
    double m = 0;
    for (const auto& c : s) m = std::max(m, std::abs(c));
    return m;
}

class FftSizes : public testing::TestWithParam<Dims> {};

TEST_P(FftSizes, ForwardIsTheDefinitionOfTheTransform)
{
    const Dims d = GetParam();
    const VolumeF v = noise({d, {1, 1, 1}}, 1.0, 7);
    const Fft3 fft(v.grid());
    Spectrum s(d);
    fft.forward(v, s);

    const auto truth = naive_dft(v, d);
    // Float round-off of a transform of N noise values grows like eps log2(N) of the largest entry: 10 eps is ample.
    const double tolerance = 10 * 1.2e-7 * largest(truth);
    ASSERT_EQ(s.size(), truth.size());
    for (std::size_t i = 0; i < truth.size(); ++i)
        ASSERT_LE(std::abs(Cd(s.data()[i]) - truth[i]), tolerance) << i;
}

TEST_P(FftSizes, InverseUndoesForward)
{
    const Dims d = GetParam();
    const VolumeF v = noise({d, {1, 1, 1}}, 1.0, 8);
    const Fft3 fft(v.grid());
    Spectrum s(d);
    fft.forward(v, s);
    VolumeF back(v.grid());
    fft.inverse(s, back);
    EXPECT_THAT(back, test::VolumeNear(&v, 3e-6));  // values to 4, eps 1.2e-7, some 6 steps
}

INSTANTIATE_TEST_SUITE_P(OddAndEven, FftSizes,
                         testing::Values(Dims{8, 6, 4}, Dims{9, 7, 5}, Dims{10, 5, 8}, Dims{7, 18, 3},
                                         Dims{2, 2, 2}, Dims{1, 4, 3}, Dims{11, 1, 6}, Dims{34, 17, 2}),
                         [](const auto& size) {
                             const Dims& d = size.param;
                             return str("of", d.nx, "x", d.ny, "x", d.nz);
                         });

TEST(Fft, AgreesWithTheThreeDimensionalPlanOfFftw)
{
    const Dims d{48, 45, 50};
    const VolumeF v = noise({d, {1, 1, 1}}, 1.0, 9);
    const Fft3 fft(v.grid());
    Spectrum s(d);
    fft.forward(v, s);

    AlignedBuffer<float> in(d.size());
    AlignedBuffer<std::complex<float>> out(s.size());
    const auto plan = fftwf_plan_dft_r2c_3d(50, 45, 48, in.data(),
                                            reinterpret_cast<fftwf_complex*>(out.data()), FFTW_ESTIMATE);
    std::copy_n(v.data(), v.size(), in.data());
    fftwf_execute(plan);
    fftwf_destroy_plan(plan);
    double difference = 0, size = 0;
    for (std::size_t i = 0; i < s.size(); ++i) {
        difference += std::norm(Cd(s.data()[i]) - Cd(out.data()[i]));
        size += std::norm(Cd(out.data()[i]));
    }
    EXPECT_LT(std::sqrt(difference / size), 1e-6);  // two float transforms, each about 3e-7
}

TEST(Fft, KeepsTheEnergyOfParseval)
{
    const Dims d{30, 24, 27};
    const VolumeF v = noise({d, {1, 1, 1}}, 1.0, 10);
    const Fft3 fft(v.grid());
    Spectrum s(d);
    fft.forward(v, s);
    double in_space = 0, in_frequency = 0;
    for (const float x : v) in_space += static_cast<double>(x) * static_cast<double>(x);
    for (std::size_t i = 0; i < s.size(); ++i) {
        const std::size_t x = i % s.half_x();  // all columns but DC and Nyquist stand for two
        in_frequency += std::norm(Cd(s.data()[i])) * (x == 0 || x == 15 ? 1 : 2);
    }
    EXPECT_NEAR(in_frequency / static_cast<double>(d.size()) / in_space, 1.0, 1e-6);
}

TEST(Fft, PadsSmallerVolumesWithZerosAtTheFarEnd)
{
    const Dims small{9, 5, 6}, d{12, 10, 7};
    const VolumeF v = noise({small, {1, 1, 1}}, 1.0, 11);
    const Fft3 fft({d, {1, 1, 1}});
    Spectrum s(d);
    fft.forward(v, s);
    const auto truth = naive_dft(v, d);
    for (std::size_t i = 0; i < truth.size(); ++i)
        ASSERT_LE(std::abs(Cd(s.data()[i]) - truth[i]), 10 * 1.2e-7 * largest(truth)) << i;

    VolumeF back(Grid{{7, 6, 5}, {1, 1, 1}});  // crops on the way back, to yet another shape
    fft.inverse(s, back);
    for (std::size_t z = 0; z < 5; ++z)
        for (std::size_t y = 0; y < 6; ++y)
            for (std::size_t x = 0; x < 7; ++x)
                ASSERT_NEAR(back(x, y, z), y < 5 ? v(x, y, z) : 0.0F, 3e-6) << x << ' ' << y << ' ' << z;
}

/// Circular convolution with the filter's impulse response is what filter() must do.
void multiplier_by_hand(const Dims& d, std::size_t y, std::size_t z, float* factors)
{
    for (std::size_t x = 0; x <= d.nx / 2; ++x)
        factors[x] =
            1.0F / (1.0F + 0.1F * static_cast<float>(x + std::min(y, d.ny - y) + 2 * std::min(z, d.nz - z)));
}

TEST(Fft, FilterEqualsForwardMultiplyInverse)
{
    for (const Dims d : {Dims{40, 33, 18}, Dims{35, 16, 21}}) {
        const Dims in_dims{31, 16, 15}, out_dims{33, 12, 17};
        const VolumeF in = noise({in_dims, {1, 1, 1}}, 1.0, 12);
        const Fft3 fft({d, {1, 1, 1}});
        Spectrum s(d);

        VolumeF expected(Grid{out_dims, {1, 1, 1}}), rows(expected.grid()), tiles(expected.grid());
        fft.forward(in, s);
        fft.for_each_row(s, [&](std::size_t y, std::size_t z, std::complex<float>* row) {
            std::vector<float> f(d.nx / 2 + 1);
            multiplier_by_hand(d, y, z, f.data());
            for (std::size_t x = 0; x < f.size(); ++x) row[x] *= f[x];
        });
        fft.inverse(s, expected);

        fft.filter(
            in, rows, [&](std::size_t y, std::size_t z, float* f) { multiplier_by_hand(d, y, z, f); }, s);
        EXPECT_THAT(rows, test::VolumeNear(&expected, 1e-6));

        fft.filter_tiles(
            in, tiles,
            [&](const Tile& t) {
                std::vector<float> f(d.nx / 2 + 1), factors(t.nz * Tile::width, 0.0F);
                for (std::size_t z = 0; z < t.nz; ++z) {
                    multiplier_by_hand(d, t.y, z, f.data());
                    for (std::size_t j = 0; j < t.n_x; ++j) factors[z * Tile::width + j] = f[t.x0 + j];
                }
                t.multiply(factors.data());
            },
            s);
        EXPECT_THAT(tiles, test::VolumeNear(&rows, 0.0));
    }
}

TEST(Fft, FilterMayWriteOverItsInput)
{
    const Dims d{24, 20, 18};
    VolumeF v = noise({{20, 20, 13}, {1, 1, 1}}, 1.0, 13);
    const Fft3 fft({d, {1, 1, 1}});
    Spectrum s(d);
    VolumeF expected(v.grid());
    const auto multiplier = [&](std::size_t y, std::size_t z, float* f) { multiplier_by_hand(d, y, z, f); };
    fft.filter(v, expected, multiplier, s);
    fft.filter(v, v, multiplier, s);
    EXPECT_THAT(v, test::VolumeNear(&expected, 0.0));
}

TEST(Fft, RowsMadeOnTheFlyGiveTheResultOfTheVolume)
{
    const Dims d{24, 20, 18}, small{21, 17, 14};
    const VolumeF v = noise({small, {1, 1, 1}}, 1.0, 14);
    const Fft3 fft({d, {1, 1, 1}});
    Spectrum s(d);
    VolumeF expected(v.grid()), out(v.grid());
    const TileBody halve = [](const Tile& t) {
        for (std::size_t i = 0; i < t.nz * Tile::width; ++i) t.data[i] *= 0.5F;
    };
    fft.filter_tiles(v, expected, halve, s);
    fft.filter_rows(
        small, [&](std::size_t y, std::size_t z, float* row) { std::copy_n(&v(0, y, z), small.nx, row); },
        small,
        [&](std::size_t y, std::size_t z, const float* row) { std::copy_n(row, small.nx, &out(0, y, z)); },
        halve, s);
    EXPECT_THAT(out, test::VolumeNear(&expected, 0.0));
    for (std::size_t i = 0; i < v.size(); ++i) ASSERT_NEAR(out[i], 0.5F * v[i], 2e-6);
}

TEST(Fft, GivesTheSameBitsForAnyNumberOfThreads)
{
    const Grid grid = grid_of(50, 37, 29, {1, 1, 2});
    const VolumeF v = noise(grid_of(44, 33, 25, {1, 1, 2}), 1.0, 15);
    const int before = parallel::threads();
    VolumeF first;
    for (int n = 1; n <= 4; ++n) {
        parallel::set_threads(n);
        const Fft3 fft(grid);
        const DipoleKernel dipole(grid, {0.6, 0.0, 0.8});
        Spectrum s(grid.dims);
        VolumeF out(v.grid());
        fft.filter(v, out, dipole.multiplier(), s);
        if (n == 1)
            first = std::move(out);
        else
            EXPECT_EQ(std::memcmp(first.data(), out.data(), out.size() * sizeof(float)), 0)
                << n << " threads";
    }
    parallel::set_threads(before);
}

TEST(Fft, RefusesVolumesThatDoNotFitAndSpectraOfAnotherGrid)
{
    const Fft3 fft(grid_of(8, 8, 8));
    Spectrum s(Dims{8, 8, 8}), other(Dims{8, 8, 6});
    VolumeF large(grid_of(8, 9, 8), 0.0F), fits(grid_of(8, 8, 8), 0.0F);
    EXPECT_THROW(fft.forward(large, s), InputError);
    EXPECT_THROW(fft.inverse(s, large), InputError);
    EXPECT_THROW(fft.forward(fits, other), InputError);
}

TEST(GoodLength, IsTheSmallestEvenSmoothNumberNotBelow)
{
    for (const auto& [n, expected] : std::vector<std::pair<std::size_t, std::size_t>>{{1, 2},
                                                                                      {2, 2},
                                                                                      {11, 12},
                                                                                      {13, 14},
                                                                                      {97, 100},
                                                                                      {98, 100},
                                                                                      {99, 100},
                                                                                      {193, 200},
                                                                                      {211, 216},
                                                                                      {217, 224}})
        EXPECT_EQ(good_length(n), expected) << n;
}

TEST(Wisdom, SurvivesTheFileAndSparesMeasuring)
{
    const test::TemporaryFolder folder;
    const auto file = std::filesystem::path(folder.path()) / "wisdom";
    EXPECT_FALSE(load_wisdom(file));
    fftwf_forget_wisdom();
    EXPECT_EQ(plan_lengths(16, 20), 3U);  // 16, 18, 20
    EXPECT_EQ(plan_lengths(16, 20), 0U);
    save_wisdom(file);
    fftwf_forget_wisdom();
    EXPECT_TRUE(load_wisdom(file));
    EXPECT_EQ(plan_lengths(16, 20), 0U);
    fftwf_forget_wisdom();
    // No temporary file stays behind.
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(Wisdom, OfAnotherFftwIsIgnoredAndAnUnwritableFolderIsAnError)
{
    const test::TemporaryFolder folder;
    const auto file = std::filesystem::path(folder.path()) / "wisdom";
    std::ofstream(file) << "(fftw-2.1 nonsense)";
    EXPECT_FALSE(load_wisdom(file));
    EXPECT_THROW(save_wisdom(std::filesystem::path(folder.path()) / "absent" / "wisdom"), IoError);
    EXPECT_THROW(load_wisdom(folder.path()), IoError);
}

}  // namespace
}  // namespace qsmpi::numerics
