// A job that behaves as its payload says: {"do": "...", "seconds": s, "file": "..."}. The farm tests run these.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include "qsmpi/runtime/child.hpp"

namespace {

using nlohmann::json;

void sleep_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// Publishes as a real job does: all or nothing under the final name.
void publish(const std::string& file, const std::string& text)
{
    const std::string temporary = file + ".tmp." + std::to_string(getpid());
    std::ofstream(temporary) << text;
    std::filesystem::rename(temporary, file);
}

int cpus()
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : -1;
}

int attempt() { return std::atoi(std::getenv("QSMPI_ATTEMPT")); }

/// The state to answer with; many kinds do not come back.
json act(const json& payload)
{
    const std::string kind = payload.at("do");
    const double seconds = payload.value("seconds", 0.0);
    std::printf("doing %s\n", kind.c_str());
    std::fflush(stdout);
    if (kind == "crash-once" && attempt() == 1) std::abort();
    if (kind == "segfault") raise(SIGSEGV);
    if (kind == "exit") std::_Exit(1);
    if (kind == "silent") std::_Exit(0);
    if (kind == "terminate") throw std::bad_alloc();
    if (kind == "killed") raise(SIGKILL);
    if (kind == "hang") sleep_s(3600);
    if (kind == "fail") return {{"state", "failed"}, {"message", "sub-x: mask: it is empty"}};
    if (kind == "full") return {{"state", "failed"}, {"message", std::string("write: ") + std::strerror(ENOSPC)}};
    if (kind == "eat") {  // until the kernel says no
        for (std::vector<std::vector<char>> all;;) all.emplace_back(std::size_t{8} << 20, 'x');
    }
    if (kind == "grandchild" && fork() == 0) {
        sleep_s(3600);
        std::_Exit(0);
    }
    if (kind == "environment") {
        for (char** v = environ; *v != nullptr; ++v) std::printf("env %s\n", *v);
        for (const auto& fd : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::printf("fd %s\n", fd.path().filename().c_str());
        }
    }
    sleep_s(seconds);
    return {{"state", "done"}};
}

}  // namespace

int main()
{
    qsmpi::runtime::enter_child();
    const json payload = json::parse(qsmpi::runtime::read_payload());
    json answer = act(payload);
    answer["threads"] = qsmpi::runtime::threads_given();
    answer["cpus"] = cpus();
    if (answer["state"] == "done" && payload.contains("file")) {
        publish(payload["file"], payload.value("text", "") + "\n");
        answer["outputs"] = {payload["file"]};
    }
    qsmpi::runtime::write_result(answer.dump());
    return answer["state"] == "done" ? 0 : 1;
}
