#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/io/geometry.hpp"

namespace qsmpi::io
{

namespace fs = std::filesystem;

/// radians = slope * scaled + intercept, then wrapped to [-pi, pi); `scaled` is after the file's own
/// slope/intercept.
struct PhaseScaling {
    double slope = 1.0, intercept = 0.0;
    std::string reason;    ///< the facts it was decided from
    bool assumed = false;  ///< true: a warning goes into log and sidecar
    /// Name of the convention (as in ScanOptions::phase_units). "by-range", "siemens-by-range", "minmax":
    /// check_contents() or read_echoes() must see the values first, and turns the first two into the name
    /// that fits.
    std::string convention = "rad";
    bool settled = true;  ///< slope and intercept are final
};

/// Volume `i_volume` of a file; an empty path means that there is none.
struct ImageRef {
    fs::path file;
    std::size_t i_volume = 0;
    [[nodiscard]] bool present() const { return !file.empty(); }
};

/// One echo: magnitude and phase, or real and imaginary part. Magnitude may be missing (phase only).
struct Echo {
    int number = 1;  ///< echo entity, or 1-based position in a 4-D stack
    double echo_time_s = 0.0;
    ImageRef magnitude, phase, real, imaginary;
    PhaseScaling phase_scaling;
};

/// All echoes of one gradient-echo scan: the unit of work.
struct Acquisition {
    std::string key;  ///< "sub-01_ses-a_acq-b_run-1" (+ "_T2starw" etc. when a subject has several suffixes)
    std::string subject, session, suffix;         ///< labels without "sub-", "ses-"
    std::map<std::string, std::string> entities;  ///< all but sub, ses, echo, part (acq, run, rec, dir, ...)
    std::vector<Echo> echoes;                     ///< ascending echo time; those that lack something are left out
    double b0_tesla = 0.0;
    Geometry geometry;
    fs::path t1w;                       ///< of the same subject/session, if any
    std::vector<std::string> warnings;  ///< copied into the output sidecars
    /// Relative folder of outputs, "sub-01/ses-a/anat".
    [[nodiscard]] fs::path folder() const;
    /// "sub-01_ses-a_acq-b_run-1": prefix of output names.
    [[nodiscard]] std::string prefix() const;
    /// Every file read, each once, sorted.
    [[nodiscard]] std::vector<fs::path> files() const;
};

enum class Severity { error, warning };

/// One thing wrong, said so that the user can repair it.
struct Finding {
    Severity severity = Severity::error;
    std::string acquisition;  ///< key, or "" for the data set
    std::string file, field, value, problem, remedy;
    /// "sub-07 ...: file: field = value: problem; remedy".
    [[nodiscard]] std::string line() const;
    /// The same without the acquisition.
    [[nodiscard]] std::string text() const;
};

enum class Use { used, ignored, refused };

/// What becomes of one image file, and why.
struct ImageDecision {
    std::string file;  ///< relative to the BIDS folder
    Use use = Use::used;
    std::string reason;
};

struct ScanOptions {
    std::vector<std::string> subjects{}, sessions{}, runs{}, acquisitions{};  ///< labels; empty: all
    fs::path filter_file{};   ///< BIDS filter JSON (fMRIPrep style: {"megre": {"acquisition": "x"}})
    int n_echoes = 0;         ///< use the first n echoes; 0: all
    double b0_tesla = 0.0;    ///< supplies or overrides a missing MagneticFieldStrength; 0: none
    bool open_images = true;  ///< false: names and sidecars only (dry run of empty files)
    /// How stored phase becomes radians; overrides the sidecars. auto: from facts. rad; milliradian; degree;
    /// siemens: -4096..4095 is one turn; siemens-unsigned: 0..4095 is one turn around 2048;
    /// minmax: the smallest and largest value of all echoes together are -pi and pi.
    std::string phase_units = "auto";
};
/// Values of ScanOptions::phase_units.
[[nodiscard]] const std::vector<std::string>& phase_unit_names();

struct ScanReport {
    std::vector<Acquisition> acquisitions;  ///< fit to run, sorted by key
    std::vector<std::string> refused;       ///< keys of the others, sorted; their findings say why
    std::vector<ImageDecision> images;      ///< every image file below sub-*, sorted
    std::vector<Finding> findings;
};

/// Walks the tree once, reads sidecars with BIDS inheritance, groups images to acquisitions and checks all
/// that headers can tell. Never throws for bad data: it becomes a finding. Throws IoError if `bids_dir`
/// cannot be read.
[[nodiscard]] ScanReport scan_bids(const fs::path& bids_dir, const ScanOptions& options = {});

/// Reads the voxels of one acquisition, each file once: truncation, NaN, constant or all-zero phase, stored
/// range against units. May settle an ambiguous phase scaling (then changes the acquisition). Warnings go
/// into the acquisition as well. Holds one volume a thread. Never throws for bad data.
[[nodiscard]] std::vector<Finding> check_contents(Acquisition& acquisition);

/// Magnitude and wrapped phase [rad] of echo `i_echo`; real/imaginary pairs are converted. Non-finite voxels
/// become 0 in both. Magnitude is empty when there is none.
struct EchoData {
    VolumeF magnitude, phase_rad;
};
/// @throws InputError for damaged files, or if the phase scaling is not settled
[[nodiscard]] EchoData read_echo(const Acquisition& acquisition, std::size_t i_echo);

/// All echoes, each file opened and decompressed once, files in parallel; with the checks of check_contents()
/// on the way, so that a job need not read twice. Needs 8 bytes a voxel and echo, and at most 8 more a voxel
/// for each file in flight. Magnitudes of an extreme scale are brought to another, see exponent_for().
/// @throws InputError with all errors found, one line each
[[nodiscard]] std::vector<EchoData> read_echoes(Acquisition& acquisition);

/// Everything of an acquisition; reading back gives an equal one (floats bit for bit, but for the payload of
/// a NaN).
void to_json(nlohmann::json& j, const Acquisition& a);
void from_json(const nlohmann::json& j, Acquisition& a);
void to_json(nlohmann::json& j, const Finding& f);
void to_json(nlohmann::json& j, const ImageDecision& d);

}  // namespace qsmpi::io
