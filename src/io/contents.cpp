#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string_view>

#include "nifti_reader.hpp"
#include "phase_scaling.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/magnitude_scale.hpp"

namespace qsmpi::io
{

namespace
{

/// A volume with more non-finite voxels than this is taken for broken, not for masked.
constexpr double most_non_finite = 0.9;

struct Statistics {
    std::size_t n = 0, n_finite = 0;
    float low = std::numeric_limits<float>::infinity(), high = -std::numeric_limits<float>::infinity();
    Statistics& operator+=(const Statistics& o)
    {
        n += o.n;
        n_finite += o.n_finite;
        low = std::min(low, o.low);
        high = std::max(high, o.high);
        return *this;
    }
};

bool is_finite(float x)
{
    return std::abs(x) <= std::numeric_limits<float>::max();
}

Statistics statistics_of(const VolumeF& volume)
{
    return parallel::sum_blocks<Statistics>(volume.size(), [&](std::size_t begin, std::size_t end) {
        const float* const v = volume.data();
        Statistics s;
        float low = s.low, high = s.high;
        int n_finite = 0;
#pragma omp simd reduction(min : low) reduction(max : high) reduction(+ : n_finite)
        for (std::size_t i = begin; i < end; ++i) {
            const float x = v[i];
            const bool finite = is_finite(x);
            n_finite += finite ? 1 : 0;
            low = finite && x < low ? x : low;
            high = finite && x > high ? x : high;
        }
        s.n = end - begin;
        s.n_finite = static_cast<std::size_t>(n_finite);
        s.low = low;
        s.high = high;
        return s;
    });
}

/// One volume of one file, and what it is for.
struct Task {
    std::size_t i_echo;
    const ImageRef* ref;
    const char* what;
    bool is_phase;
    Statistics statistics;
    MagnitudeScale scale;  ///< of no phase
};

std::vector<Task> tasks_of(const Acquisition& a)
{
    std::vector<Task> tasks;
    for (std::size_t e = 0; e < a.echoes.size(); ++e) {
        const Echo& echo = a.echoes[e];
        for (const auto& [ref, what] :
             {std::pair{&echo.magnitude, "magnitude"}, std::pair{&echo.phase, "phase"},
              std::pair{&echo.real, "real part"}, std::pair{&echo.imaginary, "imaginary part"}}) {
            if (ref->present()) tasks.push_back({e, ref, what, ref == &echo.phase, {}, {}});
        }
    }
    return tasks;
}

/// Calls use(task, volume) for every task; each file is opened once, files in parallel. Failures become
/// findings.
template <typename Use>
void read_all(std::vector<Task>& tasks, const Acquisition& a, std::vector<Finding>& findings, Use&& use)
{
    std::map<fs::path, std::vector<Task*>> by_file;
    for (Task& task : tasks) by_file[task.ref->file].push_back(&task);
    std::vector<std::pair<const fs::path*, const std::vector<Task*>*>> files;
    for (const auto& [file, wanted] : by_file) files.emplace_back(&file, &wanted);
    std::vector<std::string> failures(files.size());
    const Vec3& voxel_mm = a.geometry.grid.voxel_mm;
    parallel::for_each_dynamic(files.size(), [&](std::size_t i) {
        try {
            const NiftiReader reader(*files[i].first, read_nifti_header(*files[i].first));
            for (Task* task : *files[i].second) {
                VolumeF volume = reader.volume(task->ref->i_volume);
                volume.set_voxel_mm(voxel_mm);
                task->statistics = statistics_of(volume);
                if (!task->is_phase) task->scale = scale_of(volume);
                use(*task, std::move(volume));
            }
        } catch (const Error& e) {
            failures[i] = e.what();
        }
    });
    for (const std::string& failure : failures) {
        if (!failure.empty()) findings.push_back({Severity::error, a.key, "", "", "", failure, ""});
    }
}

std::string percent(std::size_t part, std::size_t whole)
{
    return str(std::round(1000.0 * static_cast<double>(part) / static_cast<double>(whole)) / 10.0, " %");
}

bool is_error(const Finding& f)
{
    return f.severity == Severity::error;
}

bool has_error(const std::vector<Finding>& findings)
{
    return std::any_of(findings.begin(), findings.end(), is_error);
}

/// The same for all echoes, whose proportions are their decay.
int exponent_of_magnitudes(const std::vector<Task>& tasks)
{
    MagnitudeScale all;
    for (const Task& task : tasks) all += task.scale;
    return exponent_for(all);
}

/// Finite values, but all the same: an image that holds nothing.
bool holds_nothing(const Task& task)
{
    const Statistics& s = task.statistics;
    return s.n_finite > 0 && s.low == s.high && (s.low == 0.0f || task.is_phase);
}

/// @param dispensable  other echoes can do without this one
void judge(const Task& task, const std::string& key, bool dispensable, std::vector<Finding>& findings)
{
    const Statistics& s = task.statistics;
    const std::string file = task.ref->file.string();
    const std::size_t n_bad = s.n - s.n_finite;
    const std::string value = str(n_bad, " of ", s.n, " voxels");
    if (static_cast<double>(n_bad) > most_non_finite * static_cast<double>(s.n)) {
        findings.push_back({Severity::error, key, file, task.what, value,
                            percent(n_bad, s.n) + " of the voxels are NaN or infinite",
                            "convert the image again"});
    } else if (n_bad > 0) {
        findings.push_back({Severity::warning, key, file, task.what, value,
                            percent(n_bad, s.n) + " of the voxels are NaN or infinite: set to 0",
                            "leave them out by a mask"});
    }
    if (s.n_finite == 0) return;
    if (task.what == std::string_view("magnitude") && s.low < 0.0f && s.high <= 0.0f) {
        findings.push_back({Severity::error, key, file, task.what, str(s.low, "..", s.high), "no voxel is above zero, as a magnitude is",
                            "convert the image again, or name it by what it is"});
        return;
    }
    if (!holds_nothing(task)) return;
    const bool zeros = s.low == 0.0f;
    const std::string problem = zeros ? "all voxels are zero" : "all voxels are equal";
    findings.push_back({dispensable ? Severity::warning : Severity::error, key, file, task.what,
                        zeros ? "0" : str(s.low), problem + (dispensable ? ": the echo gets no weight" : ""),
                        "convert the image again"});
}

/// Pooled ranges hide an echo that was stored in another way than the rest: its own values are a full turn of that.
void refuse_mixed_scalings(const Acquisition& a, const std::vector<Task>& tasks, std::vector<Finding>& findings)
{
    Statistics all;
    for (const Task& task : tasks) all += task.statistics;
    const std::string pooled = convention_of_full_turn({all.low, all.high});
    for (const Task& task : tasks) {
        const Statistics& s = task.statistics;
        if (!(s.low < s.high)) continue;
        const std::string own = convention_of_full_turn({s.low, s.high});
        if (own.empty() || own == pooled) continue;
        findings.push_back({Severity::error, a.key, task.ref->file.string(), "phase", str(s.low, "..", s.high),
                            str("a full turn as ", own, ", but with all echoes the phase is ",
                                a.echoes[task.i_echo].phase_scaling.convention),
                            "store all echoes alike, or say Units in the sidecars"});
    }
}

/// Ranges are pooled over the echoes that share a convention: never per echo, which would break the
/// proportion to echo time.
void settle(Acquisition& a, const std::vector<Task>& tasks, std::vector<Finding>& findings)
{
    std::map<std::pair<std::string, bool>, std::pair<PhaseRange, std::vector<std::size_t>>> groups;
    std::map<std::pair<std::string, bool>, std::string> files;
    for (const Task& task : tasks) {
        const Statistics& s = task.statistics;
        if (!task.is_phase || !(s.low <= s.high)) continue;
        const PhaseScaling& scaling = a.echoes[task.i_echo].phase_scaling;
        const auto key = std::pair(scaling.convention, scaling.settled);
        auto& [range, echoes] = groups[key];
        // An echo that holds nothing tells nothing of its range, but is read by the same rule.
        const bool is_first = !(range.low < range.high);
        if (is_first || !holds_nothing(task)) {
            range.low = is_first ? s.low : std::min<double>(range.low, s.low);
            range.high = is_first ? s.high : std::max<double>(range.high, s.high);
        }
        echoes.push_back(task.i_echo);
        files.emplace(key, task.ref->file.string());
    }
    std::vector<Task> settled_by_range;
    for (const Task& task : tasks) {
        const PhaseScaling& scaling = a.echoes[task.i_echo].phase_scaling;
        if (task.is_phase && !scaling.settled && scaling.convention != "minmax") settled_by_range.push_back(task);
    }
    for (const auto& [key, group] : groups) {
        const auto& [range, echoes] = group;
        std::optional<PhaseProblem> problem, doubt;
        for (const std::size_t e : echoes)
            a.echoes[e].phase_scaling =
                settle_phase_scaling(a.echoes[e].phase_scaling, range, problem, doubt);
        const PhaseScaling& settled = a.echoes[echoes.front()].phase_scaling;
        if (problem)
            findings.push_back({Severity::error, a.key, files[key], problem->field, problem->value,
                                problem->problem, problem->remedy});
        if (doubt)
            findings.push_back({Severity::warning, a.key, files[key], doubt->field, doubt->value,
                                doubt->problem, doubt->remedy});
        if (!problem && settled.assumed && !key.second) {
            findings.push_back({Severity::warning, a.key, files[key], "Units", "missing",
                                str("phase taken as ", settled.convention, " (", settled.reason, ")"),
                                "say Units in the sidecar"});
        }
    }
    if (!has_error(findings)) refuse_mixed_scalings(a, settled_by_range, findings);
}

std::vector<Finding> judge_all(Acquisition& a, const std::vector<Task>& tasks, std::vector<Finding> findings)
{
    std::vector<bool> is_empty(a.echoes.size(), false);
    for (const Task& task : tasks) {
        if (holds_nothing(task)) is_empty[task.i_echo] = true;
    }
    const bool some_left = std::find(is_empty.begin(), is_empty.end(), false) != is_empty.end();
    for (const Task& task : tasks) {
        if (task.statistics.n > 0) judge(task, a.key, some_left, findings);
    }
    // Without every value a range says nothing.
    if (!has_error(findings)) settle(a, tasks, findings);
    if (const int exponent = exponent_of_magnitudes(tasks); exponent != 0)
        findings.push_back({Severity::warning, a.key, "", "magnitude", "",
                            str("multiplied by 2^", exponent, ", and S0 with it: its scale is beyond what is computed with"), ""});
    for (const Finding& f : findings) {
        const std::string text = (f.field.empty() ? "" : f.field + ": ") + f.problem;
        if (is_error(f) || std::find(a.warnings.begin(), a.warnings.end(), text) != a.warnings.end())
            continue;
        a.warnings.push_back(text);
    }
    return findings;
}

/// The volumes of one echo as they are stored.
struct StoredEcho {
    std::array<VolumeF, 4> parts;  ///< in the order of tasks_of()
};

/// real and imaginary become magnitude and angle, in place.
void to_polar(VolumeF& real, VolumeF& imaginary)
{
    parallel::for_blocks(real.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float re = real[i], im = imaginary[i];
            real[i] = std::sqrt(re * re + im * im);
            imaginary[i] = std::atan2(im, re);
        }
    });
}

/// Scales phase to radians and wraps it to [-pi, pi), keeping the bits of what is in range already; sets
/// voxels that are not finite in one of the two to 0 in both.
void to_wrapped_radians(VolumeF& phase, VolumeF& magnitude, const PhaseScaling& scaling)
{
    const bool scale = scaling.slope != 1.0 || scaling.intercept != 0.0;
    const double slope = scaling.slope, intercept = scaling.intercept;
    constexpr auto turn = static_cast<float>(units::two_pi), half_turn = static_cast<float>(units::pi);
    constexpr auto per_turn = static_cast<float>(1.0 / units::two_pi);
    parallel::for_blocks(phase.size(), [&](std::size_t begin, std::size_t end) {
        float* const v = phase.data();
        if (scale) {
            for (std::size_t i = begin; i < end; ++i)
                v[i] = static_cast<float>(static_cast<double>(v[i]) * slope + intercept);
        }
        for (std::size_t i = begin; i < end; ++i) {
            const float x = v[i];
            float y = x >= -half_turn && x < half_turn ? x : x - turn * std::floor(x * per_turn + 0.5f);
            y = y >= half_turn ? -half_turn : y;  // round-off
            y = y < -half_turn ? -half_turn : y;
            v[i] = is_finite(y) ? y : 0.0f;
            if (!is_finite(x) && !magnitude.empty()) magnitude[i] = 0.0f;
        }
        if (magnitude.empty()) return;
        float* const m = magnitude.data();
        for (std::size_t i = begin; i < end; ++i) {
            if (is_finite(m[i])) continue;
            m[i] = 0.0f;
            v[i] = 0.0f;
        }
    });
}

EchoData finish(StoredEcho stored, const Echo& echo, int exponent)
{
    auto& [magnitude, phase, real, imaginary] = stored.parts;
    for (VolumeF* part : {&magnitude, &real, &imaginary}) multiply_by_power_of_two(*part, exponent);
    if (phase.empty()) {
        require_same_grid(real, imaginary, "real and imaginary part");
        to_polar(real, imaginary);
        magnitude = std::move(real);
        phase = std::move(imaginary);
    }
    if (!magnitude.empty()) require_same_grid(magnitude, phase, "magnitude and phase");
    to_wrapped_radians(phase, magnitude, echo.phase_scaling);
    return {std::move(magnitude), std::move(phase)};
}

/// Position of a task's volume among StoredEcho::parts.
std::size_t part_index(const Task& task, const Acquisition& a)
{
    const Echo& echo = a.echoes[task.i_echo];
    return task.ref == &echo.magnitude ? 0 : task.ref == &echo.phase ? 1 : task.ref == &echo.real ? 2 : 3;
}

void throw_errors(const std::vector<Finding>& findings)
{
    std::string lines;
    for (const Finding& f : findings) {
        if (f.severity != Severity::error) continue;
        if (!lines.empty()) lines += '\n';
        lines += f.line();
    }
    require(lines.empty(), lines);
}

}  // namespace

std::vector<Finding> check_contents(Acquisition& acquisition)
{
    std::vector<Task> tasks = tasks_of(acquisition);
    std::vector<Finding> findings;
    read_all(tasks, acquisition, findings, [](const Task&, const VolumeF&) {});
    return judge_all(acquisition, tasks, std::move(findings));
}

std::vector<EchoData> read_echoes(Acquisition& acquisition)
{
    std::vector<Task> tasks = tasks_of(acquisition);
    std::vector<StoredEcho> stored(acquisition.echoes.size());
    std::vector<Finding> findings;
    read_all(tasks, acquisition, findings, [&](const Task& task, VolumeF volume) {
        stored[task.i_echo].parts[part_index(task, acquisition)] = std::move(volume);
    });
    throw_errors(judge_all(acquisition, tasks, std::move(findings)));
    const int exponent = exponent_of_magnitudes(tasks);
    std::vector<EchoData> out;
    for (std::size_t e = 0; e < stored.size(); ++e)
        out.push_back(finish(std::move(stored[e]), acquisition.echoes[e], exponent));
    return out;
}

EchoData read_echo(const Acquisition& acquisition, std::size_t i_echo)
{
    require(i_echo < acquisition.echoes.size(),
            str("read_echo: echo ", i_echo, " of ", acquisition.echoes.size(), " asked for"));
    const Echo& echo = acquisition.echoes[i_echo];
    require(echo.phase_scaling.settled, str(acquisition.key, ": the phase scaling of echo ", echo.number,
                                            " is not settled: check_contents() has to see all echoes first"));
    std::vector<Task> tasks = tasks_of(acquisition);
    std::erase_if(tasks, [&](const Task& task) { return task.i_echo != i_echo; });
    StoredEcho stored;
    std::vector<Finding> findings;
    read_all(tasks, acquisition, findings, [&](const Task& task, VolumeF volume) {
        stored.parts[part_index(task, acquisition)] = std::move(volume);
    });
    throw_errors(findings);
    return finish(std::move(stored), echo, 0);
}

}  // namespace qsmpi::io
