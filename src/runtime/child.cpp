#include "qsmpi/runtime/child.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::runtime {
namespace {

/// A positive number from the environment; `otherwise` if there is none.
int variable(const char* name, int otherwise)
{
    const char* text = std::getenv(name);
    const int value = text == nullptr ? 0 : std::atoi(text);
    return value > 0 ? value : otherwise;
}

}  // namespace

void enter_child()
{
    const int parent = variable("QSMPI_PARENT_PID", 0);
    if (parent == 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(EXIT_FAILURE);  // it died before we asked to be told

    std::ofstream("/proc/self/oom_score_adj") << 1000;  // rather this job than the supervisor of all jobs

    // The answer is for this process: programs that it starts shall not hold it or write to it.
    const int answer = variable("QSMPI_RESULT_FD", 0);
    if (answer > 0) fcntl(answer, F_SETFD, FD_CLOEXEC);
    parallel::set_threads(threads_given());
}

std::string read_payload()
{
    std::string text;
    char block[65536];
    for (;;) {
        const ssize_t n = read(STDIN_FILENO, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw IoError(str("cannot read the job from standard input: ", std::strerror(errno)));
        if (n == 0) return text;
        text.append(block, static_cast<std::size_t>(n));
    }
}

void write_result(std::string_view json_line)
{
    const int fd = variable("QSMPI_RESULT_FD", STDOUT_FILENO);
    std::string line(json_line);
    std::replace(line.begin(), line.end(), '\n', ' ');
    line.push_back('\n');
    for (std::string_view rest = line; !rest.empty();) {
        const ssize_t n = write(fd, rest.data(), rest.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) throw IoError(str("cannot hand back the result: ", std::strerror(errno)));
        rest.remove_prefix(static_cast<std::size_t>(n));
    }
}

int threads_given(int otherwise) { return variable("QSMPI_THREADS", otherwise); }

}  // namespace qsmpi::runtime
