#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <vector>

#include <nlohmann/json.hpp>

namespace qsmpi::benchmark {

/// Seconds of repeated runs of one thing.
class Timing {
public:
    void run(const std::function<void()>& body)
    {
        const auto start = std::chrono::steady_clock::now();
        body();
        seconds_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    [[nodiscard]] double quantile(double q) const
    {
        auto sorted = seconds_;
        std::sort(sorted.begin(), sorted.end());
        return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
    }
    [[nodiscard]] double median() const { return quantile(0.5); }
    [[nodiscard]] nlohmann::json json() const
    {
        return {{"median_s", quantile(0.5)},
                {"least_s", quantile(0.0)},
                {"quartiles_s", {quantile(0.25), quantile(0.75)}}};
    }

private:
    std::vector<double> seconds_;
};

}  // namespace qsmpi::benchmark
