#pragma once
#include <cstddef>
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi {

/// Whether the echoes of a scan belong together: enough of them, a time for each, magnitudes for each or none, one grid.
/// @param who  begins the message of an error
/// @throws InputError if not
void check_echo_volumes(const char* who, std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                        std::span<const double> echo_times_s, std::size_t least_echoes);

}  // namespace qsmpi
