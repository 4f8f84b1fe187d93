#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "qsmpi/io/hdf5_record.hpp"
#include "qsmpi/pipeline/job.hpp"

namespace qsmpi::pipeline {

using io::SharedMask;
using io::SharedVolume;

/// The volumes of one map: of all echoes together, or of one echo (option per_echo).
struct MapState {
    int echo_number = 0;           ///< 0: all echoes together
    SharedVolume field_hz;         ///< total field; null for the combination of per-echo maps
    SharedVolume sigma_hz;         ///< its standard deviation; infinity where the field is unknown; null: not known
    SharedVolume relative_residual; ///< of the field fit, [0, 1]; null for a single echo
    SharedVolume local_field_ppm;
    SharedVolume field_error_ppm;  ///< of the total field, as background removal found it; not recorded; null: none
    SharedVolume local_weight;     ///< weight for the inversion, made with the local field; null: data_weight() is used
    SharedVolume chi_ppm;
    SharedMask local_mask;         ///< where local_field_ppm and chi_ppm are valid
};

/// Which reconstruction of two: of the filled mask, the only one without two_pass, or of its reliable part.
enum class Pass { filled, reliable };

/// Key of the note of stage "phase" that says how stored values became radians; it has a place of its own in sidecars.
inline constexpr const char* phase_scaling_note = "phase_scaling";

/// Keys of notes that tell what was decided: the echoes in use, "mean", "csf", "region" or "none", reports of the null space.
inline constexpr const char* echoes_note = "echoes";
inline constexpr const char* reference_note = "reference";
inline constexpr const char* null_space_note = "null_space";
inline constexpr const char* by_r2star_word = "R2*";

/// Key of the note of stage "mask" that says how many voxels its erosion took.
inline constexpr const char* eroded_voxels_note = "eroded_voxels";

/// Key of the note with options as they were used; sidecars show them among the parameters.
inline constexpr const char* used_note = "used";

/// What the stages of one job hand to each other. Volumes are let go as soon as no later stage needs them.
struct Chain {
    explicit Chain(const JobSpec& job);

    const JobSpec& spec;
    std::vector<double> echo_times_s;

    /// The echoes in use: "phase" takes out those without signal. Not known when a job resumes after "field".
    std::vector<double> used_times_s;
    std::vector<int> used_echoes;     ///< what they are called

    std::vector<VolumeF> magnitude;   ///< of each echo; empty when the scan has none. From "phase" to "r2star"
    std::vector<VolumeF> phase_rad;   ///< wrapped, unwrapped after "unwrap". From "phase" to "field"
    Mask domain;                      ///< voxels that were unwrapped; empty: all. From "unwrap" to "field"
    SharedVolume quality;             ///< ROMEO quality, [0, 1]
    SharedVolume magnitude_rss;       ///< root of the sum of squares; null when there is no magnitude
    bool keep_field_error = false;    ///< whether maps get their field_error_ppm
    bool given_local_field = false;   ///< the local field is an input: of sources in the mask alone
    SharedMask given_mask;            ///< in memory: used as it is, whatever the option `mask` says; null: none
    SharedVolume r2star_per_s, s0;    ///< null when they were not asked for or cannot be made
    SharedMask mask;
    SharedMask reliable_mask;         ///< of the first of two passes; null: there is one. From "mask" to "local_field"
    std::vector<MapState> reliable_maps;  ///< what the first of two passes makes of each field; as n_fields() or empty
    SharedVolume swi;                 ///< susceptibility-weighted image; null when not asked for
    std::vector<MapState> maps;       ///< one; with per_echo one for each echo and then their combination

    nlohmann::json notes = nlohmann::json::object();  ///< stage -> what it decided and measured
    std::string stage;                                ///< name of the stage that runs

    [[nodiscard]] const Grid& grid() const { return spec.acquisition.geometry.grid; }
    /// Forgets everything, as if nothing had been loaded.
    void restart();
    /// Number of maps that come from a field of their own (all but the combination).
    [[nodiscard]] std::size_t n_fields() const;
    /// Remembers a decision of the running stage: for record and sidecar.
    void note(const char* key, nlohmann::json value) { notes[stage][key] = std::move(value); }
    /// Remembers what an option came to that left the choice to us.
    void note_used(const char* option, nlohmann::json value) { notes[stage][used_note][option] = std::move(value); }
    /// Logs a warning and keeps it for record, sidecar and result.
    void warn(const std::string& message);
};

/// One array that a stage leaves behind, for later stages, outputs and the record. One of the two pointers is set.
struct Product {
    std::string name;
    const char* unit;
    SharedVolume* volume = nullptr;
    SharedMask* mask = nullptr;
    std::string last_use{};   ///< stage after which it is let go; "": kept for the outputs
    bool optional = false;    ///< may be missing, depending on method and data
    bool published = false;   ///< an output although it is let go: read again from the record for it
};

/// A row of the stage table: what a stage depends on, what it does and what it leaves. Its name is its HDF5 group.
struct Stage {
    const char* name;
    int revision;                               ///< raised whenever the stage alters a voxel: part of the hash
    double share;                               ///< of the time of a whole job, roughly: for progress only
    std::vector<std::string> options;           ///< members of ChainOptions that it reads
    nlohmann::json (*facts)(const JobSpec&);    ///< what else it depends on, apart from the stage before it
    void (*run)(Chain&);
    std::vector<Product> (*products)(Chain&);
    bool transient = false;  ///< leaves volumes that the record does not keep: the next stage cannot start without it
};

/// The chain, in order.
///
/// Records keep what is small against what it costs: quality and magnitude, field and its sigma, masks, local field, map.
/// Not kept are the phases of all echoes (16 to 40 bytes a voxel, read and unwrapped again in a few seconds), so a change
/// of the field map starts from the raw data; mask, background and inversion start from the record.
[[nodiscard]] const std::vector<Stage>& stage_table();

/// Hashes of all stages: each of its own options and facts, the program's version, and the hash of the stage before.
[[nodiscard]] std::vector<std::string> stage_hashes(const JobSpec& spec);

// The stages, one source file for each group of them.
void run_phase(Chain& chain);
void run_unwrap(Chain& chain);
void run_field(Chain& chain);
void run_r2star(Chain& chain);
void run_mask(Chain& chain);
void run_local_field(Chain& chain);
void run_chi(Chain& chain);
void run_swi(Chain& chain);

/// Lets go of what no stage after this one needs.
void let_go(Chain& chain, const std::string& finished);

/// Root of the sum of squares over the echoes, of which there is at least one.
/// Standard deviation of the noise, from the last echo's magnitude that tells it; warns where none does.
[[nodiscard]] double noise_of(Chain& chain);
[[nodiscard]] VolumeF root_sum_of_squares(const std::vector<VolumeF>& magnitude);

/// A field or its standard deviation, Hz to ppm of B0.
[[nodiscard]] VolumeF in_ppm(const VolumeF& volume_hz, double b0_tesla);

/// Weight of the data in the inversion where the background method gives none: 1 / sigma over its mean in the mask, at most
/// 3, 0 below 0.05 and where sigma is infinite. algorithms.md 3.4.
[[nodiscard]] VolumeF data_weight(const VolumeF& sigma_hz, const Mask& mask);

/// What the option `r2star` comes to for this acquisition: "nlls", "arlo", "loglinear" or, without magnitude or with a
/// single echo, "off". Two echoes: always a line through two logarithms, see relaxometry::nonlinear().
[[nodiscard]] std::string r2star_method(const io::Acquisition& acquisition, const ChainOptions& options);
/// True if every echo has a magnitude.
[[nodiscard]] bool has_magnitude(const io::Acquisition& acquisition);
/// The option `swi`, or "off" without magnitude.
[[nodiscard]] std::string swi_method(const io::Acquisition& acquisition, const ChainOptions& options);
/// True if a later stage looks for cerebrospinal fluid in R2*: for the reference, or for an inversion that holds it even.
[[nodiscard]] bool needs_csf(const ChainOptions& options);
/// True if the inversion looks at R2*, for that or for the null space.
[[nodiscard]] bool keeps_r2star(const ChainOptions& options);

/// Replaces "{sub}", "{ses}", "{run}", "{acq}", "{key}", "{prefix}" in a path by what they are for this acquisition.
[[nodiscard]] std::filesystem::path file_of(const JobSpec& spec, const std::string& path_template);

/// Where the option `reference` points to if it is a path, and which labels count there (none: voxels are weights).
struct ReferenceFile {
    std::filesystem::path file;
    std::vector<int> labels;
};
[[nodiscard]] std::optional<ReferenceFile> reference_file(const JobSpec& spec);
/// Makes the option's constant 0 ppm in a map, in the voxels of `mask` whose weight is not 0 (null: all).
class ReferenceRegion {
public:
    /// Reads the region's file or finds the fluid.
    /// @throws InputError if the file does not fit the scan
    ReferenceRegion(Chain& chain, SharedMask csf);
    void apply(Chain& chain, VolumeF& chi_ppm, const Mask& mask, const VolumeF* weight) const;

private:
    std::string kind_;  ///< mean | none | csf | file
    VolumeF region_;
};
/// Cerebrospinal fluid of the ventricles, or null if none is found (with a warning where the reference needs it).
[[nodiscard]] SharedMask find_csf(Chain& chain);

/// Files in the option `mask` for this acquisition: "{sub}", "{ses}", "{run}", "{acq}", "{key}", "{prefix}" are replaced.
[[nodiscard]] std::vector<std::filesystem::path> mask_files(const JobSpec& spec);

/// Provokes the fault that QSMPI_INJECT asks for at this stage; see run_job().
void inject_fault(const std::string& stage, const std::string& key);

// Outputs.

/// Every file of a finished job relative to the output folder, sidecars before their images; the map comes last.
[[nodiscard]] std::vector<std::filesystem::path> output_files(const JobSpec& spec);
/// What the sidecar of the map warns of, if all outputs are there and it carries `hash`.
[[nodiscard]] std::optional<std::vector<std::string>> warnings_of_outputs(const JobSpec& spec, const std::string& hash);
/// Writes maps, sidecars and picture, all under temporary names first.
void publish_outputs(const Chain& chain, const std::string& hash);
/// What stages did, as sidecars show it: names of the methods of each, parameters, findings; and the warnings.
struct Account {
    nlohmann::ordered_json methods, parameters, findings, warnings;
};
/// @param ran  whether the stage of this name was run for this result; findings of others are told too
[[nodiscard]] Account account_of(const Chain& chain, const std::function<bool(const std::string&)>& ran,
                                 const std::string& last_stage);
/// Sidecar of the output called `suffix` ("Chimap", "mask", "fieldmap", "desc-local_fieldmap", "desc-sigma_fieldmap",
/// "desc-romeo_quality").
[[nodiscard]] nlohmann::ordered_json sidecar(const Chain& chain, const MapState& map, const std::string& suffix,
                                             const std::string& hash);

/// Names and papers of the methods that made what the chain holds, in their order: options, and what stages noted of the scan.
struct Method {
    std::string stage, name, sentence, citation;
};
inline constexpr const char* bipolar_method = "bipolar correction";
inline constexpr const char* mcpc3ds_method = "MCPC-3D-S";
inline constexpr const char* aspire_method = "ASPIRE";
inline constexpr const char* nonlinear_method = "nonlinear complex fit";
inline constexpr const char* null_space_method = "null space";
inline constexpr const char* no_offset_method = "none";  ///< the coil's phase stays in the field
inline constexpr const char* two_pass_method = "two passes";
[[nodiscard]] std::vector<Method> methods_of(const Chain& chain);
/// Key of the sentences of methods_of() in the sidecar of a map: [{"Sentence", "Reference"}, ...].
inline constexpr const char* sentences_key = "MethodSentences";

}  // namespace qsmpi::pipeline
