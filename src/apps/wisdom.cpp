#include "wisdom.hpp"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/numerics/fft.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;

void save(const fs::path& file)
{
    std::error_code error;  // if it stands, saving says why
    fs::create_directories(file.parent_path(), error);
    numerics::save_wisdom(file);
}

/// Model and features of the CPU: plans measured on one type are slow, or not the same, on another.
std::string cpu_model()
{
    std::ifstream in("/proc/cpuinfo");
    std::string model;
    for (std::string line; std::getline(in, line) && !line.empty();) {
        if (line.starts_with("model name") || line.starts_with("flags") || line.starts_with("Features") ||
            line.starts_with("CPU part"))
            model += line;
    }
    return model;
}

fs::path cache_file()
{
    fs::path folder;
    if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg == '/') folder = xdg;
    else if (const char* home = std::getenv("HOME"); home != nullptr && *home == '/') folder = fs::path(home) / ".cache";
    else return {};
    return folder / "qsmpi" / ("fftw-" + hash_of(cpu_model()).substr(0, 16) + ".wisdom");
}

}  // namespace

fs::path prepare_wisdom(const fs::path& output_dir, const std::vector<Dims>& sizes)
{
    const fs::path own = output_dir / ".qsmpi" / "fftw.wisdom";
    const fs::path cache = cache_file();
    // The chain crops to the brain and pads again: from a little under the smallest axis to twice the largest.
    std::size_t smallest = 0, largest = 0;
    for (const Dims& d : sizes) {
        const auto [low, high] = std::minmax({d.nx, d.ny, d.nz});
        smallest = smallest == 0 ? low : std::min(smallest, low);
        largest = std::max(largest, high);
    }
    const std::size_t from = numerics::good_length(std::max<std::size_t>(16, smallest - smallest / 4));
    const std::size_t to = numerics::good_length(std::max<std::size_t>(16, largest + largest * 6 / 10));

    bool cached = false;
    if (!cache.empty()) {
        try {
            cached = numerics::load_wisdom(cache);
        } catch (const IoError& e) {
            log::warn(str("the cache of FFT plans is not used: ", e.what()));
        }
    }
    const bool had_own = numerics::load_wisdom(own);
    const std::size_t n_measured = sizes.empty() ? 0 : numerics::plan_lengths(from, to);
    if (n_measured > 0) log::info(str("measured FFT plans for ", n_measured, " lengths"));
    if (n_measured > 0 || !had_own) save(own);
    if (!cache.empty() && (n_measured > 0 || !cached)) {
        try {
            save(cache);
        } catch (const IoError& e) {
            log::debug(str("the FFT plans are kept in the output folder only: ", e.what()));
        }
    }
    return own;
}

}  // namespace qsmpi::apps
