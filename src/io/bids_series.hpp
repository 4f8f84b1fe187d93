#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bids_tree.hpp"
#include "qsmpi/io/bids.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::io
{

/// Suffixes of gradient-echo scans. MEGRE and T2starw are in BIDS; GRE and SWI come from its proposal for
/// susceptibility-weighted imaging (BEP004), MGRE and QSM from converters. SWI and QSM count only with a part
/// entity: without one they name results.
[[nodiscard]] std::span<const std::string_view> gre_suffixes();

enum class Part { magnitude, phase, real, imaginary };
[[nodiscard]] const char* name_of(Part part);

/// One image file of a scan.
struct Member {
    const TreeImage* image = nullptr;
    Sidecar sidecar;
    Part part = Part::magnitude;
    int echo = 0;                         ///< echo entity; 0: none
    std::optional<NiftiHeader> header{};  ///< if it was opened and is sound
    std::size_t n_volumes = 1;
    Use use = Use::used;
    std::string reason{};  ///< why, if not used
};

/// Why an image is not part of any scan, or "" if it is; `sidecar` is asked only where the name leaves it
/// open.
[[nodiscard]] std::string reason_to_ignore(const TreeImage& image, const Sidecar& sidecar);
[[nodiscard]] Part part_of(const TreeImage& image, const Sidecar& sidecar);

/// A scan in the making: its images, what was found wrong, and what has been made of it.
struct Draft {
    Draft(const fs::path& bids_dir_, const ScanOptions& options_) : bids_dir(bids_dir_), options(options_) {}
    const fs::path& bids_dir;
    const ScanOptions& options;
    Acquisition acquisition;
    std::vector<Member> members;
    std::vector<Finding> findings;

    void error(std::string file, std::string field, std::string value, std::string problem,
               std::string remedy);
    void warning(std::string file, std::string field, std::string value, std::string problem,
                 std::string remedy);
    [[nodiscard]] bool refused() const;
};

/// A volume of a member, as one part of one echo.
struct Source {
    Member* member = nullptr;
    std::size_t i_volume = 0;
};
/// Part -> source, for each echo number.
using EchoTable = std::map<int, std::map<Part, Source>>;

/// Opens the headers of all members (or takes the sidecars' word), reports what cannot be used.
void open_members(Draft& draft);
/// Sorts the members' volumes by echo and part; reports duplicates, gaps, missing partners; marks images not
/// needed.
[[nodiscard]] EchoTable arrange_echoes(Draft& draft);
/// Echo times, field strength, geometry and phase scaling of the arranged echoes.
void check_echo_times(Draft& draft, const EchoTable& table);
void check_field_strength(Draft& draft, const EchoTable& table);
void check_geometry(Draft& draft, const EchoTable& table);
void check_phase_units(Draft& draft, const EchoTable& table);

/// What the walk of one subject comes to.
struct SubjectScan {
    std::vector<Acquisition> acquisitions;
    std::vector<std::string> refused;  ///< keys
    std::vector<ImageDecision> images;
    std::vector<Finding> findings;
};
class Selection;
[[nodiscard]] SubjectScan scan_subject(const fs::path& bids_dir, const std::string& subject, TreeFolder& root,
                                       const Selection& selection, const ScanOptions& options);

}  // namespace qsmpi::io
