#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "commands.hpp"
#include "image_arguments.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/core/version.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/simulation/head.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using simulation::Head;
using simulation::HeadOptions;

struct PhantomOptions {
    std::string out, phase_int16;
    int subjects = 1, threads = 0;
    std::vector<double> dims{128, 128, 128}, voxel_mm{1.6};
    bool no_offset = false, no_shim = false, no_progress = false;
    HeadOptions head;
};

/// The scanner sees the head turned about x; B0 stays on its z. The origin is the centre of the field of view.
io::Geometry geometry_of(const HeadOptions& o)
{
    io::Geometry g;
    g.grid = {o.dims, o.voxel_mm};
    g.sform_code = g.qform_code = 1;
    const double angle = o.tilt_deg * units::pi / 180.0, c = std::cos(angle), s = std::sin(angle);
    const std::array<Vec3, 3> rotation{Vec3{1, 0, 0}, Vec3{0, c, -s}, Vec3{0, s, c}};
    g.qform[0] = static_cast<float>(std::sin(angle / 2.0));
    for (std::size_t i = 0; i < 3; ++i) {
        g.pixdim_mm[i] = static_cast<float>(o.voxel_mm[i]);
        double offset = 0.0;
        for (std::size_t j = 0; j < 3; ++j) {
            g.sform[i][j] = static_cast<float>(rotation[i][j] * o.voxel_mm[j]);
            offset -= rotation[i][j] * o.voxel_mm[j] * 0.5 * static_cast<double>(o.dims[static_cast<int>(j)] - 1);
        }
        g.sform[i][3] = g.qform[3 + i] = static_cast<float>(offset);
    }
    return g;
}

/// Phase as scanners of one vendor store it: -pi to pi is -4096 to 4095, in 16-bit integers, without a unit.
void write_int16_phase(const fs::path& file, const VolumeF& phase_rad, const io::Geometry& geometry)
{
    static_assert(std::endian::native == std::endian::little, "the header is patched in little-endian order");
    // The library writes floats and masks; type (offset 70) and bits a voxel (72) are what differs.
    const fs::path scratch = io::temporary_name(file);
    const fs::path as_float = fs::path(scratch) += ".nii";
    io::write_nifti(as_float, phase_rad, geometry);
    std::string bytes = io::read_file(as_float).substr(0, 352);
    fs::remove(as_float);
    constexpr std::int16_t type = 4, bits = 16;
    std::memcpy(bytes.data() + 70, &type, sizeof type);
    std::memcpy(bytes.data() + 72, &bits, sizeof bits);
    bytes.resize(352 + phase_rad.size() * sizeof(std::int16_t));
    for (std::size_t i = 0; i < phase_rad.size(); ++i) {
        const double level = std::round(static_cast<double>(phase_rad[i]) / units::pi * 4096.0);
        const auto stored = static_cast<std::int16_t>(level >= 4096.0 ? -4096.0 : level);
        std::memcpy(bytes.data() + 352 + 2 * i, &stored, sizeof stored);
    }
    io::write_file_atomic(file, bytes);
}

void write_json(const fs::path& file, const json& content) { io::write_file_atomic(file, content.dump(1) + "\n"); }

void write_scan(const fs::path& bids, const std::string& sub, const PhantomOptions& o, const Head& head)
{
    const io::Geometry geometry = geometry_of(o.head);
    const fs::path anat = bids / sub / "anat";
    const bool integers = !o.phase_int16.empty();
    for (std::size_t e = 0; e < o.head.echo_times_s.size(); ++e) {
        json sidecar{{"EchoTime", o.head.echo_times_s[e]},
                     {"EchoNumber", e + 1},
                     {"MagneticFieldStrength", o.head.b0_tesla},
                     {"ImagingFrequency", units::hz_per_ppm(o.head.b0_tesla)},
                     {"RepetitionTime", 0.05},
                     {"FlipAngle", 15},
                     {"Manufacturer", integers ? "Siemens" : "Simulated"},
                     {"MRAcquisitionType", "3D"}};
        const std::string base = str(sub, "_echo-", e + 1, "_part-");
        io::write_nifti(anat / (base + "mag_MEGRE.nii.gz"), head.magnitude[e], geometry);
        write_json(anat / (base + "mag_MEGRE.json"), sidecar);
        if (integers) {
            write_int16_phase(anat / (base + "phase_MEGRE.nii"), head.phase_rad[e], geometry);
        } else {
            io::write_nifti(anat / (base + "phase_MEGRE.nii.gz"), head.phase_rad[e], geometry);
            sidecar["Units"] = "rad";
        }
        write_json(anat / (base + "phase_MEGRE.json"), sidecar);
    }
    io::write_nifti(anat / (sub + "_T1w.nii.gz"), head.t1w, geometry);
    write_json(anat / (sub + "_T1w.json"), {{"MagneticFieldStrength", o.head.b0_tesla}});
}

void write_truth(const fs::path& truth, const std::string& sub, const PhantomOptions& o, const Head& head)
{
    const io::Geometry geometry = geometry_of(o.head);
    const fs::path anat = truth / sub / "anat";
    const auto save = [&](const char* name, const auto& volume) {
        io::write_nifti(anat / str(sub, "_", name, ".nii.gz"), volume, geometry);
    };
    save("Chimap", head.chi_ppm);
    save("fieldppm", head.total_field_ppm);
    save("localppm", head.local_field_ppm);
    save("mask", head.mask);
    save("R2starmap", head.r2star_per_s);
    Mask labels(head.segmentation.grid());
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::uint8_t>(head.segmentation[i]);
    save("dseg", labels);
    json chi, index;
    for (std::size_t t = 0; t < simulation::n_tissues; ++t) {
        chi[simulation::tissue_names()[t]] = head.chi_of_tissue_ppm[t];
        index[simulation::tissue_names()[t]] = t;
    }
    write_json(anat / (sub + "_truth.json"),
               {{"chi_ppm", chi},
                {"labels", index},
                {"b0_tesla", o.head.b0_tesla},
                {"echo_times_s", o.head.echo_times_s},
                {"b0_direction_ijk", head.b0_direction_ijk},
                {"tilt_deg", o.head.tilt_deg},
                {"snr", o.head.snr},
                {"seed", o.head.seed},
                {"oversampling", o.head.oversampling},
                {"offset", o.head.offset},
                {"bipolar", o.head.bipolar},
                {"shim", o.head.shim}});
}

CommandLine command_line(PhantomOptions& o)
{
    CommandLine c("phantom", "simulate a cohort of heads with known susceptibility", "OUT [options]",
                  "qsmpi phantom /tmp/heads --subjects 3 --b0-tesla 3 --echo-times-s 0.005,0.012,0.019");
    c.positional("OUT", o.out, "folder of the BIDS data set to write; the truth goes to OUT/derivatives/truth");
    c.group("Cohort");
    c.option("subjects", "N", o.subjects, "how many; the first is the reference, the others differ in shape, iron, veins");
    c.option("seed", "N", o.head.seed, "same seed, same files");
    c.group("Scan");
    c.option("dims", "NX,NY,NZ", o.dims, "matrix, voxels; one number for all axes");
    c.option("voxel-mm", "X,Y,Z", o.voxel_mm, "voxel size, mm; one number for all axes");
    c.option("echo-times-s", "T1,T2,...", o.head.echo_times_s, "echo times, seconds, rising");
    c.option("b0-tesla", "X", o.head.b0_tesla, "field strength, tesla");
    c.option("snr", "X", o.head.snr, "1 over the noise of real and imaginary part; tissue has a signal of about 0.8");
    c.option("tilt-deg", "X", o.head.tilt_deg, "head and slab turned about the scanner's x axis, degrees: oblique affine");
    c.flag("bipolar", o.head.bipolar, "odd and even echoes differ by a constant and a ramp, as with bipolar readouts");
    c.flag("no-offset", o.no_offset, "no coil phase at echo time 0");
    c.flag("no-shim", o.no_shim, "keep the mean and the slope of the field in the brain");
    c.option("phase-int16", "VENDOR", o.phase_int16, "store phase as integers without a unit, as this vendor does: siemens");
    c.group("Simulation");
    c.option("oversampling", "N", o.head.oversampling, "the field is computed on a grid this much finer, 1 to 6");
    c.option("threads", "N", o.threads, "threads; 0: as OMP_NUM_THREADS or the cores say");
    c.flag("no-progress", o.no_progress, "print nothing but errors");
    c.with_config_files();
    return c;
}

}  // namespace

int cmd_phantom(const Arguments& arguments)
{
    PhantomOptions o;
    CommandLine line = command_line(o);
    if (!line.parse(arguments)) return exit_done;
    if (o.subjects < 1 || o.subjects > 99'999)
        throw UsageError(str("--subjects: ", o.subjects, " is outside 1 to 99999"));
    require_plausible_b0(o.head.b0_tesla);
    if (!o.phase_int16.empty() && o.phase_int16 != "siemens")
        throw UsageError(str("--phase-int16: '", o.phase_int16, "' is not known; siemens is"));
    const std::vector<double> dims = three_of(o.dims, "dims"), voxel_mm = three_of(o.voxel_mm, "voxel-mm");
    for (const double n : dims) {
        if (!(n >= 2 && n <= 4096) || n != std::floor(n)) throw UsageError(str("--dims: ", n, " is not a whole number of 2 to 4096"));
    }
    o.head.dims = {static_cast<std::size_t>(dims[0]), static_cast<std::size_t>(dims[1]), static_cast<std::size_t>(dims[2])};
    o.head.voxel_mm = {voxel_mm[0], voxel_mm[1], voxel_mm[2]};
    o.head.offset = !o.no_offset;
    o.head.shim = !o.no_shim;
    if (o.threads > 0) parallel::set_threads(o.threads);

    const fs::path bids = o.out, truth = bids / "derivatives" / "truth";
    const json made_by = json::array({{{"Name", "qsmpi phantom"}, {"Version", version()}}});
    std::string participants = "participant_id\n";
    for (int s = 1; s <= o.subjects; ++s) {
        const auto start = std::chrono::steady_clock::now();
        const std::string sub = str("sub-", s < 10 ? "0" : "", s);
        o.head.subject = s;
        const Head head = simulation::simulate_head(o.head);
        write_scan(bids, sub, o, head);
        write_truth(truth, sub, o, head);
        participants += sub + "\n";
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        if (!o.no_progress) std::cerr << sub << " done, " << std::round(10.0 * seconds) / 10.0 << " s\n";
    }
    write_json(truth / "dataset_description.json", {{"Name", "truth of simulated heads"},
                                                    {"BIDSVersion", "1.9.0"},
                                                    {"DatasetType", "derivative"},
                                                    {"GeneratedBy", made_by}});
    write_json(bids / "dataset_description.json",
               {{"Name", "simulated heads"}, {"BIDSVersion", "1.9.0"}, {"DatasetType", "raw"}, {"GeneratedBy", made_by}});
    io::write_file_atomic(bids / "participants.tsv", participants);  // last: its presence says that all is there
    return exit_done;
}

}  // namespace qsmpi::apps
