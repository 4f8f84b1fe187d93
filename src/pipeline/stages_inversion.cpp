// Background fields go, the dipole kernel is inverted, the map gets its reference.
#include <algorithm>
#include <cmath>

#include "chain.hpp"
#include "qsmpi/background/background.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/inversion/inversion.hpp"
#include "qsmpi/inversion/null_space.hpp"
#include "qsmpi/inversion/two_pass.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

// A background method that gives up more of the mask than this deserves a warning.
constexpr double lost_fraction_limit = 0.4;
// So does a mask of which more than this lies outside the object.
constexpr double outside_fraction_limit = 0.05;

// "echo-2: " in front of what is said about the map of one echo.
std::string where(const MapState& map) { return map.echo_number == 0 ? "" : str("echo-", map.echo_number, ": "); }

void note_solver(Chain& chain, const MapState& map, int iterations, double relative_residual, bool converged)
{
    nlohmann::json solver{{"iterations", iterations}, {"relative_residual", relative_residual}, {"converged", converged}};
    if (map.echo_number != 0) solver["echo"] = map.echo_number;
    chain.notes[chain.stage]["solver"].push_back(std::move(solver));
    log::info(str(where(map), iterations, " iterations, relative residual ", relative_residual));
    if (!converged) chain.warn(str(where(map), "not converged after ", iterations, " iterations"));
}

/// The field of a map for another reconstruction of it.
void share_field(const MapState& map, MapState& other)
{
    other.field_hz = map.field_hz;
    other.sigma_hz = map.sigma_hz;
    other.relative_residual = map.relative_residual;
}

void forget(MapState& map)
{
    MapState empty;
    empty.echo_number = map.echo_number;
    map = std::move(empty);
}

void find_local_field(Chain& chain, MapState& map, Pass pass)
{
    const auto n_before =
        static_cast<double>(numerics::count(pass == Pass::filled ? *chain.mask : *chain.reliable_mask));
    background::LocalField local =
        remove_background(chain, map, in_ppm(*map.field_hz, chain.spec.acquisition.b0_tesla), pass);
    const double lost = 1.0 - static_cast<double>(numerics::count(local.mask)) / n_before;
    if (lost >= 1.0)
        throw NumericalError("no voxel of the mask is left: the mask is too thin for this background method; "
                             "give a smaller background_radius_mm or another mask");
    note_solver(chain, map, local.iterations, local.relative_residual, local.converged);
    if (pass == Pass::filled) {
        chain.note("lost_fraction", lost);
        if (local.background_parts_mm3 > 0.0) chain.note("taken_for_background_mm3", local.background_parts_mm3);
        const double outside = local.background_parts_mm3 / (n_before * chain.grid().voxel_mm3());
        if (outside > outside_fraction_limit)
            chain.warn(str(std::lround(100.0 * outside), " % of the mask has no signal and is taken for bone and air outside the object: a "
                                                         "mask of tissue alone gives a better map"));
        // Methods that have no such thing say 0.
        if (local.rounds > 0) chain.note_used("background_rounds", local.rounds);
        if (local.radius_mm > 0.0) chain.note_used("background_radius_mm", local.radius_mm);
    }
    if (lost > lost_fraction_limit) chain.warn(str(where(map), "mask shrank by ", std::lround(100.0 * lost), " %"));
    map.local_field_ppm = std::make_shared<VolumeF>(std::move(local.local_field_ppm));
    map.local_mask = std::make_shared<Mask>(std::move(local.mask));
    if (chain.keep_field_error && !local.error.empty()) map.field_error_ppm = std::make_shared<VolumeF>(std::move(local.error));
    if (!local.weight.empty()) map.local_weight = std::make_shared<VolumeF>(std::move(local.weight));
}

/// The map of one pass, up to a constant.
VolumeF unreferenced(Chain& chain, MapState& map, const Mask* csf)
{
    if (!map.local_weight && map.sigma_hz)
        map.local_weight = std::make_shared<VolumeF>(data_weight(*map.sigma_hz, *map.local_mask));
    inversion::Result result = invert(chain, map, csf);
    note_solver(chain, map, result.iterations, result.relative_residual, result.converged);
    if (result.lambda > 0.0) chain.note_used("inversion_lambda", result.lambda);
    return std::move(result.chi_ppm);
}

void settle(Chain& chain, const MapState& map, VolumeF& chi_ppm)
{
    if (resolved(chain.spec.options).null_space != "on") return;
    const auto [settled, by_modes] = inversion::settle_null_space_by_best(
        chi_ppm, *map.local_mask, chain.spec.acquisition.geometry.b0_direction_ijk(), chain.r2star_per_s.get());
    const auto& [explained, share, rms_ppm] = settled;
    const char* by = by_modes ? "modes" : by_r2star_word;
    nlohmann::json report{{"by", by}, {"explained", explained}, {"share", share}, {"rms_ppm", rms_ppm}};
    if (map.echo_number != 0) report["echo"] = map.echo_number;
    chain.notes[chain.stage][null_space_note].push_back(std::move(report));
    log::info(str(where(map), by, " explain ", std::lround(100.0 * explained), " % of the map, ", std::lround(100.0 * share),
                  " % of the null space settled (", std::lround(1000.0 * rms_ppm), " ppb rms)"));
}

/// A map of nothing is none.
void require_something(const MapState& map)
{
    if (!map.chi_ppm || std::any_of(map.chi_ppm->begin(), map.chi_ppm->end(), [](float chi) { return chi != 0.0f; })) return;
    throw NumericalError("the map is 0 everywhere: the field is unknown or 0 in the whole mask, or the mask is too small; "
                         "look at mask (--mask), magnitude and echo times");
}

SharedMask united(const Mask& a, const Mask& b)
{
    Mask both(a.grid());
    for (std::size_t i = 0; i < both.size(); ++i) both[i] = a[i] != 0 || b[i] != 0 ? 1 : 0;
    return std::make_shared<Mask>(std::move(both));
}

/// Mean of the echoes' maps weighted by m^2 TE^2, which is 1 / sigma^2 up to a factor. Voxels without weight in any echo
/// get the plain mean.
void combine_echoes(Chain& chain, const ReferenceRegion& reference)
{
    const std::size_t n = chain.n_fields();
    MapState& combined = chain.maps.back();
    VolumeF chi(chain.grid());
    Mask mask(chain.grid());
    parallel::for_blocks(chi.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            double weighted = 0.0, weights = 0.0, sum = 0.0;
            int n_valid = 0;
            for (std::size_t e = 0; e < n; ++e) {
                if ((*chain.maps[e].local_mask)[i] == 0) continue;
                const auto value = static_cast<double>((*chain.maps[e].chi_ppm)[i]);
                const auto sigma = static_cast<double>((*chain.maps[e].sigma_hz)[i]);
                const double w = sigma > 0.0 ? 1.0 / (sigma * sigma) : 0.0;  // 0 for infinite sigma
                weighted += w * value;
                weights += w;
                sum += value;
                ++n_valid;
            }
            mask[i] = n_valid > 0 ? 1 : 0;
            chi[i] = static_cast<float>(weights > 0.0 ? weighted / weights : n_valid > 0 ? sum / n_valid : 0.0);
        }
    });
    reference.apply(chain, chi, mask, nullptr);
    combined.chi_ppm = std::make_shared<VolumeF>(std::move(chi));
    combined.local_mask = std::make_shared<Mask>(std::move(mask));
}

}  // namespace

VolumeF in_ppm(const VolumeF& volume_hz, double b0_tesla)
{
    const auto scale = static_cast<float>(1.0 / units::hz_per_ppm(b0_tesla));
    VolumeF volume_ppm(volume_hz.grid());
    parallel::for_blocks(volume_ppm.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) volume_ppm[i] = scale * volume_hz[i];
    });
    return volume_ppm;
}

void run_local_field(Chain& chain)
{
    const double b0_tesla = chain.spec.acquisition.b0_tesla;
    require(b0_tesla > 0.0, str("field strength ", b0_tesla, " T: expected a positive number"));
    for (std::size_t i = 0; i < chain.n_fields(); ++i) {
        find_local_field(chain, chain.maps[i], Pass::filled);
        if (!chain.reliable_mask) continue;
        share_field(chain.maps[i], chain.reliable_maps[i]);
        find_local_field(chain, chain.reliable_maps[i], Pass::reliable);
    }
}

void run_chi(Chain& chain)
{
    const SharedMask csf = needs_csf(chain.spec.options) ? find_csf(chain) : nullptr;
    const ReferenceRegion reference(chain, csf);
    for (std::size_t i = 0; i < chain.n_fields(); ++i) {
        MapState& map = chain.maps[i];
        VolumeF chi_ppm = unreferenced(chain, map, csf.get());
        if (!chain.reliable_maps.empty() && chain.reliable_maps[i].local_field_ppm) {
            MapState& reliable = chain.reliable_maps[i];
            chain.note("two_passes", true);
            share_field(map, reliable);
            inversion::combine_passes(chi_ppm, unreferenced(chain, reliable, csf.get()), *reliable.local_mask);
            map.local_mask = united(*map.local_mask, *reliable.local_mask);
            forget(reliable);
        }
        settle(chain, map, chi_ppm);
        reference.apply(chain, chi_ppm, *map.local_mask, map.local_weight.get());
        map.local_weight = nullptr;
        map.chi_ppm = std::make_shared<VolumeF>(std::move(chi_ppm));
    }
    if (chain.maps.size() > 1) combine_echoes(chain, reference);
    for (const MapState& map : chain.maps) require_something(map);
}

}  // namespace qsmpi::pipeline
