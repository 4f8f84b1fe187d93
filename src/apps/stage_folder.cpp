#include "stage_folder.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include <nlohmann/json.hpp>

#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/magnitude_scale.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/io/plausible.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using pipeline::Artifact;

constexpr const char* params_name = "params.json";
constexpr const char* config_name = "config.json";
constexpr const char* mask_name = "mask.nii.gz";
constexpr const char* magnitude_name = "magnitude.nii.gz";
/// Relative difference of voxel sizes that rounding may make.
constexpr double voxel_tolerance = 0.01;
constexpr double unit_vector_tolerance = 0.01;
constexpr double largest_b0_difference_deg = 10.0;
/// Wrapped phase ends at pi, or at two pi where it is counted from 0; what is beyond has another unit.
constexpr double largest_phase_rad = 2.0 * units::pi + 0.1;

/// What is wrong, gathered; read_stage_folder() throws all of it at once.
class Problems {
public:
    explicit Problems(const fs::path& folder) : folder_(folder) {}
    void add(const char* file, std::string field, std::string value, std::string problem, std::string remedy)
    {
        append(io::Finding{io::Severity::error, "", (folder_ / file).string(), std::move(field), std::move(value),
                           std::move(problem), std::move(remedy)}
                   .line());
    }
    void add(const Error& e) { append(e.what()); }
    /// Of what is used all the same.
    void warn(const std::string& message)
    {
        log::warn(message);
        warnings_.push_back(message);
    }
    [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
    [[nodiscard]] fs::path path_of(const char* file) const { return folder_ / file; }
    void raise() const { require(lines_.empty(), lines_); }
    [[nodiscard]] bool none() const { return lines_.empty(); }

private:
    void append(const std::string& line) { lines_ += str(lines_.empty() ? "" : "\n", line); }

    fs::path folder_;
    std::string lines_;
    std::vector<std::string> warnings_;
};

/// A number or a list of numbers.
std::optional<std::vector<double>> numbers(const json& params, const char* key, std::size_t wanted, const char* form,
                                           Problems& problems)
{
    const auto found = params.find(key);
    if (found == params.end()) {
        const std::string given = [&] {
            std::vector<std::string> keys;
            for (const auto& item : params.items()) keys.push_back(item.key());
            return nearest_word(key, keys);
        }();
        problems.add(params_name, key, "", given.empty() ? "missing" : "missing, though there is " + given, str("give ", form));
        return std::nullopt;
    }
    std::vector<double> values;
    for (const json& item : found->is_array() ? *found : json::array({*found}))
        values.push_back(item.is_number() ? item.get<double>() : std::nan(""));
    const bool finite = std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
    if (!finite || values.empty() || (wanted > 0 && values.size() != wanted)) {
        problems.add(params_name, key, found->dump(), str("is not ", form), str("give ", form));
        return std::nullopt;
    }
    return values;
}

void check_echo_times(const std::vector<double>& echo_times_s, const json& given, Problems& problems)
{
    const auto [low, high] = std::minmax_element(echo_times_s.begin(), echo_times_s.end());
    if (*high > io::longest_echo_time_s)
        problems.add(params_name, "TE", given.dump(), "looks like milliseconds; seconds are wanted", "divide it by 1000");
    else if (*low <= 0.0)
        problems.add(params_name, "TE", given.dump(), "an echo time is not positive", "give it in seconds");
    else if (*high < io::earliest_last_echo_time_s)
        problems.add(params_name, "TE", given.dump(), "earlier than any gradient echo; seconds are wanted", "give it in seconds");
    else if (std::adjacent_find(echo_times_s.begin(), echo_times_s.end(), std::greater_equal<>()) != echo_times_s.end())
        problems.add(params_name, "TE", given.dump(), "echo times do not rise", "sort echoes and times, the shortest first");
}

void check_voxel_size(const std::vector<double>& voxel_mm, const json& given, const Vec3& header_mm, Problems& problems)
{
    for (std::size_t i = 0; i < 3; ++i) {
        if (std::abs(voxel_mm[i] - header_mm[i]) <= voxel_tolerance * header_mm[i]) continue;
        problems.add(params_name, "voxel_size", given.dump(),
                     str("the header of ", mask_name, " says ", header_mm[0], " x ", header_mm[1], " x ", header_mm[2], " mm"),
                     "make the two agree, in mm");
        return;
    }
}

/// B0_dir is in image axes and goes first, for made images may have any affine. Which end of the axis is meant alters nothing.
void compare_with_header(const UnitVector& b0_direction_ijk, const io::Geometry& header, Problems& problems)
{
    if (header.sform_code <= 0 && header.qform_code <= 0) return;  // it names none
    const UnitVector said = header.b0_direction_ijk();
    double cosine = 0.0;
    for (std::size_t i = 0; i < 3; ++i) cosine += b0_direction_ijk[i] * said[i];
    const double apart_deg = std::acos(std::min(1.0, std::abs(cosine))) * 180.0 / units::pi;
    if (apart_deg > largest_b0_difference_deg)
        problems.warn(str(problems.path_of(params_name).string(), ": B0_dir is ", std::round(apart_deg), " degrees from the [", said[0],
                          ", ", said[1], ", ", said[2], "] of the affine of ", mask_name,
                          ", and is used: if the affine is right, give its direction"));
}

/// "line 2, column 7", of a byte counted from 1.
std::string place_in(const std::string& text, std::size_t byte)
{
    const std::string before = text.substr(0, byte == 0 ? 0 : byte - 1);
    const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
    return str("line ", 1 + std::count(before.begin(), before.end(), '\n'), ", column ", before.size() - line_start + 1);
}

json read_object(const fs::path& folder, const char* name, Problems& problems)
{
    const std::string text = io::read_file(folder / name);
    std::string problem = "is not a JSON object";
    try {
        json content = json::parse(text);
        if (content.is_object()) return content;
    } catch (const json::parse_error& e) {
        problem = str("is not JSON at ", place_in(text, e.byte));
    } catch (const json::exception&) {
        problem = "holds a number that is too large";
    }
    problems.add(name, "", "", problem, "write { \"key\": value, ... }, numbers without NaN or Infinity");
    return json::object();
}

/// Fills what params.json tells; the geometry must be known.
void read_params(const fs::path& folder, pipeline::SpanInput& input, Problems& problems)
{
    const json params = read_object(folder, params_name, problems);
    if (!problems.none()) return;
    if (const auto te = numbers(params, "TE", 0, "echo times in seconds: a number or a list", problems)) {
        check_echo_times(*te, params["TE"], problems);
        input.echo_times_s = *te;
    }
    if (const auto b0 = numbers(params, "B0", 1, "the field strength in tesla", problems)) {
        input.b0_tesla = b0->front();
        if (!io::is_plausible_b0(input.b0_tesla))
            problems.add(params_name, "B0", params["B0"].dump(), io::plausible_b0, "give the field strength in tesla");
    }
    if (const auto b = numbers(params, "B0_dir", 3, "three numbers, a unit vector in image axes", problems)) {
        const double length = std::hypot((*b)[0], (*b)[1], (*b)[2]);
        if (std::abs(length - 1.0) > unit_vector_tolerance)
            problems.add(params_name, "B0_dir", params["B0_dir"].dump(), str("has length ", length), "divide it by its length");
        else {
            const UnitVector direction{(*b)[0] / length, (*b)[1] / length, (*b)[2] / length};
            compare_with_header(direction, input.geometry, problems);
            input.geometry.given_b0_direction_ijk = direction;
        }
    }
    if (const auto h = numbers(params, "voxel_size", 3, "three voxel sizes in mm", problems))
        check_voxel_size(*h, params["voxel_size"], input.geometry.grid.voxel_mm, problems);
}

std::string shape_text(const Dims& d) { return str(d.nx, " x ", d.ny, " x ", d.nz); }

/// All volumes of a file, on the grid of the mask. Empty after a problem.
std::vector<VolumeF> read_volumes(const fs::path& folder, const char* name, const io::Geometry& geometry, Problems& problems)
{
    const Grid& grid = geometry.grid;
    std::vector<VolumeF> volumes;
    io::Affine affine{};
    try {
        const io::NiftiHeader header = io::read_nifti_header(folder / name);
        affine = header.geometry.affine();
        volumes = io::read_nifti_all(folder / name, header);
    } catch (const Error& e) {
        problems.add(e);
        return {};
    }
    if (volumes.front().dims() != grid.dims) {
        problems.add(name, "shape", shape_text(volumes.front().dims()), str("but ", mask_name, " is ", shape_text(grid.dims)),
                     "resample one to the other");
        return {};
    }
    const double apart_mm = io::largest_corner_distance_mm(affine, geometry.affine(), grid.dims);
    if (apart_mm > *std::min_element(grid.voxel_mm.begin(), grid.voxel_mm.end()))
        problems.warn(str((folder / name).string(), ": its header places corners up to ", apart_mm, " mm from where that of ", mask_name,
                      " does; voxels are taken to be in the same order: if axes are flipped, resample one to the other"));
    for (VolumeF& v : volumes) v.set_voxel_mm(grid.voxel_mm);
    return volumes;
}

bool is_field(const std::string& name)
{
    return name == file_name(Artifact::total_field) || name == file_name(Artifact::local_field);
}

struct Census {
    std::size_t not_finite = 0;  ///< inside the mask
    double low = 0.0, high = 0.0;  ///< of the others, anywhere, and of 0
    [[nodiscard]] double largest() const { return std::max(-low, high); }
    Census& operator+=(const Census& o)
    {
        not_finite += o.not_finite;
        low = std::min(low, o.low);
        high = std::max(high, o.high);
        return *this;
    }
};

/// Sets what is not finite to 0, looks at the rest, and brings magnitudes to a scale that can be computed with.
void check_values(std::vector<VolumeF>& volumes, const char* name, const Mask& mask, Problems& problems)
{
    Census all;
    for (VolumeF& v : volumes)
        all += parallel::sum_blocks<Census>(v.size(), [&](std::size_t begin, std::size_t end) {
            Census part;
            for (std::size_t i = begin; i < end; ++i) {
                if (std::isfinite(v[i])) {
                    part.low = std::min(part.low, static_cast<double>(v[i]));
                    part.high = std::max(part.high, static_cast<double>(v[i]));
                    continue;
                }
                part.not_finite += mask[i] != 0 ? 1 : 0;
                v[i] = 0.0F;
            }
            return part;
        });
    if (all.not_finite > 0)
        problems.add(name, "", "", str(all.not_finite, " voxels inside the mask are NaN or infinite"),
                     str("repair them, or leave them out of ", mask_name));
    else if (!volumes.empty() && all.largest() == 0.0)
        problems.add(name, "", "", "all voxels are zero", "make the image again");
    else if (name == std::string(file_name(Artifact::phase)) && all.largest() > largest_phase_rad)
        problems.add(name, "", str(all.largest()), "wrapped phase in radians ends at pi", "scale it to radians");
    else if (is_field(name) && all.largest() > io::largest_field_ppm)
        problems.add(name, "", str(all.largest()), io::plausible_field, "give it in ppm, and 0 where it is not known");
    if (name != std::string(magnitude_name)) return;
    if (all.low < 0.0 && all.high <= 0.0)
        problems.add(name, "", str(all.low, "..", all.high), "no voxel is above zero, as a magnitude is", "make the image again");
    io::MagnitudeScale scale;
    for (const VolumeF& v : volumes) scale += io::scale_of(v);
    for (VolumeF& v : volumes) io::multiply_by_power_of_two(v, io::exponent_for(scale));
}

/// Whether each volume has one value in the whole mask, as a mask given for a magnitude does.
bool are_constant(const std::vector<VolumeF>& volumes, const Mask& mask)
{
    const auto first = static_cast<std::size_t>(std::find_if(mask.begin(), mask.end(), [](std::uint8_t m) { return m != 0; }) - mask.begin());
    return std::all_of(volumes.begin(), volumes.end(), [&](const VolumeF& v) {
        for (std::size_t i = first; i < mask.size(); ++i)
            if (mask[i] != 0 && v[i] != v[first]) return false;
        return true;
    });
}

void wrap(std::vector<VolumeF>& phase_rad)
{
    for (VolumeF& p : phase_rad)
        parallel::for_blocks(p.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i)
                if (std::abs(p[i]) > static_cast<float>(units::pi))
                    p[i] = static_cast<float>(std::remainder(static_cast<double>(p[i]), units::two_pi));
        });
}

void check_echoes(const std::vector<VolumeF>& volumes, const char* name, const pipeline::SpanInput& input, Problems& problems)
{
    if (volumes.empty() || input.echo_times_s.empty() || volumes.size() == input.echo_times_s.size()) return;
    problems.add(name, "echoes", str(volumes.size()), str(params_name, " has ", input.echo_times_s.size(), " echo times"),
                 "give a volume for each TE, along the fourth axis");
}

void require_files(const fs::path& folder, const pipeline::Span& span, Problems& problems)
{
    std::vector<const char*> files{mask_name, params_name, file_name(span.from)};
    if (span.from == Artifact::phase) files.push_back(magnitude_name);
    for (const char* file : files)
        if (!fs::exists(folder / file)) problems.add(file, "", "", "is missing", str("stage ", span.name, " needs it"));
}

}  // namespace

const char* file_name(Artifact artifact)
{
    switch (artifact) {
        case Artifact::phase: return "phase.nii.gz";
        case Artifact::total_field: return "totalfield.nii.gz";
        case Artifact::local_field: return "localfield.nii.gz";
        case Artifact::chi: return "chimap.nii.gz";
    }
    return "";
}

pipeline::SpanInput read_stage_folder(const fs::path& folder, const pipeline::Span& span)
{
    require(fs::is_directory(folder), str(folder.string(), " is not a folder"));
    Problems problems(folder);
    require_files(folder, span, problems);
    problems.raise();

    pipeline::SpanInput input;
    input.geometry = io::read_nifti_header(folder / mask_name).geometry;
    input.mask = io::read_mask(folder / mask_name, [&](const std::string& message) { problems.warn(message); });
    if (std::all_of(input.mask.begin(), input.mask.end(), [](std::uint8_t m) { return m == 0; }))
        problems.add(mask_name, "", "", "all voxels are zero", "mark the voxels to reconstruct");
    read_params(folder, input, problems);

    const auto read = [&](const char* name) {
        std::vector<VolumeF> volumes = read_volumes(folder, name, input.geometry, problems);
        check_values(volumes, name, input.mask, problems);
        return volumes;
    };
    std::vector<VolumeF> start = read(file_name(span.from));
    if (span.from == Artifact::phase) {
        check_echoes(start, file_name(span.from), input, problems);
        wrap(start);
        input.phase_rad = std::move(start);
    } else if (start.size() > 1) {
        problems.add(file_name(span.from), "volumes", str(start.size()), "one is wanted", "give a 3-D image");
    } else if (!start.empty()) {
        input.field_ppm = std::move(start.front());
    }
    if (fs::exists(folder / magnitude_name)) {
        input.magnitude = read(magnitude_name);
        check_echoes(input.magnitude, magnitude_name, input, problems);
        if (problems.none() && are_constant(input.magnitude, input.mask)) {
            problems.warn(str(problems.path_of(magnitude_name).string(), ": is the same in the whole mask, tells nothing and is left out"));
            input.magnitude.clear();
        }
    }
    problems.raise();
    input.warnings = problems.warnings();
    return input;
}

json read_stage_config(const fs::path& folder)
{
    if (!fs::exists(folder / config_name)) return json::object();
    Problems problems(folder);
    const json content = read_object(folder, config_name, problems);
    problems.raise();
    json options = json::object();
    for (const auto& [name, value] : content.items()) {
        std::string key = name;
        std::replace(key.begin(), key.end(), '-', '_');
        if (options.contains(key)) problems.add(config_name, name, "", "is given twice", "take one out");
        options[key] = value;
    }
    problems.raise();
    try {
        (void)options.get<pipeline::ChainOptions>();
    } catch (const InputError& e) {
        throw InputError(str((folder / config_name).string(), ": ", e.what()));
    }
    return options;
}

}  // namespace qsmpi::apps
