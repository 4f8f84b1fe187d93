#include "domain.hpp"

#include <algorithm>
#include <cmath>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"

namespace qsmpi::inversion::detail {
namespace {

std::size_t padded_length(std::size_t n, int pad_voxels, double pad_fraction)
{
    const double pad = std::max(static_cast<double>(pad_voxels), std::ceil(pad_fraction * static_cast<double>(n)));
    return numerics::good_length(n + static_cast<std::size_t>(pad));
}

}  // namespace

Domain make_domain(const Mask& mask, int pad_voxels, double pad_fraction, const char* who)
{
    require(pad_voxels >= 0 && pad_fraction >= 0.0 && pad_fraction <= 4.0,
            str(who, ": padding of ", pad_voxels, " voxels or ", pad_fraction,
                " of an axis; expected a number from 0 and a fraction from 0 to 4"));
    Domain domain;
    domain.box = numerics::bounding_box(mask);
    domain.mask = numerics::crop(mask, domain.box);
    const Dims& n = domain.box.dims;
    domain.padded = {{padded_length(n.nx, pad_voxels, pad_fraction), padded_length(n.ny, pad_voxels, pad_fraction),
                      padded_length(n.nz, pad_voxels, pad_fraction)},
                     mask.grid().voxel_mm};
    return domain;
}

Domain make_domain(const VolumeF& field_ppm, const Mask& mask, int pad_voxels, double pad_fraction, const char* who)
{
    require_same_grid(field_ppm, mask, str(who, ": field and mask").c_str());
    Domain domain = make_domain(mask, pad_voxels, pad_fraction, who);
    domain.field_ppm = field_in_box(field_ppm, domain);
    return domain;
}

VolumeF field_in_box(const VolumeF& field_ppm, const Domain& domain)
{
    VolumeF field = numerics::crop(field_ppm, domain.box);
    parallel::for_blocks(field.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (domain.mask[i] == 0 || !std::isfinite(field[i])) field[i] = 0.0F;
    });
    return field;
}

VolumeF to_whole(VolumeF& chi_ppm, const Domain& domain, const Grid& whole)
{
    parallel::for_blocks(chi_ppm.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (domain.mask[i] == 0) chi_ppm[i] = 0.0F;
    });
    return numerics::uncrop(chi_ppm, domain.box, whole);
}

bool is_empty(const Mask& mask)
{
    return std::all_of(mask.begin(), mask.end(), [](std::uint8_t inside) { return inside == 0; });
}

}  // namespace qsmpi::inversion::detail
