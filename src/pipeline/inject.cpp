#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <vector>

#include "chain.hpp"

namespace qsmpi::pipeline {

void inject_fault(const std::string& stage, const std::string& key)
{
    const char* const variable = std::getenv("QSMPI_INJECT");
    if (variable == nullptr) return;
    const std::string_view request = variable;
    const auto at = request.find('@');
    if (at == std::string_view::npos) return;
    const std::string_view fault = request.substr(0, at), where = request.substr(at + 1);
    if (where != stage && where != stage + "@" + key) return;

    if (fault == "segfault") std::raise(SIGSEGV);
    if (fault == "throw") throw NumericalError("a fault injected by QSMPI_INJECT");
    if (fault == "hang")
        while (true) std::this_thread::sleep_for(std::chrono::seconds(1));
    if (fault == "oom") {
        std::vector<AlignedBuffer<char>> hoard;
        while (true) {
            constexpr std::size_t block = std::size_t{64} << 20;
            hoard.emplace_back(block);
            std::memset(hoard.back().data(), 1, block);
        }
    }
}

}  // namespace qsmpi::pipeline
