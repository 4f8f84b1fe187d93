// farm FAKE_JOB OUT JOBS.json [name=value ...]: runs fake jobs through the runtime, as `qsmpi run` does with real ones.
// JOBS.json: an array of {"key", "hash", "cost", "memory_mb", "payload"}.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "qsmpi/comm/communicator.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/runtime/run.hpp"
#include "qsmpi/runtime/status.hpp"

namespace {

namespace runtime = qsmpi::runtime;
using nlohmann::json;

void set(runtime::RunOptions& o, const std::string& name, double value)
{
    if (name == "max_attempts") o.max_attempts = static_cast<int>(value);
    if (name == "job_timeout_s") o.job_timeout_s = value;
    if (name == "deadline_s") o.deadline_s = value;
    if (name == "threads_per_job") o.threads_per_job = static_cast<int>(value);
    if (name == "max_jobs") o.max_jobs = static_cast<int>(value);
    if (name == "memory_limit_mb") o.memory_limit_bytes = static_cast<std::uint64_t>(value) << 20;
    if (name == "force") o.force = value != 0;
    if (name == "shard_index") o.shard_index = static_cast<int>(value);
    if (name == "shard_count") o.shard_count = static_cast<int>(value);
    if (name == "beat_s") o.beat_s = value;
    if (name == "lost_after_s") o.lost_after_s = value;
    if (name == "progress") o.progress = value != 0;
}

std::vector<runtime::Job> jobs_from(const std::string& file)
{
    std::vector<runtime::Job> jobs;
    for (const json& j : json::parse(qsmpi::io::read_file(file))) {
        jobs.push_back({.key = j.at("key"), .hash = j.value("hash", "1"), .payload = j.at("payload").dump(),
                        .memory_bytes = j.value("memory_mb", std::uint64_t{1}) << 20, .cost = j.value("cost", 1.0)});
    }
    return jobs;
}

bool outputs_there(const runtime::Job& job)
{
    const json payload = json::parse(job.payload);
    return !payload.contains("file") || std::filesystem::exists(std::string(payload["file"]));
}

int farm(int argc, char** argv)
{
    const auto comm = qsmpi::comm::make_communicator(argc, argv);
    runtime::RunOptions options;
    options.child_command = {argv[1]};
    options.output_dir = argv[2];
    for (int i = 4; i < argc; ++i) {
        const std::string word = argv[i];
        const auto equals = word.find('=');
        if (equals != std::string::npos) set(options, word.substr(0, equals), std::stod(word.substr(equals + 1)));
    }
    std::printf("pid %d %d\n", comm->rank(), getpid());
    std::fflush(stdout);
    const auto jobs = comm->rank() == 0 ? jobs_from(argv[3]) : std::vector<runtime::Job>{};
    if (comm->rank() == 0 && jobs.empty()) {  // as after input that is refused
        runtime::dismiss(*comm);
        return 3;
    }
    const int code = runtime::run_jobs(*comm, jobs, options, outputs_there);
    if (comm->rank() == 0) std::printf("%s", runtime::status_text(runtime::read_status(options.output_dir)).c_str());
    return code;
}

}  // namespace

int main(int argc, char** argv)
{
    if (argc < 4) {
        std::fprintf(stderr, "usage: farm FAKE_JOB OUT JOBS.json [name=value ...]\n");
        return 2;
    }
    try {
        runtime::leave(farm(argc, argv));
    } catch (const qsmpi::InputError& e) {
        std::fprintf(stderr, "farm: %s\n", e.what());
        runtime::leave(3);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "farm: %s\n", e.what());
        runtime::leave(4);
    }
}
