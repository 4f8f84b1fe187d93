#include <cmath>

#include "qsmpi/background/registry.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::background {

extern const Method none_method;
constinit const Method none_method{
    .name = no_removal,
    .help = "the field as it is: for local fields, and for inversions that start from the total field",
    .parameters = "none",
    .sentence = "Background fields were not removed before the inversion.",
    .citation = "",
    .run = [](const Problem& p) {
        require_same_grid(*p.total_field_ppm, *p.mask, "none: field and mask");
        LocalField local{VolumeF(p.mask->grid()), p.mask->clone()};
        parallel::for_blocks(p.mask->size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) {
                const float value = (*p.total_field_ppm)[i];
                local.local_field_ppm[i] = (*p.mask)[i] != 0 && std::isfinite(value) ? value : 0.0F;
            }
        });
        return local;
    }};

}  // namespace qsmpi::background
