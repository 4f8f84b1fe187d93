#include "qsmpi/runtime/progress.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime {
namespace {

std::string clock_text(double seconds)
{
    const long s = std::lround(std::max(0.0, seconds));
    char text[48];
    std::snprintf(text, sizeof text, "%02ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    return text;
}

}  // namespace

std::string progress_line(const Progress& p)
{
    std::string line = str(p.up_to_date + p.done, "/", p.total, " done, ", p.running, " running, ", p.failed, " failed, ",
                           clock_text(p.elapsed_s), " elapsed");
    if (!p.last && p.eta_s >= 0) line += str(", about ", clock_text(p.eta_s), " left");
    return line;
}

ProgressPrinter::ProgressPrinter(bool terminal, std::function<void(std::string_view)> write, double interval_s)
    : terminal_(terminal), write_(std::move(write)), interval_s_(interval_s)
{
}

void ProgressPrinter::operator()(const Progress& progress)
{
    std::string line = progress_line(progress);
    if (!terminal_) {
        if (!progress.job_line.empty()) write_(progress.job_line + "\n");
        if (progress.last || progress.elapsed_s - written_s_ >= interval_s_) {
            written_s_ = progress.elapsed_s;
            write_(line + "\n");
        }
        return;
    }
    // Overwrite the live line with blanks rather than with control sequences: any terminal can do that.
    const std::size_t width = line.size();
    if (width < width_) line.append(width_ - width, ' ');
    const bool keep = progress.job_line.find(" failed") != std::string::npos;
    if (keep) {
        std::string job = progress.job_line;
        if (job.size() < width_) job.append(width_ - job.size(), ' ');
        write_("\r" + job + "\n");
    }
    width_ = width;
    write_("\r" + line + (progress.last ? "\n" : ""));
}

}  // namespace qsmpi::runtime
