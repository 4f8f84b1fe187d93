// What do smoothing, distance, morphology, labelling and the ball's spectrum cost on a whole volume?
//
// Usage: benchmark_filters NX NY NZ [--threads 2] [--runs 11]
// The mask is an ellipsoid of 70 % of each axis with a shell of holes. Prints one JSON object, seconds for each
// operation. Each result is checked by a property that it must have.
#include <cmath>
#include <functional>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/filter.hpp"
#include "qsmpi/numerics/gradient.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "timing.hpp"

namespace {

using namespace qsmpi;
using namespace qsmpi::numerics;

int run(const std::vector<std::string>& words)
{
    std::vector<std::size_t> sizes;
    int threads = 2, runs = 11;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const bool is_option = words[i] == "--threads" || words[i] == "--runs";
        require(!is_option || i + 1 < words.size(), words[i] + " wants a value");
        if (!is_option)
            sizes.push_back(std::stoul(words[i]));
        else if (words[i++] == "--threads")
            threads = std::stoi(words[i]);
        else
            runs = std::stoi(words[i]);
    }
    require(sizes.size() == 3, "usage: benchmark_filters NX NY NZ [--threads 2] [--runs 11]");
    parallel::set_threads(threads);

    const Grid grid{{sizes[0], sizes[1], sizes[2]}, {1, 1, 1}};
    VolumeF volume(grid), gx(grid), gy(grid), gz(grid);
    Mask mask(grid);
    for (std::size_t z = 0, i = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x, ++i) {
                const auto part = [](std::size_t a, std::size_t n) {
                    return (2.0 * static_cast<double>(a) / static_cast<double>(n - 1) - 1.0) / 0.7;
                };
                const double r =
                    std::hypot(part(x, grid.dims.nx), part(y, grid.dims.ny), part(z, grid.dims.nz));
                const std::size_t random = i * 2654435761U % 1000;
                mask[i] = r <= 1.0 && !(r > 0.8 && random < 20);
                volume[i] = static_cast<float>(random) / 1000.0F;
            }
    VolumeF weight(grid);
    for (std::size_t i = 0; i < mask.size(); ++i) weight[i] = mask[i];

    const Fft3 fft(padded_grid(grid, 0.0, 0.125));
    Spectrum work(fft.grid().dims);
    VolumeF result;
    Mask region;
    const double mean = sum(volume) / static_cast<double>(volume.size());
    const auto near_mean = [&] {
        return std::abs(sum(result) / static_cast<double>(result.size()) - mean) < 0.01;
    };
    const auto smaller = [&] { return count(region) < count(mask); };
    const auto larger = [&] { return count(region) > count(mask); };

    struct Operation {
        std::string name;
        std::function<void()> body;
        std::function<bool()> is_right;
    };
    const std::vector<Operation> operations{
        {"gaussian_3mm", [&] { result = gaussian_smooth(volume, 3.0); }, near_mean},
        {"gaussian_10mm", [&] { result = gaussian_smooth(volume, 10.0); }, near_mean},
        {"gaussian_weighted_3mm", [&] { result = gaussian_smooth(volume, weight, 3.0); }, near_mean},
        {"box_mean_2", [&] { result = box_mean(volume, 2); }, near_mean},
        {"distance_inside", [&] { result = distance_inside_mm(mask); }, [&] { return sum(result) > 0.0; }},
        {"erode_2mm", [&] { region = erode(mask, 2.0); }, smaller},
        {"erode_12mm", [&] { region = erode(mask, 12.0); }, smaller},
        {"close_3mm", [&] { region = close(mask, 3.0); }, larger},
        {"fill_holes", [&] { region = fill_holes(mask); }, larger},
        {"largest_component", [&] { region = largest_component(mask); }, [&] { return !larger(); }},
        {"ball_spectrum_6mm", [&] { static_cast<void>(ball_spectrum(fft, 6.0, work)); }, [] { return true; }},
        {"gradient", [&] { gradient(volume, gx, gy, gz); }, [&] { return std::abs(sum(gx)) < 1.0; }},
        {"gradient_adjoint", [&] { gradient_adjoint(gx, gy, gz, volume); },
         [&] { return std::abs(sum(volume)) < 1.0; }},
        {"dot", [&] { static_cast<void>(dot(gx, gx)); }, [] { return true; }}};

    nlohmann::json report{{"grid", sizes}, {"threads", threads}};
    for (const Operation& operation : operations) {
        benchmark::Timing timing;
        for (int i = 0; i < runs; ++i) timing.run(operation.body);
        require(operation.is_right(), "benchmark_filters: wrong result of " + operation.name);
        report[operation.name] = timing.json();
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
