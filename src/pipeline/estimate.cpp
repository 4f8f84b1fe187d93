// What a job will need, from its header alone: for admission and for the order of jobs.
#include <algorithm>

#include "qsmpi/background/source_separation.hpp"
#include "qsmpi/pipeline/job.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

/// Voxels of the box in which background and inversion methods work, as a part of the grid. The mask is not known yet:
/// heads fill about three quarters of each axis, and methods that look for sources outside add a margin.
double box_fraction(const Grid& grid, double margin_mm)
{
    constexpr double filled = 0.75;
    double fraction = 1.0;
    for (int axis = 0; axis < 3; ++axis) {
        const double length_mm = static_cast<double>(grid.dims[axis]) * grid.voxel_mm[static_cast<std::size_t>(axis)];
        fraction *= std::min(1.0, filled + 2.0 * margin_mm / length_mm);
    }
    return fraction;
}

}  // namespace

std::uint64_t estimate_memory_bytes(const io::Acquisition& acquisition, const ChainOptions& options)
{
    // Calibrated in November 2026 against the resident peak of whole jobs, stage by stage: 192x224x192 and 96x112x96 voxels
    // of 1 mm, 1 and 4 echoes, with and without per_echo, all background methods. The model came to 0.96 to 1.21 of the
    // measured peak. A head that fills the grid, or half of it, brings that to 0.8 and 1.3.
    constexpr double program_bytes = 30e6;

    const Grid& grid = acquisition.geometry.grid;
    const auto voxels = static_cast<double>(grid.size());
    const auto echoes = static_cast<double>(std::max<std::size_t>(1, acquisition.echoes.size()));
    const bool several_maps = options.per_echo && acquisition.echoes.size() > 1;
    const double maps = several_maps ? echoes : 1.0;
    const std::string background = resolved(options).background;
    const double head = box_fraction(grid, 0.0), surroundings = box_fraction(grid, background::SeparationOptions{}.margin_mm);

    // Bytes a voxel alive at the worst moment of each stage that can be the worst. Unwrapping: magnitude, phase, edge
    // costs and the forest.
    const double unwrapping = 9.5 * echoes + 20.0;
    // Magnitude of the echoes with field and sigma of each map, until R2* has been fitted to it.
    const double relaxing = options.r2star == "off" ? 0.0 : 4.0 * echoes + 8.0 * maps + 32.0;
    // Field and sigma of each map, magnitude, residual, mask, and the field in ppm; local field, its mask and weight of the
    // maps that are done; then what the method works with.
    const double turns = options.background_rounds == 1 ? 66.0 : 106.0;  // the inversion between rounds keeps its state
    const double working = background == "separation" ? turns * surroundings
                           : background == "pdf"      ? 50.0 * surroundings
                                                      : 34.0 * head;
    // Local field, mask and weight of the other pass.
    const double first_pass = options.two_pass == "off" ? 0.0 : 9.0 * maps + 5.0;
    const double removing = 8.0 * maps + 21.0 + 9.0 * (maps - 1.0) + working + first_pass;
    // Field, sigma, local field, mask and weight of each map, and TV at the first; or all maps and their combination.
    const double inverting = std::max(17.0 * maps + 5.0 + 50.0 * head, several_maps ? 17.0 * maps + 14.0 : 0.0) + first_pass;
    // R2* that waits for the inversion.
    const double waiting = keeps_r2star(options) ? 4.0 : 0.0;
    // All maps, magnitude, field, image, and what smoothing needs.
    const double weighting = options.swi == "off" ? 0.0 : 17.0 * maps + 49.0;
    return static_cast<std::uint64_t>(program_bytes + voxels * std::max({unwrapping, relaxing, removing + waiting, inverting + waiting, weighting}));
}

double estimate_cost(const io::Acquisition& acquisition, const ChainOptions& options)
{
    const auto voxels = static_cast<double>(acquisition.geometry.grid.size());
    const auto echoes = static_cast<double>(acquisition.echoes.size());
    // Reading and unwrapping take their time for each echo, background and inversion for each map: about 1 to 16.
    const double maps = (options.per_echo ? echoes : 1.0) * (options.two_pass == "on" ? 2.0 : 1.0);
    return voxels * (echoes + 16.0 * maps);
}

}  // namespace qsmpi::pipeline
