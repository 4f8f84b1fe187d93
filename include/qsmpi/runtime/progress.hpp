#pragma once
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

namespace qsmpi::runtime {

/// Where a run stands, as the coordinator sees it.
struct Progress {
    std::size_t total = 0;
    std::size_t up_to_date = 0;   ///< done by an earlier run
    std::size_t done = 0;         ///< by this run
    std::size_t failed = 0;
    std::size_t running = 0;
    double elapsed_s = 0.0;
    double eta_s = -1.0;          ///< < 0: not known yet
    std::string job_line;         ///< not empty: a job has just ended, and this line tells how
    bool last = false;            ///< the run is over

    [[nodiscard]] std::size_t pending() const { return total - up_to_date - done - failed - running; }
};

/// "12/40 done, 2 running, 1 failed, 00:03:10 elapsed, about 00:07:20 left"
[[nodiscard]] std::string progress_line(const Progress& progress);

/// Turns progress into text. On a terminal one live line, rewritten in place, above which only failures are
/// kept; otherwise a line for every job that ends and one every `interval_s`. Copyable, for RunOptions::on_progress.
class ProgressPrinter {
public:
    ProgressPrinter(bool terminal, std::function<void(std::string_view)> write, double interval_s = 10.0);
    void operator()(const Progress& progress);

private:
    bool terminal_;
    std::function<void(std::string_view)> write_;
    double interval_s_;
    double written_s_ = -1e9;
    std::size_t width_ = 0;
};

}  // namespace qsmpi::runtime
