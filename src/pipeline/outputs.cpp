// What a job publishes, and under which names.
#include <algorithm>
#include <cmath>
#include <optional>

#include "chain.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/io/png.hpp"
#include "qsmpi/relaxometry/r2star.hpp"
#include "qsmpi/swi/swi.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

namespace fs = std::filesystem;
constexpr const char* hash_key = "JobHash";
constexpr double window_ppm = 0.1;
constexpr double min_ip_slab_mm = 7.0;

/// One image: which map it belongs to and what it shows.
struct Output {
    int echo_number = 0;
    std::string suffix;
};

std::vector<Output> outputs_of(const io::Acquisition& acquisition, const ChainOptions& options)
{
    std::vector<Output> outputs;
    const bool several = options.per_echo && acquisition.echoes.size() > 1;
    if (several)
        for (const io::Echo& echo : acquisition.echoes)
            for (const char* suffix : {"fieldmap", "Chimap"}) outputs.push_back({echo.number, suffix});
    outputs.push_back({0, "mask"});
    outputs.push_back({0, "desc-romeo_quality"});
    if (!several) {
        for (const char* suffix : {"fieldmap", "desc-sigma_fieldmap"}) outputs.push_back({0, suffix});
        if (removes_background(options)) outputs.push_back({0, "desc-local_fieldmap"});
    }
    if (r2star_method(acquisition, options) != "off")
        for (const char* suffix : {"R2starmap", "T2starmap", "S0map"}) outputs.push_back({0, suffix});
    if (swi_method(acquisition, options) != "off")
        for (const char* suffix : {"swi", "minIP"}) outputs.push_back({0, suffix});
    outputs.push_back({0, "Chimap"});
    return outputs;
}

fs::path name_of(const io::Acquisition& acquisition, const Output& output, const char* extension)
{
    const std::string echo = output.echo_number == 0 ? "" : str("_echo-", output.echo_number);
    return acquisition.folder() / str(acquisition.prefix(), echo, "_", output.suffix, extension);
}

fs::path picture_of(const io::Acquisition& acquisition) { return name_of(acquisition, {0, "Chimap"}, ".png"); }
fs::path main_image_of(const io::Acquisition& acquisition) { return name_of(acquisition, {0, "Chimap"}, ".nii.gz"); }
fs::path main_sidecar_of(const io::Acquisition& acquisition) { return name_of(acquisition, {0, "Chimap"}, ".json"); }

std::vector<fs::path> files_of(const io::Acquisition& acquisition, const ChainOptions& options)
{
    std::vector<fs::path> files;
    for (const Output& output : outputs_of(acquisition, options)) {
        files.push_back(name_of(acquisition, output, ".json"));
        files.push_back(name_of(acquisition, output, ".nii.gz"));
    }
    files.insert(files.end() - 2, picture_of(acquisition));
    return files;
}

// `value(i)` of every voxel.
template <typename Value>
VolumeF computed(const Grid& grid, Value&& value)
{
    VolumeF result(grid);
    parallel::for_blocks(result.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) result[i] = value(i);
    });
    return result;
}

const MapState& map_of(const Chain& chain, const Output& output)
{
    return *std::find_if(chain.maps.begin(), chain.maps.end(),
                         [&](const MapState& map) { return map.echo_number == output.echo_number; });
}

// The voxel axis nearest to B0, whichever way the slices lie: veins of the brain are known from axial slabs.
int axial_axis(const io::Geometry& geometry)
{
    const UnitVector b = geometry.b0_direction_ijk();
    int axis = 2;
    for (const int other : {1, 0})
        if (std::abs(b[static_cast<std::size_t>(other)]) > std::abs(b[static_cast<std::size_t>(axis)])) axis = other;
    return axis;
}

void write_image(const Chain& chain, const Output& output, const fs::path& file)
{
    const MapState& map = map_of(chain, output);
    const io::Geometry& geometry = chain.spec.acquisition.geometry;
    const Grid& grid = geometry.grid;
    if (output.suffix == "Chimap") {
        io::write_nifti(file, *map.chi_ppm, geometry, "susceptibility [ppm]");
    } else if (output.suffix == "mask") {
        io::write_nifti(file, *chain.mask, geometry, "mask");
    } else if (output.suffix == "R2starmap") {
        io::write_nifti(file, *chain.r2star_per_s, geometry, "R2* [1/s]");
    } else if (output.suffix == "T2starmap") {
        io::write_nifti(file, relaxometry::t2star_s(*chain.r2star_per_s, *chain.s0), geometry, "T2* [s]");
    } else if (output.suffix == "S0map") {
        io::write_nifti(file, *chain.s0, geometry, "signal at echo time 0 [units of the magnitude]");
    } else if (output.suffix == "swi") {
        io::write_nifti(file, *chain.swi, geometry, "susceptibility-weighted image");
    } else if (output.suffix == "minIP") {
        io::write_nifti(file, swi::minimum_intensity_projection(*chain.swi, min_ip_slab_mm, axial_axis(geometry)), geometry,
                        "minimum intensity projection of the susceptibility-weighted image");
    } else if (output.suffix == "desc-romeo_quality") {
        // Steps that no one can see make a file of a third of the size.
        const VolumeF& quality = *chain.quality;
        io::write_nifti(file, computed(grid, [&](std::size_t i) { return std::round(256.0f * quality[i]) / 256.0f; }),
                        geometry, "ROMEO phase quality");
    } else if (output.suffix == "fieldmap") {
        io::write_nifti(file, *map.field_hz, geometry, "total field [Hz]");
    } else if (output.suffix == "desc-local_fieldmap") {
        const auto scale = static_cast<float>(units::hz_per_ppm(chain.spec.acquisition.b0_tesla));
        const VolumeF& field = *map.local_field_ppm;
        io::write_nifti(file, computed(grid, [&](std::size_t i) { return scale * field[i]; }), geometry,
                        "local field [Hz]");
    } else {
        const VolumeF& sigma = *map.sigma_hz;
        const auto finite = [&](std::size_t i) { return std::isfinite(sigma[i]) ? sigma[i] : 0.0f; };
        io::write_nifti(file, computed(grid, finite), geometry, "standard deviation of the field [Hz]");
    }
}

// A copy that broke off, or a disk that filled, leaves an image shorter than its header says.
bool is_whole(const fs::path& image)
{
    try {
        return !io::looks_truncated(image, io::read_nifti_header(image));
    } catch (const Error&) {
        return false;
    }
}

// The voxel nearest to the mask's centre of mass: where the slices of the picture cross.
Dims centre_of(const Mask& mask)
{
    const Dims& d = mask.dims();
    double sum[3] = {0, 0, 0}, n = 0;
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x) {
                if (mask(x, y, z) == 0) continue;
                sum[0] += static_cast<double>(x);
                sum[1] += static_cast<double>(y);
                sum[2] += static_cast<double>(z);
                n += 1;
            }
    if (n == 0) return {d.nx / 2, d.ny / 2, d.nz / 2};
    const auto nearest = [&](double s) { return static_cast<std::size_t>(std::lround(s / n)); };
    return {nearest(sum[0]), nearest(sum[1]), nearest(sum[2])};
}

void remove_outputs_of_other_options(const JobSpec& spec)
{
    std::vector<fs::path> keep = output_files(spec);
    std::sort(keep.begin(), keep.end());
    std::error_code ignored;
    ChainOptions all;
    all.swi = "clear";
    for (const bool per_echo : {false, true}) {
        all.per_echo = per_echo;
        for (const fs::path& file : files_of(spec.acquisition, all))
            if (!std::binary_search(keep.begin(), keep.end(), file)) fs::remove(spec.output_dir / file, ignored);
    }
}

/// A hidden folder beside the outputs where all are complete before the first gets its final name, so that a disk that
/// fills leaves the older ones whole. Gone with the object.
class Staging {
public:
    explicit Staging(const JobSpec& spec)
        : folder_(io::temporary_name(spec.output_dir / spec.acquisition.folder() / ("." + spec.acquisition.prefix())))
    {
    }
    ~Staging()
    {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;
    [[nodiscard]] fs::path operator/(const fs::path& file) const { return folder_ / file.filename(); }

private:
    fs::path folder_;
};

}  // namespace

std::vector<fs::path> output_files(const JobSpec& spec) { return files_of(spec.acquisition, spec.options); }

bool outputs_complete(const JobSpec& spec)
{
    const auto files = output_files(spec);
    return std::all_of(files.begin(), files.end(), [&](const fs::path& file) {
        std::error_code missing;
        const fs::path path = spec.output_dir / file;
        if (file.extension() == ".gz") return is_whole(path);
        const auto bytes = fs::file_size(path, missing);
        return !missing && bytes > 0;
    });
}

std::optional<std::vector<std::string>> warnings_of_outputs(const JobSpec& spec, const std::string& hash)
{
    if (!outputs_complete(spec)) return std::nullopt;
    try {
        const auto main = nlohmann::json::parse(io::read_file(spec.output_dir / main_sidecar_of(spec.acquisition)));
        if (main.value(hash_key, "") != hash) return std::nullopt;
        return main.value("Warnings", std::vector<std::string>{});
    } catch (const std::exception&) {
        return std::nullopt;  // a sidecar that nobody can read is written anew
    }
}

void publish_outputs(const Chain& chain, const std::string& hash)
{
    const JobSpec& spec = chain.spec;
    const io::Acquisition& acquisition = spec.acquisition;
    const std::vector<Output> outputs = outputs_of(acquisition, spec.options);
    const Staging staging(spec);
    // Compression is serial in a file, so files are written side by side.
    parallel::for_each_dynamic(outputs.size(), [&](std::size_t i) {
        write_image(chain, outputs[i], staging / name_of(acquisition, outputs[i], ".nii.gz"));
    });
    io::write_three_planes_png(staging / picture_of(acquisition), *chain.maps.back().chi_ppm, acquisition.geometry,
                               centre_of(*chain.mask), {.low = -window_ppm, .high = window_ppm, .unit = "ppm"}, acquisition.key);
    for (const Output& output : outputs) {
        auto text = sidecar(chain, map_of(chain, output), output.suffix, hash);
        text[hash_key] = hash;
        io::write_file_atomic(staging / name_of(acquisition, output, ".json"), text.dump(2) + "\n");
    }
    // The main image says "these outputs belong together": it goes first and comes back last.
    std::error_code ignored;
    fs::remove(spec.output_dir / main_image_of(acquisition), ignored);
    remove_outputs_of_other_options(spec);
    for (const fs::path& file : output_files(spec)) io::publish(staging / file, spec.output_dir / file);
}

}  // namespace qsmpi::pipeline
