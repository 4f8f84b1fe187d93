#include "qsmpi/background/source_separation.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/gradient.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "dark_parts.hpp"
#include "source_solver.hpp"

namespace qsmpi::background {
namespace {

// Where sources may be, and which voxels are data.
struct Setting {
    Volume<std::uint8_t> region;
    VolumeF squared_weight;  // 1 / variance [1/ppm^2], 0: no data
};

Setting describe(const VolumeF& field, const Mask& mask, const SeparationInput& input, const SeparationOptions& o)
{
    const Grid& grid = mask.grid();
    Setting s{Volume<std::uint8_t>(grid, no_signal), VolumeF(grid, 0.0f)};
    Mask data(grid);
    float limit = std::numeric_limits<float>::infinity();
    VolumeF distance_to_mask;
    if (input.magnitude != nullptr) {
        limit = static_cast<float>(o.signal_fraction * numerics::usual_signal(*input.magnitude, mask));
        Mask outside(grid);
        for (std::size_t i = 0; i < mask.size(); ++i) outside[i] = mask[i] ? 0 : 1;
        distance_to_mask = numerics::distance_inside_mm(outside, false);
    }
    const Dims& d = grid.dims;
    const auto is_consistent = [&](std::size_t i) {
        return input.relative_residual == nullptr || static_cast<double>((*input.relative_residual)[i]) < o.residual_limit;
    };
    const auto is_known = [&](std::size_t i) { return input.sigma_ppm == nullptr || std::isfinite((*input.sigma_ppm)[i]); };
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const bool signal = input.magnitude != nullptr && (*input.magnitude)[i] > limit;
            s.region[i] = mask[i] ? inside : signal ? tissue : no_signal;
            const bool near = signal && static_cast<double>(distance_to_mask[i]) <= o.data_margin_mm;
            data[i] = std::isfinite(field[i]) && (mask[i] || (near && is_known(i) && is_consistent(i))) ? 1 : 0;
        }
    });
    const VolumeF depth_mm = numerics::distance_inside_mm(data, false);
    const double layer_mm = *std::max_element(grid.voxel_mm.begin(), grid.voxel_mm.end());
    const auto variance = [&](std::size_t x, std::size_t y, std::size_t z) {
        const std::size_t i = d.index(x, y, z);
        const numerics::Surroundings around = numerics::surroundings(field, data, x, y, z);
        const std::size_t layer = around.outermost ? 0 : static_cast<double>(depth_mm[i]) <= 2.1 * layer_mm ? 1 : 2;
        const double floor = layer == 0 ? o.rim_error_ppm : o.model_error_ppm;
        const double noise = input.sigma_ppm == nullptr ? 0.0 : static_cast<double>((*input.sigma_ppm)[i]);
        const double misfit = is_consistent(i) ? 0.0 : 15.0 * o.model_error_ppm;
        const double slope = o.steepness_error[layer] * static_cast<double>(around.largest_step);
        return noise * noise + floor * floor + misfit * misfit + slope * slope;
    };
    parallel::for_each(d.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::size_t i = d.index(x, y, z);
                // Infinite variance (no signal) leaves weight 0.
                if (data[i]) s.squared_weight[i] = static_cast<float>(1.0 / variance(x, y, z));
            }
    });
    return s;
}

// Is the field known beyond the mask? A hundredth of the mask's voxels is next to nothing.
bool has_data_beyond(const Setting& setting, const Mask& mask)
{
    std::size_t n_beyond = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) n_beyond += mask[i] == 0 && setting.squared_weight[i] > 0.0F ? 1 : 0;
    return 100 * n_beyond > numerics::count(mask);
}

// The grid on which sources are: the box, and where the edge of the scan cuts the margin off, as much beyond it. The far end
// of an axis meets its beginning in the FFT, so padding there serves both.
Grid world(const Mask& box_mask, const Dims& margin)
{
    const Dims inner = numerics::bounding_box(box_mask).dims, outer = box_mask.dims();
    const auto length = [](std::size_t mask_n, std::size_t box_n, std::size_t margin_n) {
        return numerics::good_length(std::max(box_n, mask_n + 2 * margin_n));
    };
    return {{length(inner.nx, outer.nx, margin.nx), length(inner.ny, outer.ny, margin.ny), length(inner.nz, outer.nz, margin.nz)},
            box_mask.grid().voxel_mm};
}

SourceSizes sizes_of(const SeparationRound& round, const SeparationOptions& o)
{
    return {static_cast<float>(o.sigma_void_ppm), static_cast<float>(round.sigma_tissue_ppm),
            static_cast<float>(round.sigma_inside_ppm)};
}

LowOrder low_order(const SeparationInput& input) { return input.holds_coil_phase ? LowOrder::quadratic : LowOrder::harmonic; }

Mask difference(const Mask& mask, const Mask& part)
{
    Mask rest(mask.grid());
    for (std::size_t i = 0; i < mask.size(); ++i) rest[i] = mask[i] != 0 && part[i] == 0 ? 1 : 0;
    return rest;
}

// How far each voxel of the local field can be trusted.
VolumeF trust(const Setting& setting, const Mask& mask, double model_error_ppm)
{
    VolumeF weight(mask.grid());
    parallel::for_blocks(weight.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const double w = model_error_ppm * std::sqrt(static_cast<double>(setting.squared_weight[i]));
            weight[i] = mask[i] ? static_cast<float>(std::min(1.0, w)) : 0.0f;
        }
    });
    return weight;
}

// out = a - b inside the mask (or everywhere without one), 0 elsewhere and where a is not finite. `out` may be b.
void subtract(const VolumeF& a, const VolumeF& b, const Mask* mask, VolumeF& out)
{
    parallel::for_blocks(out.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            out[i] = (mask == nullptr || (*mask)[i]) && std::isfinite(a[i]) ? a[i] - b[i] : 0.0f;
    });
}

// Where the data deserve far less trust than elsewhere, what no source explains is error of the data. Leaves that of it.
void keep_error(VolumeF& unexplained, const VolumeF& weight, const Mask& mask)
{
    constexpr double little = 0.3;  // of the median trust; below, the error's share rises to all of it at 0
    const double usual = numerics::median_inside(weight, mask);
    const auto scale = usual > 0.0 ? static_cast<float>(1.0 / (little * usual)) : 0.0F;
    parallel::for_blocks(unexplained.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            unexplained[i] *= mask[i] != 0 && usual > 0.0 ? std::max(0.0F, 1.0F - scale * weight[i]) : 0.0F;
    });
}

// Those parts where the error of the field (its root mean square) is large beside the part's mean source.
Mask garbled_parts(const Mask& mask, const VolumeF& error_ppm, const VolumeF& sources_ppm, double limit)
{
    const numerics::Components parts = numerics::label_components(mask);
    VolumeF squared(error_ppm.grid());
    for (std::size_t i = 0; i < squared.size(); ++i) squared[i] = error_ppm[i] * error_ppm[i];
    const std::vector<double> squared_sum = sum_by_part(parts, squared), source_sum = sum_by_part(parts, sources_ppm);
    Mask garbled(mask.grid());
    for (std::size_t i = 0; i < mask.size(); ++i) {
        const std::uint32_t p = parts.labels[i];
        const auto n = static_cast<double>(parts.sizes[p]);
        garbled[i] = p != 0 && std::sqrt(squared_sum[p] / n) > limit * std::abs(source_sum[p]) / n ? 1 : 0;
    }
    return garbled;
}

// Leaves the errors that are far beyond what partial volume at the rim explains. Below, sources smaller than a voxel may have
// made them, and the measurement is as good as the model.
void keep_gross(VolumeF& error, double usual_ppm)
{
    const auto k = static_cast<float>(usual_ppm * usual_ppm);
    parallel::for_blocks(error.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) error[i] *= error[i] * error[i] / (error[i] * error[i] + k);
    });
}

// As many rounds as separation_rounds() plans for n.
void extend(std::vector<SeparationRound>& rounds, std::size_t n)
{
    const std::vector<SeparationRound> all = separation_rounds(static_cast<int>(n));
    for (std::size_t r = rounds.size(); r < n; ++r) rounds.push_back(all[r]);
}

// Does the map hold one source as strong and large as a haemorrhage, more than the rest of what is strong together? In a map
// that is strong in many places, the field is at fault.
bool holds_strong_source(const VolumeF& chi_ppm, const SeparationOptions& o)
{
    const auto limit = static_cast<float>(o.strong_ppm);
    Mask strong(chi_ppm.grid());
    for (std::size_t i = 0; i < strong.size(); ++i) strong[i] = std::abs(chi_ppm[i]) > limit ? 1 : 0;
    double all_ppm = 0.0;
    for (std::size_t i = 0; i < strong.size(); ++i)
        if (strong[i] != 0) all_ppm += static_cast<double>(std::abs(chi_ppm[i]));
    double largest_ppm = 0.0;
    for (const double sum : sum_by_part(numerics::label_components(strong), chi_ppm)) largest_ppm = std::max(largest_ppm, std::abs(sum));
    return largest_ppm * chi_ppm.grid().voxel_mm3() >= 1000.0 * o.strong_moment_ppm_ml && 2.0 * largest_ppm > all_ppm;
}

}  // namespace

std::vector<SeparationRound> separation_rounds(int n_rounds)
{
    require(n_rounds > 0, str("separate_sources: ", n_rounds, " rounds; expected at least 1"));
    constexpr std::size_t quick = 5;  // more of them can afford to be thorough
    std::vector<SeparationRound> rounds(static_cast<std::size_t>(n_rounds), {20, 0.01, 4.0});
    for (std::size_t r = 0; r < std::min(quick, rounds.size()); ++r) rounds[r].iterations = 15;
    rounds.front() = {30, 0.02, 1.0};
    return rounds;
}

LocalField separate_sources(const VolumeF& total_field_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                            const SeparationInput& input, const InnerInversion& inner,
                            const SeparationOptions& options)
{
    require_same_grid(total_field_ppm, mask, "separate_sources: field and mask");
    require(!options.rounds.empty(), "separate_sources: at least one round is needed");
    if (numerics::count(mask) == 0)
        return {VolumeF(mask.grid(), 0.0f), mask.clone(), 0, 0.0, true, VolumeF(mask.grid(), 0.0f), {}};

    const Dims margin = numerics::voxels_along(mask.grid(), options.margin_mm);
    const auto box = numerics::bounding_box(mask, margin);
    const Mask box_mask = numerics::crop(mask, box);
    const Grid padded = world(box_mask, margin);
    const VolumeF field = numerics::crop(total_field_ppm, box);
    const auto crop_if = [&](const VolumeF* v) {
        return v == nullptr || v->empty() ? VolumeF() : numerics::crop(*v, box);
    };
    VolumeF magnitude = crop_if(input.magnitude);
    const auto setting_of = [&](const Mask& measured) {
        const VolumeF sigma = crop_if(input.sigma_ppm), residual = crop_if(input.relative_residual);
        const SeparationInput cropped{sigma.empty() ? nullptr : &sigma, magnitude.empty() ? nullptr : &magnitude,
                                      residual.empty() ? nullptr : &residual, input.holds_coil_phase};
        return describe(field, measured, cropped, options);
    };
    // In the first round the sources of dark parts may be of any size, which tells those that are air or hold small strong sources.
    DarkParts dark = find_dark_parts(box_mask, magnitude, options);
    Mask measured = difference(box_mask, dark.either);
    JudgedParts judged;
    Setting setting = setting_of(measured);

    SourceSolver solver(padded, b0_direction_ijk, setting.region, setting.squared_weight, low_order(input));
    VolumeF weight;
    VolumeF local(field.grid(), 0.0f), target(field.grid());
    subtract(field, local, nullptr, target);
    std::vector<SeparationRound> rounds = options.rounds;
    if (!inner) rounds.resize(1, rounds.front());  // nothing to learn from between rounds
    if (rounds.size() > 1 && rounds.size() < options.rounds_without_data_beyond && !has_data_beyond(setting, box_mask))
        extend(rounds, options.rounds_without_data_beyond);
    const std::size_t n_planned = rounds.size();
    for (std::size_t r = 0; r < rounds.size(); ++r) {
        const SeparationRound round = rounds[r];
        solver.set_sizes(sizes_of(round, options));
        const bool judges_dark_parts = r == 0 && numerics::count(dark.either) > 0;
        solver.solve(target, judges_dark_parts ? 2 * round.iterations / 3 : round.iterations);
        if (r == 0) {
            if (judges_dark_parts) {
                solver.release_directions();
                judged = judge(dark, box_mask, measured, solver.sources_ppm(), magnitude, options);
                dark = {};
                measured = difference(difference(box_mask, judged.background), judged.apart);
                setting = setting_of(measured);
                solver.accept_changed_setting();
                // What tissue among the dark parts took of the background must be found again outside, before a map is made of it.
                static_cast<void>(solver.background_ppm());  // its sources stay
                solver.set_sizes(sizes_of(round, options));
                solver.solve(target, round.iterations / 2);
            }
            weight = trust(setting, measured, options.model_error_ppm);
        }
        subtract(field, solver.background_ppm(), &box_mask, local);
        if (r + 1 == rounds.size()) break;
        solver.release_scratch();
        const VolumeF chi_ppm =
            inner({local, weight, measured, magnitude.empty() ? nullptr : &magnitude, static_cast<int>(r)});
        magnitude = {};
        if (r + 2 == n_planned && n_planned < options.rounds_beside_strong && holds_strong_source(chi_ppm, options))
            extend(rounds, options.rounds_beside_strong);
        solver.dipole_field(chi_ppm, target);
        subtract(field, target, nullptr, target);
    }
    VolumeF error = solver.unexplained_ppm();
    if (numerics::count(judged.apart) > 0) {
        const VolumeF sources_ppm = solver.sources_ppm();
        solver.add_field_of(sources_ppm, judged.apart, local);
        magnitude = crop_if(input.magnitude);
        const Mask garbled = garbled_parts(judged.apart, error, sources_ppm, options.garbled_part);
        const Mask all = difference(difference(box_mask, judged.background), garbled);
        weight = trust(setting_of(all), all, options.model_error_ppm);
    }
    const double taken_mm3 =
        static_cast<double>(numerics::count(judged.background)) * mask.grid().voxel_mm3();
    keep_error(error, weight, box_mask);
    subtract(local, error, &box_mask, local);
    keep_gross(error, 2.0 * options.rim_error_ppm);
    return {numerics::uncrop(local, box, mask.grid()), mask.clone(), solver.iterations(), solver.relative_residual(), true,
            numerics::uncrop(weight, box, mask.grid()), numerics::uncrop(error, box, mask.grid()),
            static_cast<int>(rounds.size()), 0.0, taken_mm3};
}

}  // namespace qsmpi::background
