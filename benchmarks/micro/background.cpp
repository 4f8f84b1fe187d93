// What do the background methods cost, and how near to the truth do they come?
//
// Usage: benchmark_background FIELD MASK TRUTH [--method NAME]... [--radius-mm X] [--threads 2] [--runs 3]
// NIfTI files in ppm; without --method all methods run. Prints one JSON object: for each method seconds, cost in F (one
// FFTW r2c + c2r pair, float, MEASURE plan, in place, of the mask's box padded by 12 mm, same threads) by the clock and by
// processor time, which a busy machine disturbs less (set OMP_WAIT_POLICY=passive); peak memory beyond the input in float
// volumes of the whole grid; error of the local field against the truth in the method's own mask, means removed, before
// and after remove_weak_harmonics(), and the part of the mask that it keeps, in percent.
#include <cmath>
#include <ctime>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <fftw3.h>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/background/weak_harmonics.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "timing.hpp"

namespace {

using namespace qsmpi;

/// Processor time of all threads.
double cpu_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// Seconds of one pair of FFTW's own transforms, by the clock (the least) and of the processor (the mean).
struct UnitF {
    double s, cpu_s;
};
UnitF measure_f(const Dims& d, int threads, int runs)
{
    fftwf_init_threads();
    fftwf_plan_with_nthreads(threads);
    numerics::Spectrum spectrum(d);
    auto* complex = reinterpret_cast<fftwf_complex*>(spectrum.data());
    auto* real = reinterpret_cast<float*>(spectrum.data());
    const int n[3] = {static_cast<int>(d.nz), static_cast<int>(d.ny), static_cast<int>(d.nx)};
    const fftwf_plan forward = fftwf_plan_dft_r2c(3, n, real, complex, FFTW_MEASURE);
    const fftwf_plan backward = fftwf_plan_dft_c2r(3, n, complex, real, FFTW_MEASURE);
    fftwf_plan_with_nthreads(1);  // the plans of the methods run in one thread each
    std::fill_n(real, 2 * spectrum.size(), 0.0F);
    benchmark::Timing timing;
    const double start_s = cpu_s();
    for (int i = 0; i < runs; ++i)
        timing.run([&] {
            fftwf_execute(forward);
            fftwf_execute(backward);
        });
    const double used_s = (cpu_s() - start_s) / runs;
    fftwf_destroy_plan(forward);
    fftwf_destroy_plan(backward);
    return {timing.quantile(0.0), used_s};
}

double kib_of(const std::string& key)
{
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == key + ":") {
            double value = 0.0;
            status >> value;
            return value;
        }
    return 0.0;
}

double error_percent(const VolumeF& found, const VolumeF& truth, const Mask& mask)
{
    double n = 0, sf = 0, st = 0, sff = 0, sft = 0, stt = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (mask[i] == 0) continue;
        const auto f = static_cast<double>(found[i]), t = static_cast<double>(truth[i]);
        n += 1;
        sf += f;
        st += t;
        sff += f * f;
        sft += f * t;
        stt += t * t;
    }
    const double vf = sff - sf * sf / n, vt = stt - st * st / n, cov = sft - sf * st / n;
    return 100.0 * std::sqrt((vf - 2.0 * cov + vt) / vt);
}

int run(const std::vector<std::string>& words)
{
    std::vector<std::string> files, names;
    int threads = 2, runs = 3;
    background::Problem problem;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const auto value = [&] {
            require(i + 1 < words.size(), words[i] + " wants a value");
            return words[++i];
        };
        if (words[i] == "--method")
            names.push_back(value());
        else if (words[i] == "--threads")
            threads = std::stoi(value());
        else if (words[i] == "--runs")
            runs = std::stoi(value());
        else if (words[i] == "--radius-mm")
            problem.max_radius_mm = std::stod(value());
        else
            files.push_back(words[i]);
    }
    require(files.size() == 3, "usage: benchmark_background FIELD MASK TRUTH [--method NAME]... [--radius-mm X] "
                               "[--threads 2] [--runs 3]");
    if (names.empty()) names = background::method_names();
    parallel::set_threads(threads);
    const io::Image field = io::read_image(files[0]);
    const Mask mask = io::read_mask(files[1]);
    const VolumeF truth = io::read_image(files[2]).data;
    problem.total_field_ppm = &field.data;
    problem.mask = &mask;
    problem.b0_direction_ijk = field.header.geometry.b0_direction_ijk();

    const Grid box{numerics::bounding_box(mask).dims, mask.grid().voxel_mm};
    const Grid padded = numerics::padded_grid(box, 12.0);
    const UnitF unit = measure_f(padded.dims, threads, 10);
    for (const std::size_t n : {padded.dims.nx, padded.dims.ny, padded.dims.nz, numerics::good_length(box.dims.nx),
                                numerics::good_length(box.dims.ny), numerics::good_length(box.dims.nz)})
        numerics::plan_lengths(n, n);
    nlohmann::json report{{"threads", threads}, {"f_s", unit.s}, {"f_cpu_s", unit.cpu_s},
                          {"padded", {padded.dims.nx, padded.dims.ny, padded.dims.nz}}};
    const double volume_kib = static_cast<double>(mask.size()) * 4.0 / 1024.0;
    for (const std::string& name : names) {
        benchmark::Timing timing;
        background::LocalField local;
        std::ofstream("/proc/self/clear_refs") << 5;  // the peak starts anew
        const double before_kib = kib_of("VmRSS");
        const double start_s = cpu_s();
        for (int i = 0; i < runs; ++i) timing.run([&] { local = background::method(name).run(problem); });
        const double used_s = (cpu_s() - start_s) / runs;
        const double peak_kib = kib_of("VmHWM") - before_kib;
        const double error = error_percent(local.local_field_ppm, truth, local.mask);
        background::remove_weak_harmonics(local);
        report["methods"][name] = {
            {"s", timing.json()},
            {"f", timing.quantile(0.0) / unit.s},
            {"f_cpu", used_s / unit.cpu_s},
            {"peak_volumes", peak_kib / volume_kib},
            {"iterations", local.iterations},
            {"relative_residual", local.relative_residual},
            {"error_percent", error},
            {"error_after_cleanup_percent", error_percent(local.local_field_ppm, truth, local.mask)},
            {"kept_percent", 100.0 * static_cast<double>(numerics::count(local.mask)) /
                                 static_cast<double>(numerics::count(mask))}};
        std::fprintf(stderr, "%s done\n", name.c_str());
    }
    std::cout << report.dump(1) << '\n';
    return 0;
}

}  // namespace

int main(int argc, char** argv)
{
    try {
        return run({argv + 1, argv + argc});
    } catch (const std::exception& e) {
        std::cerr << e.what() << '\n';
        return 2;
    }
}
