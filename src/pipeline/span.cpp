#include "qsmpi/pipeline/span.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "chain.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/field/field_map.hpp"
#include "qsmpi/numerics/fft.hpp"
#include "qsmpi/numerics/kernels.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "geometry_checks.hpp"
#include "phase_checks.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

// Standard deviation of the field in tissue; beside a metal implant or in an unshimmed magnet a part of the second.
constexpr double usual_local_field_ppm = 0.5;
constexpr double usual_total_field_ppm = 5.0;

constexpr Span table[] = {
    // Background removal tells which voxels of the field no source can have made.
    {"field-mapping", Artifact::phase, Artifact::total_field, "phase", "local_field"},
    {"bfr", Artifact::total_field, Artifact::local_field, "mask", "local_field"},
    {"dipole", Artifact::local_field, Artifact::chi, "mask", "chi"},
    {"unwrap+bfr", Artifact::phase, Artifact::local_field, "phase", "local_field"},
    {"bfr+dipole", Artifact::total_field, Artifact::chi, "mask", "chi"},
    {"end-to-end", Artifact::phase, Artifact::chi, "phase", "chi"},
};

VolumeF scaled(const VolumeF& volume, double factor)
{
    const auto f = static_cast<float>(factor);
    VolumeF out(volume.grid());
    parallel::for_blocks(out.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) out[i] = f * volume[i];
    });
    return out;
}

/// Standard deviation of the field of all echoes together, as field::weighted_average() predicts it. Programs write 0 where they
/// have no field: beyond the mask that is no measurement.
VolumeF sigma_of_field(const std::vector<VolumeF>& magnitude, const SpanInput& input, double noise_std)
{
    const std::vector<double>& echo_times_s = input.echo_times_s;
    VolumeF sigma_hz(magnitude.front().grid());
    parallel::for_blocks(sigma_hz.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            double sum = 0.0;
            for (std::size_t e = 0; e < magnitude.size(); ++e) {
                const double x = static_cast<double>(magnitude[e][i]) * echo_times_s[e];
                sum += x * x;
            }
            const bool blank = input.mask[i] == 0 && input.field_ppm[i] == 0.0F;
            sigma_hz[i] = sum > 0.0 && !blank ? static_cast<float>(noise_std / (units::two_pi * std::sqrt(sum)))
                                              : std::numeric_limits<float>::infinity();
        }
    });
    return sigma_hz;
}

/// Takes out of the mask where the field is 0 as programs leave it where they have none: at the mask's border. Inside, it may be
/// the field of a made object, such as a ball, and is used.
void leave_out_gaps(Chain& chain, const Span& span, const VolumeF& field_ppm, Mask& mask)
{
    Mask gaps(mask.grid());
    for (std::size_t i = 0; i < mask.size(); ++i) gaps[i] = mask[i] != 0 && is_gap(field_ppm, i) ? 1 : 0;
    const std::size_t n = numerics::count(mask), n_gaps = numerics::count(gaps);
    if (n_gaps == 0) return;
    require(n_gaps < n, str(span.name, ": the field is 0 in the whole mask"));
    const numerics::Components parts = numerics::label_components(gaps);
    const Mask inner = numerics::erode(mask, 1e-3 + *std::max_element(mask.grid().voxel_mm.begin(), mask.grid().voxel_mm.end()));
    std::vector<bool> at_border(parts.sizes.size(), false);
    for (std::size_t i = 0; i < mask.size(); ++i)
        if (gaps[i] != 0 && inner[i] == 0) at_border[parts.labels[i]] = true;
    std::size_t n_out = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) {
        if (!at_border[parts.labels[i]]) continue;
        mask[i] = 0;
        ++n_out;
    }
    if (n_out > 0)
        chain.warn(str("the field is 0 in ", n_out, " of ", n, " voxels of the mask, at its border, as where it is not known: they are left out"));
    if (n_out < n_gaps)
        chain.warn(str("the field is exactly 0 in ", n_gaps - n_out, " of ", n, " voxels inside the mask: if it is not known there, leave them "
                                                                              "out of the mask"));
}

void check(const Span& span, const SpanInput& input, const ChainOptions& options)
{
    const std::string who = str(span.name, ": ");
    require(input.b0_tesla > 0.0, str(who, "field strength ", input.b0_tesla, " T: expected a positive number"));
    const Dims& dims = input.geometry.grid.dims;
    require(span.to == Artifact::total_field || (dims.nx > 1 && dims.ny > 1 && dims.nz > 1),
            str(who, "a single slice: susceptibility needs a volume; acquire or join more slices"));
    const auto fits = [&](const auto& volume, const char* what) {
        require(volume.dims() == dims, str(who, what, " and geometry differ in shape"));
    };
    fits(input.mask, "mask");
    for (const VolumeF& m : input.magnitude) fits(m, "magnitude");
    const std::size_t n_echoes = input.echo_times_s.size();
    if (span.from == Artifact::phase) {
        require(n_echoes > 0 && input.phase_rad.size() == n_echoes,
                str(who, input.phase_rad.size(), " phases but ", n_echoes, " echo times"));
        for (const VolumeF& p : input.phase_rad) fits(p, "phase");
    } else {
        fits(input.field_ppm, "field");
    }
    require(input.magnitude.empty() || input.magnitude.size() == n_echoes,
            str(who, input.magnitude.size(), " magnitudes but ", n_echoes, " echo times"));
    require(options.swi == "off", str(who, "swi makes images of its own, but one is written: leave it off"));
    require(span.to != Artifact::local_field || !background_use(options).total_field,
            str(who, "inversion ", options.inversion, " starts from the total field, so that no background would be removed: leave it out"));
    require(!options.per_echo || (span.to == Artifact::chi && span.from == Artifact::phase),
            str(who, "per_echo makes a map of each echo, but one is written: leave it off"));
}

JobSpec job_of(const SpanInput& input, const ChainOptions& options)
{
    JobSpec spec;
    spec.options = options;
    spec.options.mask = "mask.nii.gz";  // any file: it is given in memory
    spec.acquisition.key = "stage";
    spec.acquisition.b0_tesla = input.b0_tesla;
    spec.acquisition.geometry = input.geometry;
    for (const double echo_time_s : input.echo_times_s) {
        io::Echo& echo = spec.acquisition.echoes.emplace_back();
        if (!input.magnitude.empty()) echo.magnitude.file = "magnitude";
        echo.number = static_cast<int>(spec.acquisition.echoes.size());
        echo.echo_time_s = echo_time_s;
    }
    return spec;
}

/// Puts the input where the first stage of the span looks for it.
void fill(Chain& chain, const Span& span, SpanInput& input)
{
    if (span.from == Artifact::phase) {
        chain.given_mask = std::make_shared<Mask>(std::move(input.mask));
        chain.phase_rad = std::move(input.phase_rad);
        chain.magnitude = std::move(input.magnitude);
        return;
    }
    chain.stage = span.first_stage;
    leave_out_gaps(chain, span, input.field_ppm, input.mask);
    if (!input.magnitude.empty()) {
        chain.magnitude_rss = std::make_shared<VolumeF>(root_sum_of_squares(input.magnitude));
        chain.magnitude = std::move(input.magnitude);
        const double noise_std = noise_of(chain);
        chain.maps.front().sigma_hz = std::make_shared<VolumeF>(sigma_of_field(chain.magnitude, input, noise_std));
        if (chain.magnitude.size() > 1 && chain.spec.options.r2star != "off") {
            chain.notes["field"]["noise_std"] = noise_std;
            chain.stage = "r2star";
            run_r2star(chain);
            chain.s0 = nullptr;
        }
        chain.magnitude.clear();
    }
    chain.given_mask = std::make_shared<Mask>(std::move(input.mask));
    MapState& map = chain.maps.front();
    chain.stage = span.first_stage;
    warn_of_geometry(chain);
    warn_of_implausible_field(chain, input.field_ppm, *chain.given_mask,
                              span.from == Artifact::local_field ? usual_local_field_ppm : usual_total_field_ppm);
    // A local field is a total field without background: inversions of the total field may have it.
    map.field_hz = std::make_shared<VolumeF>(scaled(input.field_ppm, units::hz_per_ppm(input.b0_tesla)));
    chain.given_local_field = span.from == Artifact::local_field;
    if (chain.given_local_field) map.local_field_ppm = std::make_shared<VolumeF>(std::move(input.field_ppm));
}

/// Source separation ends with a map, and the field of its sources is nearer to the local field than the measurement less the
/// background, which keeps all that neither explains. Other methods have no map of their own.
bool ends_with_map(const Span& span, const ChainOptions& options)
{
    return span.to == Artifact::local_field && resolved(options).background == "separation" && !needs_csf(options);
}

/// D chi [ppm] of the sources in the mask, 0 outside of it.
VolumeF field_of(const VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk)
{
    const auto box = numerics::bounding_box(mask);
    VolumeF field_ppm = numerics::crop(chi_ppm, box);
    const Mask inside = numerics::crop(mask, box);
    const auto keep_inside = [&] {
        for (std::size_t i = 0; i < inside.size(); ++i)
            if (inside[i] == 0) field_ppm[i] = 0.0F;
    };
    const auto length = [](std::size_t n) { return numerics::good_length(2 * n); };
    const Grid padded{{length(box.dims.nx), length(box.dims.ny), length(box.dims.nz)}, mask.grid().voxel_mm};
    const numerics::DipoleKernel dipole(padded, b0_direction_ijk);
    const numerics::Fft3 fft(padded);
    numerics::Spectrum work(padded.dims);
    keep_inside();
    fft.filter_tiles(
        field_ppm, field_ppm,
        [&](const numerics::Tile& tile) {
            AlignedBuffer<float> factors(tile.nz * numerics::Tile::width);
            dipole.tile(tile, factors.data());
            tile.multiply(factors.data());
        },
        work);
    keep_inside();
    return numerics::uncrop(field_ppm, box, mask.grid());
}

/// Refuses what no one can use: values that are not finite, or nothing at all.
void check_result(const Span& span, const SpanResult& result)
{
    bool any = false;
    for (std::size_t i = 0; i < result.mask.size(); ++i) {
        if (result.mask[i] == 0) continue;
        if (!std::isfinite(result.volume_ppm[i]))
            throw NumericalError(str(span.name, ": the result is not finite; look for absurd values in the input, which is in ppm "
                                                "(fields), radians (phase) and any unit (magnitude)"));
        any = any || result.volume_ppm[i] != 0.0F;
    }
    if (!any)
        throw NumericalError(str(span.name, ": the result is 0 everywhere: the field is unknown or 0 in the whole mask, or the mask is "
                                            "too small; look at mask, magnitude and echo times"));
}

/// @return names of the stages that were run, in their order
std::vector<std::string> run_stages(Chain& chain, const Span& span)
{
    std::vector<std::string> stages;
    if (chain.notes.contains("r2star")) stages.emplace_back("r2star");  // by fill()
    bool inside = false;
    for (const Stage& stage : stage_table()) {
        const std::string name = stage.name;
        inside = inside || name == span.first_stage;
        // From a local field, what lies between mask and inversion is done.
        const bool done = span.from == Artifact::local_field && name == "local_field";
        if (inside && !done) {
            chain.stage = name;
            log::set_context("stage=" + name);
            stage.run(chain);
            let_go(chain, name);
            stages.push_back(name);
        }
        if (done) chain.maps.front().local_mask = chain.mask;
        if (name == span.last_stage) break;
    }
    log::set_context("");
    return stages;
}

SpanResult take_result(Chain& chain, const Span& span, const std::vector<std::string>& stages)
{
    MapState& map = chain.maps.back();
    SpanResult result;
    result.mask = (span.to == Artifact::total_field ? chain.mask : map.local_mask)->clone();
    if (span.to == Artifact::total_field) {
        result.volume_ppm = in_ppm(*map.field_hz, chain.spec.acquisition.b0_tesla);
        for (std::size_t i = 0; map.field_error_ppm && i < result.mask.size(); ++i)
            result.volume_ppm[i] -= (*map.field_error_ppm)[i];
    }
    else if (span.to == Artifact::local_field && map.chi_ppm)
        result.volume_ppm = field_of(*map.chi_ppm, result.mask, chain.spec.acquisition.geometry.b0_direction_ijk());
    else result.volume_ppm = (span.to == Artifact::chi ? map.chi_ppm : map.local_field_ppm)->clone();
    for (std::size_t i = 0; i < result.mask.size(); ++i)
        if (result.mask[i] == 0) result.volume_ppm[i] = 0.0f;
    const auto ran = [&](const std::string& stage) { return std::find(stages.begin(), stages.end(), stage) != stages.end(); };
    Account account = account_of(chain, ran, stages.back());
    result.warnings = account.warnings.get<std::vector<std::string>>();
    result.account_json = nlohmann::ordered_json{{"Method", std::move(account.methods)},
                                                 {"Parameters", std::move(account.parameters)},
                                                 {"Findings", std::move(account.findings)}}
                              .dump();
    return result;
}

}  // namespace

std::span<const Span> spans() { return table; }

const Span& span(const std::string& name)
{
    std::vector<std::string> names;
    std::string list;
    for (const Span& s : table) {
        if (name == s.name) return s;
        names.emplace_back(s.name);
        list += (list.empty() ? "" : ", ") + names.back();
    }
    const std::string near = nearest_word(name, names);
    throw InputError(str("'", name, "' is not one of ", list, near.empty() ? "" : "; did you mean '" + near + "'?"));
}

SpanResult run_span(const Span& span, SpanInput input, const ChainOptions& options)
{
    validate(options);
    check(span, input, options);
    JobSpec spec = job_of(input, options);
    // R2* is no result of a span: only the inversion may want it. In a local field more can be seen than in a total one.
    if (span.from == Artifact::local_field && options.null_space == "auto") spec.options.null_space = "off";
    if (!(ends_with_map(span, options) || span.to == Artifact::chi) || !keeps_r2star(spec.options)) spec.options.r2star = "off";
    Span run = span;
    if (ends_with_map(span, options)) {
        run.last_stage = "chi";
        spec.options.reference = "mean";
    }
    Chain chain(spec);
    chain.keep_field_error = span.to == Artifact::total_field;
    fill(chain, span, input);
    const std::vector<std::string> stages = run_stages(chain, run);
    SpanResult result = take_result(chain, span, stages);
    result.warnings.insert(result.warnings.begin(), input.warnings.begin(), input.warnings.end());
    check_result(span, result);
    return result;
}

}  // namespace qsmpi::pipeline
