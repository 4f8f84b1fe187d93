// How does Fft3::filter compare with FFTW's own threaded 3-D pair?
//
// Usage: benchmark_fft NX NY NZ [--data NX,NY,NZ] [--threads 2] [--runs 11] [--estimate]
// The grid is NX x NY x NZ; the data, as a rule smaller, are zero-padded to it. Prints one JSON object.
// The unit F is one FFTW r2c + c2r pair, float, MEASURE plan, in place, of the grid with the same threads. Runs of all
// forms take turns, so that a busy machine hurts them alike. Each form is checked against the FFTW pair first.
#include <cmath>
#include <complex>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>

#include <fftw3.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "timing.hpp"

namespace {

using namespace qsmpi;
using namespace qsmpi::numerics;

struct Request {
    Dims grid{216, 240, 216}, data{};
    int threads = 2, runs = 11;
    bool measure = true;
};

Request parse(const std::vector<std::string>& words)
{
    Request r;
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto value = [&] {
            require(i + 1 < words.size(), words[i] + " wants a value");
            return words[++i];
        };
        if (words[i] == "--threads")
            r.threads = std::stoi(value());
        else if (words[i] == "--runs")
            r.runs = std::stoi(value());
        else if (words[i] == "--estimate")
            r.measure = false;
        else if (words[i] == "--data")
            require(std::sscanf(value().c_str(), "%zu,%zu,%zu", &r.data.nx, &r.data.ny, &r.data.nz) == 3,
                    "--data wants NX,NY,NZ");
        else
            sizes.push_back(std::stoul(words[i]));
    }
    require(sizes.size() == 3,
            "usage: benchmark_fft NX NY NZ [--data NX,NY,NZ] [--threads 2] [--runs 11] [--estimate]");
    r.grid = {sizes[0], sizes[1], sizes[2]};
    if (r.data.size() == 0) r.data = r.grid;
    return r;
}

/// FFTW's own transform: in place, rows padded to the half spectrum.
class WholeTransform {
public:
    WholeTransform(const Dims& d, int threads) : d_(d), spectrum_(d)
    {
        fftwf_init_threads();
        fftwf_plan_with_nthreads(threads);
        const int n[3] = {static_cast<int>(d.nz), static_cast<int>(d.ny), static_cast<int>(d.nx)};
        auto* complex = reinterpret_cast<fftwf_complex*>(spectrum_.data());
        forward_ = fftwf_plan_dft_r2c(3, n, real(), complex, FFTW_MEASURE);
        backward_ = fftwf_plan_dft_c2r(3, n, complex, real(), FFTW_MEASURE);
    }
    ~WholeTransform()
    {
        fftwf_destroy_plan(forward_);
        fftwf_destroy_plan(backward_);
    }
    WholeTransform(const WholeTransform&) = delete;
    WholeTransform& operator=(const WholeTransform&) = delete;

    [[nodiscard]] float* real() { return reinterpret_cast<float*>(spectrum_.data()); }
    [[nodiscard]] std::size_t pitch() const { return 2 * spectrum_.half_x(); }
    [[nodiscard]] Spectrum& spectrum() { return spectrum_; }
    void load(const VolumeF& v)
    {
        std::fill_n(real(), 2 * spectrum_.size(), 0.0F);
        for (std::size_t z = 0; z < v.dims().nz; ++z)
            for (std::size_t y = 0; y < v.dims().ny; ++y)
                std::copy_n(&v(0, y, z), v.dims().nx, real() + pitch() * (y + d_.ny * z));
    }
    void forward() const { fftwf_execute(forward_); }
    void backward() const { fftwf_execute(backward_); }

private:
    Dims d_;
    Spectrum spectrum_;
    fftwf_plan forward_, backward_;
};

int run(const Request& r)
{
    parallel::set_threads(r.threads);
    const Grid grid{r.grid, {1, 1, 1}};
    WholeTransform whole(r.grid, r.threads);
    fftwf_plan_with_nthreads(1);
    if (r.measure)
        for (const std::size_t n : {r.grid.nx, r.grid.ny, r.grid.nz}) plan_lengths(n, n);
    const Fft3 fft(grid);
    const DipoleKernel dipole(grid, {0.6, 0.0, 0.8});
    Spectrum work(r.grid);
    VolumeF in(Grid{r.data, grid.voxel_mm}), out(in.grid());
    for (std::size_t i = 0; i < in.size(); ++i)
        in[i] = static_cast<float>((i * 2654435761U) % 1000) / 1000.0F - 0.5F;

    const TileBody multiply = [&](const Tile& t) {
        thread_local AlignedBuffer<float> factors;
        if (factors.size() != t.nz * Tile::width) factors = AlignedBuffer<float>(t.nz * Tile::width);
        dipole.tile(t, factors.data());
        t.multiply(factors.data());
    };
    const auto multiplier = dipole.multiplier();
    const std::map<std::string, std::function<void()>> forms{
        {"filter_tiles", [&] { fft.filter_tiles(in, out, multiply, work); }},
        {"filter_tiles_without_factors",
         [&] {
             fft.filter_tiles(
                 in, out, [](const Tile&) {}, work);
         }},
        {"filter_rows_multiplier", [&] { fft.filter(in, out, multiplier, work); }},
        {"forward_then_inverse", [&] {
             fft.forward(in, work);
             fft.inverse(work, out);
         }}};

    // The result is checked against the whole transform with the same kernel.
    whole.load(in);
    whole.forward();
    std::vector<float> row(work.half_x());
    for (std::size_t z = 0; z < r.grid.nz; ++z)
        for (std::size_t y = 0; y < r.grid.ny; ++y) {
            dipole.row(y, z, row.data());
            for (std::size_t x = 0; x < row.size(); ++x)
                whole.spectrum().row(y, z)[x] *= row[x] / static_cast<float>(grid.size());
        }
    whole.backward();
    forms.at("filter_tiles")();
    double error = 0, size = 0;
    for (std::size_t z = 0; z < r.data.nz; ++z)
        for (std::size_t y = 0; y < r.data.ny; ++y)
            for (std::size_t x = 0; x < r.data.nx; ++x) {
                const double expected =
                    static_cast<double>(whole.real()[x + whole.pitch() * (y + r.grid.ny * z)]);
                error += std::pow(static_cast<double>(out(x, y, z)) - expected, 2);
                size += expected * expected;
            }
    require(std::sqrt(error / size) < 1e-5,
            str("benchmark_fft: results differ by ", std::sqrt(error / size)));

    benchmark::Timing pair;
    std::map<std::string, benchmark::Timing> timings;
    for (int i = 0; i < r.runs; ++i) {
        whole.load(in);
        pair.run([&] {
            whole.forward();
            whole.backward();
        });
        for (const auto& [name, form] : forms) timings[name].run(form);
    }
    nlohmann::json report{{"grid", {r.grid.nx, r.grid.ny, r.grid.nz}},
                          {"data", {r.data.nx, r.data.ny, r.data.nz}},
                          {"threads", r.threads},
                          {"plans", r.measure ? "measure" : "estimate"},
                          {"relative_difference", std::sqrt(error / size)},
                          {"one_F", pair.json()}};
    for (const auto& [name, timing] : timings) {
        report[name] = timing.json();
        report[name]["in_F"] = timing.median() / pair.median();
    }
    std::cout << report.dump(1) << '\n';
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        return run(parse({argv + 1, argv + argc}));
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 2;
    }
}
