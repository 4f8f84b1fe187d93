#pragma once
#include <optional>
#include <string>
#include <vector>

#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::io
{

/// What is known about a phase image without its voxels.
struct PhaseFacts {
    std::string units;  ///< of the sidecar, "" if none
    std::string manufacturer;
    const NiftiHeader* header = nullptr;  ///< null: not opened
};

/// Why no scaling can be had.
struct PhaseProblem {
    std::string field, value, problem, remedy;
};

/// Decides from facts, in the order: option, Units, slope and intercept with the integer type, vendor; else
/// leaves the choice to the range of all values (settle_phase_scaling). algorithms.md 0.6.
[[nodiscard]] PhaseScaling decide_phase_scaling(const PhaseFacts& facts, const std::string& option,
                                                std::optional<PhaseProblem>& problem);

/// For phase made from real and imaginary parts: radians already, but for the sign of GE.
[[nodiscard]] PhaseScaling decide_complex_scaling(const PhaseFacts& facts);

/// The range of all voxels of all echoes that share a convention (after the files' slope and intercept).
struct PhaseRange {
    double low = 0.0, high = 0.0;
};

/// Settles what was left open, and checks what was decided, against the values that are there. A range counts
/// only when it reaches both ends of a convention; anything else is a problem, never a guess.
[[nodiscard]] PhaseScaling settle_phase_scaling(const PhaseScaling& scaling, const PhaseRange& range,
                                                std::optional<PhaseProblem>& problem,
                                                std::optional<PhaseProblem>& doubt);

/// The convention of which these values are one full turn, or "".
[[nodiscard]] std::string convention_of_full_turn(const PhaseRange& range);

}  // namespace qsmpi::io
