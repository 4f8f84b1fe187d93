#include "echoes.hpp"

#include <algorithm>
#include <numeric>

namespace qsmpi::relaxometry {

Echoes checked_echoes(const char* who, std::span<const VolumeF> magnitude, std::span<const double> echo_times_s,
                      const RelaxationOptions& options, std::size_t least_echoes)
{
    require(magnitude.size() >= least_echoes,
            str(who, ": ", magnitude.size(), " echoes given, at least ", least_echoes, " needed"));
    require(echo_times_s.size() == magnitude.size(),
            str(who, ": ", magnitude.size(), " echoes but ", echo_times_s.size(), " echo times"));
    require(options.noise_std >= 0.0 && std::isfinite(options.noise_std),
            str(who, ": noise standard deviation ", options.noise_std, " must not be negative"));
    require(options.max_r2star_per_s > 0.0 && std::isfinite(options.max_r2star_per_s),
            str(who, ": largest rate ", options.max_r2star_per_s, " 1/s must be positive"));
    const std::string grids = str(who, ": echoes");
    for (std::size_t k = 0; k < magnitude.size(); ++k) {
        require(echo_times_s[k] > 0.0 && std::isfinite(echo_times_s[k]),
                str(who, ": echo time ", echo_times_s[k], " s of echo ", k + 1, " must be positive"));
        require_same_grid(magnitude[0], magnitude[k], grids.c_str());
    }
    std::vector<std::size_t> order(magnitude.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return echo_times_s[a] < echo_times_s[b]; });
    Echoes echoes;
    for (const std::size_t k : order) {
        const auto time_s = static_cast<float>(echo_times_s[k]);
        require(echoes.n() == 0 || time_s > echoes.time_s.back(),
                str(who, ": two echoes have the echo time ", echo_times_s[k], " s"));
        echoes.magnitude.push_back(magnitude[k].data());
        echoes.time_s.push_back(time_s);
    }
    echoes.noise_std = static_cast<float>(options.noise_std);
    echoes.floor = static_cast<float>(floor_in_noise_std * options.noise_std);
    echoes.max_r2star_per_s = static_cast<float>(options.max_r2star_per_s);
    return echoes;
}

VolumeF t2star_s(const VolumeF& r2star_per_s, const VolumeF& s0, double longest_s)
{
    require(longest_s > 0.0, str("t2star_s: longest time ", longest_s, " s must be positive"));
    require_same_grid(r2star_per_s, s0, "t2star_s: R2* and S0");
    const auto longest = static_cast<float>(longest_s);
    VolumeF t2star(s0.grid());
    parallel::for_blocks(t2star.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float rate = r2star_per_s[i];
            const float time = rate * longest > 1.0f ? 1.0f / rate : longest;
            t2star[i] = s0[i] > 0.0f ? time : 0.0f;
        }
    });
    return t2star;
}

bool equally_spaced(std::span<const double> echo_times_s)
{
    if (echo_times_s.size() < 3) return false;
    std::vector<double> t(echo_times_s.begin(), echo_times_s.end());
    std::sort(t.begin(), t.end());
    const double mean = (t.back() - t.front()) / static_cast<double>(t.size() - 1);
    for (std::size_t k = 1; k < t.size(); ++k)
        if (std::abs(t[k] - t[k - 1] - mean) > 1e-3 * mean) return false;
    return mean > 0.0;
}

}  // namespace qsmpi::relaxometry
