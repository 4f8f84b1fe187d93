#include "qsmpi/core/echoes.hpp"

#include <string>

namespace qsmpi {

void check_echo_volumes(const char* who, std::span<const VolumeF> phase_rad, std::span<const VolumeF> magnitude,
                        std::span<const double> echo_times_s, std::size_t least_echoes)
{
    require(phase_rad.size() >= least_echoes,
            str(who, ": ", phase_rad.size(), " echoes given, at least ", least_echoes, " needed"));
    require(echo_times_s.size() == phase_rad.size(),
            str(who, ": ", phase_rad.size(), " echoes but ", echo_times_s.size(), " echo times"));
    require(magnitude.empty() || magnitude.size() == phase_rad.size(),
            str(who, ": ", phase_rad.size(), " phase volumes but ", magnitude.size(),
                " magnitudes; give one for each echo or none"));
    const std::string echoes = str(who, ": echoes");
    for (const std::span<const VolumeF> volumes : {phase_rad, magnitude})
        for (const VolumeF& volume : volumes) require_same_grid(phase_rad.front(), volume, echoes.c_str());
}

}  // namespace qsmpi
