#pragma once
#include <vector>

#include "chain.hpp"

namespace qsmpi::pipeline {

/// Looks whether the phase of all echoes is in radians. Warns where none fills its circle.
/// @param spans_rad  of each echo, highest less lowest phase where there is signal; -infinity if there is none
/// @throws InputError where an echo wraps within less than the circle that another fills
void check_units(Chain& chain, const std::vector<float>& spans_rad);

}  // namespace qsmpi::pipeline
