// How long does one whole job take, NIfTI.gz in to NIfTI.gz out, stage by stage, and how much memory?
//
// Usage: benchmark_chain FOLDER [--threads 2] [--dims 192,224,192] [--voxel-mm 1] [--options '{"inversion":"rts"}']
// FOLDER keeps the simulated scan, so that a second call measures at once. Prints a table and, last, one JSON line.
// The unit F is one FFTW r2c + c2r pair, float, MEASURE plan, in place, of the padded grid with the same threads:
// it travels between machines.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <string>

#include <fftw3.h>
#include <nlohmann/json.hpp>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/pipeline/job.hpp"
#include "qsmpi/simulation/head.hpp"

namespace {

using namespace qsmpi;
namespace fs = std::filesystem;

double seconds_since(std::chrono::steady_clock::time_point start)
{
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Runs `body` in a forked process, so that its memory does not count in ours.
bool in_child(const std::function<void()>& body)
{
    const pid_t pid = fork();
    if (pid == 0) {
        int status = 0;
        try {
            body();
        } catch (const std::exception& e) {
            std::cerr << e.what() << '\n';
            status = 1;
        }
        _exit(status);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void simulate(const fs::path& folder, const simulation::HeadOptions& options)
{
    const simulation::Head head = simulation::simulate_head(options);
    io::Geometry geometry;
    geometry.grid = {options.dims, options.voxel_mm};
    geometry.sform_code = 1;
    for (std::size_t i = 0; i < 3; ++i) {
        geometry.sform[i][i] = static_cast<float>(options.voxel_mm[i]);
        geometry.pixdim_mm[i] = static_cast<float>(options.voxel_mm[i]);
    }
    const fs::path anat = folder / "bids/sub-01/anat";
    for (std::size_t e = 0; e < options.echo_times_s.size(); ++e) {
        const nlohmann::json sidecar{{"EchoTime", options.echo_times_s[e]},
                                     {"MagneticFieldStrength", options.b0_tesla},
                                     {"Units", "rad"}};
        for (const bool is_phase : {false, true}) {
            const std::string name = str("sub-01_echo-", e + 1, "_part-", is_phase ? "phase" : "mag", "_MEGRE");
            io::write_nifti(anat / (name + ".nii.gz"), is_phase ? head.phase_rad[e] : head.magnitude[e], geometry);
            io::write_file_atomic(anat / (name + ".json"), sidecar.dump(1));
        }
    }
    io::write_file_atomic(folder / "bids/dataset_description.json",
                          R"({"Name": "benchmark", "BIDSVersion": "1.9.0"})");
}

double measure_unit_f_seconds(const Grid& grid, int threads)
{
    const auto& d = grid.dims;
    const std::size_t n = 2 * (d.nx / 2 + 1) * d.ny * d.nz;
    AlignedBuffer<float> real(n);
    auto* spectrum = reinterpret_cast<fftwf_complex*>(real.data());
    fftwf_init_threads();
    fftwf_plan_with_nthreads(threads);
    const int nx = static_cast<int>(d.nx), ny = static_cast<int>(d.ny), nz = static_cast<int>(d.nz);
    fftwf_plan forward = fftwf_plan_dft_r2c_3d(nz, ny, nx, real.data(), spectrum, FFTW_MEASURE);
    fftwf_plan inverse = fftwf_plan_dft_c2r_3d(nz, ny, nx, spectrum, real.data(), FFTW_MEASURE);
    double best = 1e9;
    for (int i = 0; i < 12; ++i) {
        std::fill_n(real.data(), n, 0.5f);
        const auto start = std::chrono::steady_clock::now();
        fftwf_execute(forward);
        fftwf_execute(inverse);
        best = std::min(best, seconds_since(start));
    }
    return best;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        std::cerr << "usage: benchmark_chain FOLDER [--threads N] [--dims X,Y,Z] [--voxel-mm H] [--options JSON]\n";
        return 2;
    }
    const fs::path folder = argv[1];
    int threads = 2;
    simulation::HeadOptions head;
    head.dims = {192, 224, 192};
    head.voxel_mm = {1.0, 1.0, 1.0};
    pipeline::JobSpec spec;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string option = argv[i], value = argv[i + 1];
        if (option == "--threads") threads = std::stoi(value);
        if (option == "--voxel-mm") head.voxel_mm.fill(std::stod(value));
        if (option == "--dims") std::sscanf(value.c_str(), "%zu,%zu,%zu", &head.dims.nx, &head.dims.ny, &head.dims.nz);
        if (option == "--options") spec.options = nlohmann::json::parse(value).get<pipeline::ChainOptions>();
    }

    const fs::path f_file = folder / str("unit-f-", threads, ".txt"), wisdom = folder / "fftw.wisdom";
    const Grid grid{head.dims, head.voxel_mm};
    const Grid padded = numerics::padded_grid(grid, 16.0 * head.voxel_mm[0], 0.25);
    fs::create_directories(folder);
    const bool prepared = in_child([&] {
        parallel::set_threads(threads);
        if (!fs::exists(folder / "bids/dataset_description.json")) simulate(folder, head);
        numerics::load_wisdom(wisdom);
        if (numerics::plan_lengths(32, 2 * padded.dims.ny) > 0) numerics::save_wisdom(wisdom);
        fftwf_forget_wisdom();
        io::write_file_atomic(f_file, std::to_string(measure_unit_f_seconds(padded, threads)));
    });
    if (!prepared) return 1;
    const double f_seconds = std::stod(io::read_file(f_file));

    parallel::set_threads(threads);
    io::ScanReport report = io::scan_bids(folder / "bids");
    if (report.acquisitions.size() != 1) {
        for (const auto& finding : report.findings) std::cerr << finding.line() << '\n';
        return 1;
    }
    fs::remove_all(folder / "out");
    spec.acquisition = std::move(report.acquisitions.front());
    spec.output_dir = folder / "out";
    spec.input_hash = "benchmark";
    spec.wisdom_file = wisdom;
    spec.threads = threads;
    const auto start = std::chrono::steady_clock::now();
    const pipeline::JobResult result = pipeline::run_job(spec);
    const double total = seconds_since(start);
    if (result.state != "done") {
        std::cerr << result.message << '\n';
        return 1;
    }

    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const double peak_bytes = 1024.0 * static_cast<double>(usage.ru_maxrss);
    const double per_voxel = peak_bytes / static_cast<double>(grid.size());
    std::printf("| stage | seconds | F | share |\n| --- | --- | --- | --- |\n");
    nlohmann::json stages;
    for (const auto& [stage, seconds] : result.stage_seconds) {
        std::printf("| %s | %.2f | %.1f | %.0f %% |\n", stage.c_str(), seconds, seconds / f_seconds, 100 * seconds / total);
        stages[stage] = seconds / f_seconds;
    }
    std::printf("| whole job | %.2f | %.1f | |\n", total, total / f_seconds);
    std::printf("\n1 F = %.4f s on %zux%zux%zu with %d threads; peak %.2f GB = %.0f bytes a voxel\n", f_seconds,
                padded.dims.nx, padded.dims.ny, padded.dims.nz, threads, peak_bytes / 1e9, per_voxel);
    const nlohmann::json line{{"benchmark", "chain"}, {"dims", {head.dims.nx, head.dims.ny, head.dims.nz}},
                              {"threads", threads}, {"f_seconds", f_seconds}, {"total_seconds", total},
                              {"total_f", total / f_seconds}, {"stages_f", stages}, {"peak_bytes", peak_bytes},
                              {"peak_bytes_per_voxel", per_voxel},
                              {"estimate_bytes", pipeline::estimate_memory_bytes(spec.acquisition, spec.options)}};
    std::cout << line.dump() << '\n';
    return 0;
}
