#pragma once
#include <string>
#include <string_view>

namespace qsmpi::runtime {

/// Why an attempt at a job ended as it did.
enum class Cause {
    none,         ///< it did not fail
    reported,     ///< the job itself said so: final, not tried again
    exit,         ///< ended without an answer
    signal,       ///< killed by a signal that we did not send
    oom,          ///< killed by the kernel for memory, or std::bad_alloc
    timeout,      ///< killed by us: over its time
    spawn,        ///< could not be started
    memory,       ///< never started: needs more than any node offers
    lost,         ///< was running when its rank or the whole run died
    interrupted,  ///< killed by us because the run stops; costs no attempt
    disk          ///< the output cannot be written: the whole run's trouble; costs no attempt
};

[[nodiscard]] const char* to_text(Cause cause);
/// @throws CommError for another word
[[nodiscard]] Cause cause_from(std::string_view text);

/// How one attempt ended: from the supervisor to the coordinator, and into the journal.
struct Outcome {
    Cause cause = Cause::none;
    int code = 0;              ///< exit status, or the signal if one ended it
    bool skipped = false;      ///< the job found everything up to date
    std::string message = {};       ///< one line; empty when all is well
    double seconds = 0.0;
    double peak_mb = 0.0;
    std::string result = {};   ///< the job's answer, JSON text; empty without one
};

}  // namespace qsmpi::runtime
