#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <map>
#include <optional>

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "chain_arguments.hpp"
#include "cli.hpp"
#include "commands.hpp"
#include "content_check.hpp"
#include "group_level.hpp"
#include "image_arguments.hpp"
#include "qsmpi/comm/communicator.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/mask/expression.hpp"
#include "qsmpi/pipeline/job.hpp"
#include "qsmpi/runtime/progress.hpp"
#include "qsmpi/runtime/run.hpp"
#include "run_checks.hpp"
#include "run_report.hpp"
#include "wisdom.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct RunArguments {
    std::string bids, out, level = "participant", filter_file, check = "full", shard = "0/1", log_level = "info", report_file;
    double memory_limit_gib = 0.0;
    bool dry_run = false, no_progress = false;
    PhaseUnits phase_units;
    io::ScanOptions scan;
    ChainArguments chain;
    runtime::RunOptions run;
};

CommandLine command_line(RunArguments& a)
{
    CommandLine c("run", "reconstruct susceptibility maps for every scan of a BIDS data set",
                  "BIDS_DIR OUT_DIR [participant|group] [options]",
                  "mpirun -np 65 qsmpi run /data/ds01 /scratch/qsm --participant-label 01 02");
    c.positional("BIDS_DIR", a.bids, "data set with multi-echo or single-echo gradient-echo scans, magnitude and phase");
    c.positional("OUT_DIR", a.out, "folder of the results; a second run does only what is missing or has changed");
    c.optional_positional("participant|group", a.level,
                          "participant (default): maps; group: contact sheet and list of all maps in OUT_DIR");
    c.group("Selection");
    c.list("participant-label", "LABEL ...", a.scan.subjects, "only these subjects, with or without 'sub-'");
    c.list("session-label", "LABEL ...", a.scan.sessions, "only these sessions");
    c.list("acq-label", "LABEL ...", a.scan.acquisitions, "only these acquisitions");
    c.list("run-label", "LABEL ...", a.scan.runs, "only these runs");
    c.option("bids-filter-file", "FILE", a.filter_file, "JSON of further filters, as other BIDS apps read it");
    c.option("n-echoes", "N", a.scan.n_echoes, "use the first N echoes; 0: all");
    c.group("Input");
    c.option("b0-tesla", "X", a.scan.b0_tesla, "field strength where sidecars have none, tesla; 0: an error then");
    a.phase_units.add_to(c);
    c.option("check", "WORD", a.check, "before anything runs: full (every voxel is read) | headers (names, sidecars, headers)");
    a.chain.add_to(c);
    c.group("Execution");
    c.option("threads-per-job", "N", a.run.threads_per_job, "threads of a job; 0: chosen from cores and number of jobs");
    c.option("max-jobs", "N", a.run.max_jobs, "jobs at a time on one node; 0: as cores and memory allow");
    c.option("memory-limit-gib", "X", a.memory_limit_gib, "memory for all jobs on one node, GiB; 0: what the node reports");
    c.option("deadline-s", "X", a.run.deadline_s,
             "seconds from now after which no job starts, nor one that would end later; then exit code 75; 0: none");
    c.option("job-timeout-s", "X", a.run.job_timeout_s, "a job is ended after so many seconds; 0: only far outliers are");
    c.option("max-attempts", "N", a.run.max_attempts, "times that a job is tried that crashes, hangs or is killed");
    c.option("shard", "I/N", a.shard, "do only part I (from 0) of N, for array jobs on one OUT_DIR");
    c.flag("force", a.run.force, "run jobs again that are done");
    c.group("Reports");
    c.flag("dry-run", a.dry_run, "print what becomes of every image and stop; empty image files are planned by name");
    c.option("report-json", "FILE", a.report_file, "write plan and findings for machines");
    c.option("log-level", "LEVEL", a.log_level, "error | warning | info | debug");
    c.flag("no-progress", a.no_progress, "no live line and no lines for jobs");
    c.with_config_files();
    c.closing(mask::expression_help() + "\n\n"
        "Exit codes: 0 all done, 1 some scans refused or jobs failed, 2 usage, 3 nothing can be run, 4 I/O, 70 bug,\n"
        "75 interrupted or out of time: run again to finish. The same number is the last thing written, to OUT_DIR/status.\n"
        "What was done with each scan, for a paper, and references: OUT_DIR/methods.txt");
    return c;
}

void take_shard(const std::string& text, runtime::RunOptions& run)
{
    const std::size_t slash = std::min(text.find('/'), text.size());
    const auto number = [&](std::size_t begin, std::size_t end, int& value) {
        const auto [last, error] = std::from_chars(text.data() + begin, text.data() + end, value);
        return error == std::errc{} && last == text.data() + end;
    };
    if (slash == text.size() || !number(0, slash, run.shard_index) || !number(slash + 1, text.size(), run.shard_count) ||
        run.shard_count < 1 || run.shard_index < 0 || run.shard_index >= run.shard_count)
        throw UsageError(str("--shard: '", text, "' is not I/N with I from 0 to N-1"));
}

/// What the options mean together. @throws UsageError
void settle(RunArguments& a)
{
    const auto one_of = [](const char* option, const std::string& value, std::initializer_list<const char*> words) {
        if (std::find(words.begin(), words.end(), value) != words.end()) return;
        std::string list;
        for (const char* w : words) list += (list.empty() ? "" : ", ") + std::string(w);
        throw UsageError(str(option, ": '", value, "' is not one of ", list));
    };
    one_of("analysis level", a.level, {"participant", "group"});
    one_of("--check", a.check, {"full", "headers"});
    one_of("--log-level", a.log_level, {"error", "warning", "info", "debug"});
    a.phase_units.check();
    a.scan.phase_units = a.phase_units.word;
    if (a.scan.b0_tesla != 0.0) require_plausible_b0(a.scan.b0_tesla);
    const auto not_negative = [](const char* option, double value) {
        if (value < 0.0) throw UsageError(str(option, ": ", value, " is negative"));
    };
    not_negative("--memory-limit-gib", a.memory_limit_gib);
    not_negative("--deadline-s", a.run.deadline_s);
    not_negative("--job-timeout-s", a.run.job_timeout_s);
    not_negative("--n-echoes", a.scan.n_echoes);
    not_negative("--threads-per-job", a.run.threads_per_job);
    not_negative("--max-jobs", a.run.max_jobs);
    if (a.run.max_attempts < 1) throw UsageError("--max-attempts: at least 1");
    take_shard(a.shard, a.run);
    const auto bare = [](std::vector<std::string>& labels, const std::string& prefix) {
        for (std::string& l : labels) {
            if (l.starts_with(prefix)) l.erase(0, prefix.size());
        }
    };
    bare(a.scan.subjects, "sub-");
    bare(a.scan.sessions, "ses-");
    bare(a.scan.acquisitions, "acq-");
    bare(a.scan.runs, "run-");
    a.scan.filter_file = a.filter_file;
    a.run.output_dir = fs::absolute(a.out).lexically_normal();
    a.run.child_command = {fs::read_symlink("/proc/self/exe").string(), "job"};
    a.run.memory_limit_bytes = static_cast<std::uint64_t>(a.memory_limit_gib * 1024.0 * 1024.0 * 1024.0);
    log::set_level(log::level_from(a.log_level));
}

void write_report(const RunArguments& a, const RunReport& report)
{
    if (a.report_file.empty()) return;
    const std::string text = report_json(report).dump(1, ' ', false, nlohmann::json::error_handler_t::replace);  // names may be no UTF-8
    io::write_file_atomic(a.report_file, text + "\n");
}

bool has_error(const std::vector<io::Finding>& findings)
{
    return std::any_of(findings.begin(), findings.end(), [](const io::Finding& f) { return f.severity == io::Severity::error; });
}

int dry_run(const RunArguments& a, const pipeline::ChainOptions& options)
{
    io::ScanOptions by_name = a.scan;
    by_name.open_images = false;
    io::ScanReport scan = io::scan_bids(a.bids, by_name);
    if (!all_empty(a.bids, scan.images)) scan = io::scan_bids(a.bids, a.scan);
    RunReport report{{}, scan.images, scan.findings, options};
    for (const io::Acquisition& acquisition : scan.acquisitions) {
        const auto findings = check_option_files(acquisition, options);
        report.findings.insert(report.findings.end(), findings.begin(), findings.end());
        add_plan(report, acquisition);
    }
    add_refusals(report, scan.refused);
    const bool any_fit = std::any_of(report.jobs.begin(), report.jobs.end(), [](const PlannedJob& j) { return j.refusal.empty(); });
    std::cout << plan_text(report) << std::flush;
    std::cerr << findings_text(report.findings);
    write_report(a, report);
    if (!any_fit) return exit_input;
    return has_error(report.findings) ? exit_some_failed : exit_done;
}

/// Keeps the scans of this shard only: the others are checked and recorded by theirs.
void keep_own_shard(io::ScanReport& scan, const runtime::RunOptions& run)
{
    if (run.shard_count == 1) return;
    const auto is_other = [&](const std::string& key) { return runtime::shard_of(key, run.shard_count) != run.shard_index; };
    std::erase_if(scan.acquisitions, [&](const io::Acquisition& a) { return is_other(a.key); });
    std::erase_if(scan.refused, is_other);
    std::erase_if(scan.findings, [&](const io::Finding& f) { return !f.acquisition.empty() && is_other(f.acquisition); });
}

std::vector<fs::path> check_caches(const fs::path& folder)
{
    std::vector<fs::path> files;
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(folder, absent)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("checked") && name.ends_with(".jsonl")) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::string shard_suffix(const runtime::RunOptions& run)
{
    return run.shard_count > 1 ? str('.', run.shard_index, "-of-", run.shard_count) : "";
}

void write_status(const RunArguments& a, int code)
{
    io::write_file_atomic(a.run.output_dir / ("status" + shard_suffix(a.run)), str(code, "\n"));
}

/// For a job script, which may see no exit code (mpirun with recovery hides it). Another run's status is left alone.
void leave_status(const RunArguments& a, int code)
{
    if (a.dry_run || !fs::is_directory(a.run.output_dir) || fs::exists(a.run.output_dir / "status")) return;
    try {
        write_status(a, code);
    } catch (const Error&) {
        return;  // what went wrong was said already
    }
}

volatile std::sig_atomic_t asked_to_stop = 0;

/// Before jobs run, USR1 (out of time soon) must not kill us: we end with 75 as soon as we can.
class StopBeforeJobs {
public:
    StopBeforeJobs() : before_(std::signal(SIGUSR1, [](int) { asked_to_stop = 1; })) {}
    ~StopBeforeJobs() { std::signal(SIGUSR1, before_); }
    StopBeforeJobs(const StopBeforeJobs&) = delete;
    StopBeforeJobs& operator=(const StopBeforeJobs&) = delete;

private:
    void (*before_)(int);
};

/// What rank 0 gives to the runtime.
struct Work {
    std::vector<runtime::Job> jobs;  ///< refused ones too: they are recorded
    std::map<std::string, pipeline::JobSpec> specs;
    bool some_refused = false;
};

/// Scan, check, plan. Nothing if there is nothing to run or to record; the exit code then is exit_input.
std::optional<Work> prepare(const RunArguments& a, const pipeline::ChainOptions& options)
{
    io::ScanReport scan = io::scan_bids(a.bids, a.scan);
    keep_own_shard(scan, a.run);
    const fs::path own = a.run.output_dir / ".qsmpi";
    auto checked = check_acquisitions(std::move(scan.acquisitions),
                                      a.check == "full" ? CheckDepth::full : CheckDepth::headers,
                                      own / ("checked" + shard_suffix(a.run) + ".jsonl"), check_caches(own));
    RunReport report{{}, std::move(scan.images), std::move(scan.findings), options};
    Work work;
    std::vector<Dims> sizes;
    for (CheckedAcquisition& c : checked) {
        const auto wrong = check_option_files(c.acquisition, options);
        c.findings.insert(c.findings.end(), wrong.begin(), wrong.end());
        add_plan(report, c.acquisition);
        report.findings.insert(report.findings.end(), c.findings.begin(), c.findings.end());
        if (!c.refused()) sizes.push_back(c.acquisition.geometry.grid.dims);
    }
    const auto refusals = add_refusals(report, scan.refused);
    std::cerr << findings_text(report.findings) << std::flush;
    write_report(a, report);
    work.some_refused = has_error(report.findings);
    const bool filter_is_broken = std::any_of(report.findings.begin(), report.findings.end(), [&](const io::Finding& f) {
        return f.severity == io::Severity::error && !a.scan.filter_file.empty() && f.file == a.scan.filter_file.string();
    });
    if (filter_is_broken) {
        log::error("nothing is run: the filter file does not say what to select");
        return std::nullopt;
    }
    if (sizes.empty()) {
        if (a.run.shard_count > 1 && checked.empty() && !work.some_refused) return work;  // an empty shard is done
        log::error(str("no scan in ", a.bids, " can be run",
                       work.some_refused ? "; see the errors above" : "; --dry-run says what becomes of every image"));
        if (refusals.empty()) return std::nullopt;
    }
    const fs::path wisdom = sizes.empty() ? fs::path() : prepare_wisdom(a.run.output_dir, sizes);
    for (CheckedAcquisition& c : checked) {
        if (c.refused()) continue;
        pipeline::JobSpec spec{std::move(c.acquisition), options, a.run.output_dir, c.input_hash, wisdom, 1, a.run.force};
        work.jobs.push_back({spec.acquisition.key, pipeline::job_hash(spec), nlohmann::json(spec).dump(),
                             pipeline::estimate_memory_bytes(spec.acquisition, options),
                             pipeline::estimate_cost(spec.acquisition, options)});
        work.specs.emplace(spec.acquisition.key, std::move(spec));
    }
    for (const auto& [key, why] : refusals)
        if (!work.specs.contains(key)) work.jobs.push_back({.key = key, .hash = "", .payload = "", .refusal = why});
    return work;
}

/// Everything that rank 0 does. Sets `ended` once the runtime has ended communication.
int coordinate(RunArguments& a, const pipeline::ChainOptions& options, comm::Communicator& comm, bool& ended)
{
    const auto start = Clock::now();
    if (!fs::is_directory(a.bids)) throw InputError(str(a.bids, " is not a folder"));
    refuse_output_among_the_data(a.run.output_dir, a.bids);
    refuse_output_in_a_file(a.run.output_dir);
    refuse_output_of_other_data(a.run.output_dir, a.bids);
    if (a.dry_run) return dry_run(a, options);
    if (a.level == "group") return group_level(a.run.output_dir);
    make_writable(a.run.output_dir);
    // Until this run ends there is no status: an earlier one must not be taken for ours.
    fs::remove(a.run.output_dir / ("status" + shard_suffix(a.run)));
    std::optional<Work> work;
    {
        const StopBeforeJobs stop;
        work = prepare(a, options);
    }
    if (!work) {
        write_status(a, exit_input);
        return exit_input;
    }
    if (asked_to_stop != 0) {
        write_status(a, runtime::exit_interrupted);
        return runtime::exit_interrupted;
    }
    if (!work->specs.empty()) pipeline::write_dataset_description(a.run.output_dir, a.bids);

    std::size_t n_failed = 0;
    runtime::ProgressPrinter printer(isatty(STDERR_FILENO) != 0,
                                     [](std::string_view text) { std::cerr << text << std::flush; });
    a.run.on_progress = [&](const runtime::Progress& p) {
        if (!a.no_progress) {
            printer(p);
        } else if (p.failed > n_failed) {
            log::error(p.job_line);
        }
        n_failed = p.failed;
    };
    if (a.run.deadline_s > 0.0) {
        const double elapsed_s = std::chrono::duration<double>(Clock::now() - start).count();
        a.run.deadline_s = std::max(1e-9, a.run.deadline_s - elapsed_s);  // 0 would mean none
    }
    ended = true;
    int code = runtime::run_jobs(comm, work->jobs, a.run, [&](const runtime::Job& job) {
        return pipeline::outputs_complete(work->specs.at(job.key));
    });
    // Of children and runs that were killed. Not in a shard: others may be writing on other hosts.
    if (a.run.shard_count == 1 && code != runtime::exit_io) io::remove_stale_temporaries(a.run.output_dir);
    const bool is_over = code == runtime::exit_all_done || code == runtime::exit_some_failed || code == runtime::exit_nothing_runs;
    if (is_over && a.run.shard_count == 1) summarise_if_old(a.run.output_dir);
    if (code == runtime::exit_all_done && work->some_refused) {  // by what belongs to no scan
        code = exit_some_failed;
        write_status(a, code);
    }
    return code;
}

}  // namespace

int cmd_run(const Arguments& arguments, int& argc, char**& argv)
{
    const std::unique_ptr<comm::Communicator> comm = comm::make_communicator(argc, argv);
    const bool speaks = comm->rank() == 0;
    int code = exit_done;
    bool ended = false, settled = false;
    RunArguments a;
    try {
        CommandLine line = command_line(a);
        if (line.parse(arguments, speaks ? Voice::loud : Voice::mute)) {
            settle(a);
            const pipeline::ChainOptions options = a.chain.options();
            settled = true;
            if (speaks) {
                code = coordinate(a, options, *comm, ended);
                if (!ended) runtime::dismiss(*comm);
            } else {
                code = runtime::run_jobs(*comm, {}, a.run);
            }
            ended = true;
        }
    } catch (const UsageError&) {
        code = speaks ? report_exception("run") : exit_done;
        if (settled) {
            runtime::dismiss(*comm);
            ended = true;
        }  // else all ranks end here together
    } catch (...) {
        code = report_exception("run");
        if (speaks && !ended) {
            leave_status(a, code);
            runtime::dismiss(*comm);
        }
        ended = true;
    }
    if (!ended) comm->finish(true);
    if (comm->size() > 1) runtime::leave(speaks ? code : exit_done);
    return code;
}

}  // namespace qsmpi::apps
