#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/pipeline/job.hpp"
#include "qsmpi/runtime/child.hpp"

namespace qsmpi::apps {

// Not listed in the help: `run` starts it for every job; see runtime/child.hpp for the contract. By hand it takes a
// job's JSON on standard input and prints the result.
int cmd_job(const Arguments& arguments)
{
    runtime::enter_child();
    CommandLine line("job", "do one job of a run, given as JSON on standard input", "", "qsmpi job < job.json");
    if (!line.parse(arguments)) return exit_done;
    const auto payload = nlohmann::json::parse(runtime::read_payload());
    if (payload.contains("nothing")) {  // what a job costs besides its work: benchmarks/scaling
        runtime::write_result(nlohmann::json(pipeline::JobResult{}).dump());
        return exit_done;
    }
    auto spec = payload.get<pipeline::JobSpec>();
    spec.threads = runtime::threads_given(spec.threads);
    parallel::set_threads(spec.threads);
    log::set_context("job=" + spec.acquisition.key);
    const pipeline::JobResult result = pipeline::run_job(spec, [](const std::string& stage, double fraction_done) {
        log::info(str("stage ", stage, ", ", static_cast<int>(100.0 * fraction_done), " % done"));
    });
    runtime::write_result(nlohmann::json(result).dump());
    return result.state == "failed" ? exit_some_failed : exit_done;
}

}  // namespace qsmpi::apps
