// What a job will need, from its header alone: for admission and for the order of jobs.
#include <algorithm>

#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/pipeline/job.hpp"

namespace qsmpi::pipeline {

std::uint64_t estimate_memory_bytes(const io::Acquisition& acquisition, const ChainOptions& options)
{
    const auto voxels = static_cast<double>(acquisition.geometry.grid.size());
    const auto echoes = static_cast<double>(std::max<std::size_t>(1, acquisition.echoes.size()));
    const bool several_maps = options.per_echo && acquisition.echoes.size() > 1;
    const Grid padded = numerics::padded_grid(acquisition.geometry.grid, 0.0, 0.25);
    const double padding = static_cast<double>(padded.size()) / voxels;

    // Bytes a voxel that are alive at the worst moment of the stages that can be the worst.
    const double unwrapping = 12.0 * echoes + 20.0;
    const double kept_maps = several_maps ? 8.0 * echoes : 8.0;
    const double inverting = kept_maps + 9.0 + 40.0 * padding;
    constexpr double program = 60e6;
    return static_cast<std::uint64_t>(program + voxels * std::max(unwrapping, inverting));
}

double estimate_cost(const io::Acquisition& acquisition, const ChainOptions& options)
{
    const auto voxels = static_cast<double>(acquisition.geometry.grid.size());
    const auto echoes = static_cast<double>(acquisition.echoes.size());
    // Reading and unwrapping take their time for each echo, background and inversion for each map: about 1 to 6.
    const double maps = options.per_echo ? echoes : 1.0;
    return voxels * (echoes + 6.0 * maps);
}

}  // namespace qsmpi::pipeline
