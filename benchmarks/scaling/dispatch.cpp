// How many jobs a second go through coordinator, child process and journal when the job itself does nothing?
//
// Usage: [mpirun -np 3] benchmark_dispatch QSMPI FOLDER [JOBS=1000]
// Every job is a child process of the real program, started, supervised, reaped and journalled as in `qsmpi run`.
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <vector>

#include "qsmpi/comm/communicator.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/runtime/run.hpp"

int main(int argc, char** argv)
{
    using namespace qsmpi;
    const auto comm = comm::make_communicator(argc, argv);
    if (argc < 3) {
        std::fprintf(stderr, "usage: benchmark_dispatch QSMPI FOLDER [JOBS]\n");
        return 2;
    }
    const int n_jobs = argc > 3 ? std::stoi(argv[3]) : 1000;
    std::vector<runtime::Job> jobs;
    if (comm->rank() == 0) {
        std::filesystem::remove_all(argv[2]);
        for (int i = 0; i < n_jobs; ++i)
            jobs.push_back({.key = str("sub-", i), .hash = "1", .payload = R"({"nothing": true})", .memory_bytes = 1 << 20});
    }
    runtime::RunOptions options;
    options.output_dir = argv[2];
    options.child_command = {argv[1], "job"};
    options.threads_per_job = 1;
    options.progress = false;
    const auto start = std::chrono::steady_clock::now();
    int status = 70;
    try {
        status = runtime::run_jobs(*comm, jobs, options);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (comm->rank() == 0)
        std::printf("{\"benchmark\": \"dispatch\", \"ranks\": %d, \"jobs\": %d, \"exit\": %d, \"seconds\": %.2f, "
                    "\"jobs_per_s\": %.1f}\n",
                    comm->size(), n_jobs, status, seconds, n_jobs / seconds);
    std::fflush(stdout);
    comm->finish(true);
    return status;
}
