#include "qsmpi/inversion/tkd.hpp"

#include <cmath>
#include <vector>

#include "domain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/inversion/registry.hpp"
#include "qsmpi/numerics/kernels.hpp"

namespace qsmpi::inversion {
namespace {

/// Mean of D times its thresholded inverse over all frequencies: what the method keeps of a white source.
double kept_fraction(const Grid& grid, const numerics::DipoleKernel& dipole, double threshold)
{
    const Dims& n = grid.dims;
    const std::size_t half_x = n.nx / 2 + 1;
    std::vector<double> per_slice(n.nz, 0.0);
    parallel::for_each(n.nz, [&](std::size_t z) {
        std::vector<float> row(half_x);
        for (std::size_t y = 0; y < n.ny; ++y) {
            dipole.row(y, z, row.data());
            for (std::size_t x = 0; x < half_x; ++x) {
                const double kept = std::min(1.0, std::abs(static_cast<double>(row[x])) / threshold);
                const bool is_its_own_mirror = x == 0 || (n.nx % 2 == 0 && x == n.nx / 2);
                per_slice[z] += is_its_own_mirror ? kept : 2.0 * kept;
            }
        }
    });
    double sum = 0.0;
    for (const double s : per_slice) sum += s;
    return sum / static_cast<double>(grid.size());
}

}  // namespace

Result tkd(const VolumeF& local_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
           const TkdOptions& options)
{
    require(options.threshold > 0.0 && options.threshold < 2.0 / 3.0,
            str("tkd: threshold ", options.threshold, " is outside (0, 2/3)"));
    detail::Domain domain =
        detail::make_domain(local_field_ppm, mask, options.pad_voxels, options.pad_fraction, "tkd");
    const numerics::DipoleKernel dipole(domain.padded, b0_direction_ijk);
    if (detail::is_empty(domain.mask)) return {.chi_ppm = VolumeF(local_field_ppm.grid(), 0.0F)};

    const double kept =
        options.correct_underestimation ? kept_fraction(domain.padded, dipole, options.threshold) : 1.0;
    const auto gain = static_cast<float>(1.0 / kept);
    const auto threshold = static_cast<float>(options.threshold);
    const numerics::Fft3 fft(domain.padded);
    numerics::Spectrum work(domain.padded.dims);
    // Near the magic-angle cone D vanishes, so |D| is clamped and its sign kept. D(0) is undefined: QSM is relative.
    fft.filter_tiles(domain.field_ppm, domain.field_ppm, [&](const numerics::Tile& tile) {
        AlignedBuffer<float> factors(tile.nz * numerics::Tile::width);
        dipole.tile(tile, factors.data());
        for (std::size_t i = 0; i < factors.size(); ++i) {
            const float d = factors.data()[i];
            factors.data()[i] = gain / std::copysign(std::max(std::abs(d), threshold), d);
        }
        if (tile.x0 == 0 && tile.y == 0) factors.data()[0] = 0.0F;
        tile.multiply(factors.data());
    }, work);
    return {.chi_ppm = detail::to_whole(domain.field_ppm, domain, local_field_ppm.grid())};
}

extern const Method tkd_method;
constinit const Method tkd_method{
    .name = "tkd",
    .help = "thresholded k-space division: fastest, streaks",
    .parameters = "threshold 0.15 (lambda), corrected for underestimation",
    .sentence = "Susceptibility was computed by thresholded k-space division, corrected for underestimation.",
    .citation = "Shmueli et al., Magn. Reson. Med. 62(6):1510-1522, 2009, doi:10.1002/mrm.22135",
    .run = [](const Problem& p) {
        TkdOptions options;
        if (p.lambda > 0.0) options.threshold = p.lambda;
        return tkd(*p.field_ppm, *p.mask, p.b0_direction_ijk, options);
    }};

}  // namespace qsmpi::inversion
