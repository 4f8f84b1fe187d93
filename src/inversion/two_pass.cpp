#include "qsmpi/inversion/two_pass.hpp"

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion {

void combine_passes(VolumeF& chi_filled_ppm, const VolumeF& chi_reliable_ppm, const Mask& reliable)
{
    require_same_grid(chi_filled_ppm, chi_reliable_ppm, "combine_passes: the maps of both passes");
    require_same_grid(chi_filled_ppm, reliable, "combine_passes: map and mask");
    parallel::for_blocks(chi_filled_ppm.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (reliable[i] != 0) chi_filled_ppm[i] = chi_reliable_ppm[i];
    });
}

}  // namespace qsmpi::inversion
