#pragma once
#include <string>
#include <string_view>

/// The side of a job's own process. What the supervisor gives it:
///  - standard input: the payload, whole;
///  - file descriptor 3: the answer; the last line must be one JSON object with the members of
///    pipeline::JobResult (state, message, outputs, warnings, seconds, peak_mb, stage_seconds);
///  - standard output and error: OUT/logs/<key>.log, where it may print what it likes;
///  - environment: QSMPI_THREADS = OMP_NUM_THREADS, QSMPI_ATTEMPT, QSMPI_JOB_KEY, QSMPI_RESULT_FD,
///    QSMPI_PARENT_PID; nothing of MPI or of a Slurm step;
///  - an affinity mask of just its cores, a process group of its own, default signals.
/// Exit status: 0 with state done or skipped, anything else with state failed. Death without an answer is
/// an answer too: exit, signal, out of memory.
namespace qsmpi::runtime {

/// First thing in a job's process: dies with its supervisor (Linux), is the kernel's first choice when
/// memory runs out, takes the threads it was given. Does nothing in a process that no supervisor started.
void enter_child();

/// The payload: all of standard input. @throws IoError if it cannot be read
[[nodiscard]] std::string read_payload();

/// Hands back the answer: one JSON object without line breaks. Standard output if there is no supervisor.
/// @throws IoError if it cannot be written
void write_result(std::string_view json_line);

/// Threads given by the supervisor; `otherwise` if there is none.
[[nodiscard]] int threads_given(int otherwise = 1);

}  // namespace qsmpi::runtime
