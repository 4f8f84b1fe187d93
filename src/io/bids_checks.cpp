#include <algorithm>
#include <cmath>
#include <optional>

#include "bids_series.hpp"
#include "nifti_header.hpp"
#include "phase_scaling.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/units.hpp"
#include "qsmpi/io/plausible.hpp"

namespace qsmpi::io
{

namespace
{

/// The member that speaks for an echo: its phase, else its real part, else what there is.
const Source& speaker(const std::map<Part, Source>& parts)
{
    for (const Part part : {Part::phase, Part::real, Part::magnitude}) {
        if (const auto at = parts.find(part); at != parts.end()) return at->second;
    }
    return parts.begin()->second;
}

/// A number, or the i-th of an array; nothing if absent or of another kind.
std::optional<double> number_at(const nlohmann::json& value, std::size_t i)
{
    if (value.is_number()) return value.get<double>();
    if (value.is_array() && i < value.size() && value[i].is_number()) return value[i].get<double>();
    return std::nullopt;
}

struct EchoTime {
    std::optional<double> seconds;
    std::string file, text;
    bool may_be_in_a_damaged_file = false;
};

EchoTime echo_time_of(const Source& source, int number)
{
    for (const char* key : {"EchoTime", "EchoTimes"}) {
        const auto found = source.member->sidecar.find(key);
        if (!found) continue;
        // An array belongs to the volumes of a stack; inherited by single echoes, it is counted by echo
        // number.
        const std::size_t i =
            source.member->echo > 0 ? static_cast<std::size_t>(number - 1) : source.i_volume;
        return {number_at(*found.value, i), found.file->relative, found.value->dump()};
    }
    return {std::nullopt, source.member->sidecar.place_of("EchoTime"), "", source.member->sidecar.is_damaged()};
}

bool is_plausible(const EchoTime& time)
{
    return time.seconds && *time.seconds > 0.0 && *time.seconds <= longest_echo_time_s;
}

std::string and_more(std::size_t n)
{
    return n > 1 ? str(" (and ", n - 1, " more)") : std::string();
}

/// One finding for all echoes that share a fault: the first one is named, the others counted.
template <typename Predicate>
std::size_t report_times(Draft& draft, const std::vector<EchoTime>& times, Predicate&& is_wrong,
                         const std::string& problem, const std::string& remedy)
{
    const auto first = std::find_if(times.begin(), times.end(), is_wrong);
    const auto n = static_cast<std::size_t>(std::count_if(times.begin(), times.end(), is_wrong));
    if (n > 0)
        draft.error(first->file, "EchoTime", first->text.empty() ? "missing" : first->text,
                    problem + and_more(n), remedy);
    return n;
}

void check_order(Draft& draft, const std::vector<EchoTime>& times)
{
    for (std::size_t i = 1; i < times.size(); ++i) {
        const double before = *times[i - 1].seconds, now = *times[i].seconds;
        const int number = draft.acquisition.echoes[i].number;
        // 1 us: sidecars are written with at least that many digits.
        if (std::abs(now - before) < 1e-6) {
            draft.error(times[i].file, "EchoTime", str(now),
                        str("echo ", number, " has the same echo time as the echo before it"),
                        "write the true echo times");
        } else if (now < before) {
            draft.error(times[i].file, "EchoTime", str(now),
                        str("unsorted: echo ", number, " comes before the echo it follows (", before, " s)"),
                        "write the true echo times, or number the echoes in their order");
        }
    }
}

/// Field strength of one image: sidecar value, refined or supplied by the imaging frequency.
std::optional<double> b0_of(Draft& draft, const Sidecar& sidecar, std::string& note)
{
    std::optional<double> nominal, precise;
    if (const auto found = sidecar.find("MagneticFieldStrength")) {
        nominal = number_at(*found.value, 0);
        if (!nominal || !is_plausible_b0(*nominal)) {
            draft.error(found.file->relative, "MagneticFieldStrength", found.value->dump(),
                        plausible_b0, "write the field in tesla, or give --b0-tesla");
            return std::nullopt;
        }
    }
    const auto found = sidecar.find("ImagingFrequency");
    if (found) {
        if (auto megahertz = number_at(*found.value, 0)) {
            if (*megahertz > 1e5) *megahertz *= 1e-6;  // some converters write hertz
            const double tesla = *megahertz / units::gamma_bar_mhz_per_t;
            if (is_plausible_b0(tesla)) precise = tesla;
        }
    }
    if (!nominal || !precise) return nominal ? nominal : precise;
    const double disagreement = std::abs(*precise / *nominal - 1.0);
    if (disagreement > 0.1) {
        draft.error(
            found.file->relative, "MagneticFieldStrength", str(*nominal),
            str("contradicts ImagingFrequency ", found.value->dump(), " MHz, which is ", *precise, " T"),
            "correct the wrong one, or give --b0-tesla");
        return std::nullopt;
    }
    if (disagreement < 1e-3) return nominal;
    // Scanners called 3 T run at 2.89 T: the field is known to six digits, and susceptibility scales with it.
    note = str("B0 ", *precise, " T is taken from ImagingFrequency; MagneticFieldStrength says ", *nominal);
    return precise;
}

/// The text of Units, or what else is there in its place.
std::string units_of(const Sidecar& sidecar)
{
    const auto found = sidecar.find("Units");
    return !found || found.value->is_string() ? sidecar.text("Units") : found.value->dump();
}

/// The values of a scan that is refused are not looked at: what they may not settle either is said with the rest.
void warn_of_units_unsaid(Draft& draft, const EchoTable& table)
{
    if (!draft.refused()) return;
    auto echo = draft.acquisition.echoes.begin();
    for (const auto& [number, parts] : table) {
        const PhaseScaling& scaling = (echo++)->phase_scaling;
        const Sidecar& sidecar = speaker(parts).member->sidecar;
        if (scaling.settled || scaling.convention == "minmax" || sidecar.is_damaged() || !units_of(sidecar).empty()) continue;
        draft.warning(sidecar.place_of("Units"), "Units", "missing", "the values will have to tell what a turn of phase is",
                      "say Units in the sidecar");
        return;
    }
}

std::string size_text(const Dims& d)
{
    return str(d.nx, "x", d.ny, "x", d.nz);
}

void check_reference(Draft& draft, const Member& member)
{
    const Geometry& g = member.header->geometry;
    const std::string& file = member.image->relative;
    const double smallest_mm = std::min({g.grid.voxel_mm[0], g.grid.voxel_mm[1], g.grid.voxel_mm[2]});
    if (std::min({g.grid.dims.nx, g.grid.dims.ny, g.grid.dims.nz}) < 2) {
        draft.error(file, "dim", size_text(g.grid.dims), "a single slice: susceptibility needs a volume",
                    "acquire or join more slices");
    }
    const Affine affine = g.affine();
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const double length = std::hypot(affine[0][axis], affine[1][axis], affine[2][axis]);
        if (std::abs(length - g.grid.voxel_mm[axis]) > 0.01 * g.grid.voxel_mm[axis]) {
            draft.error(file, str("pixdim[", axis + 1, "]"), str(g.grid.voxel_mm[axis]),
                        str("the sform says ", length, " mm"), "write the true voxel size into both");
        }
    }
    if (g.sform_code > 0 && g.qform_code > 0) {
        const Affine s = g.sform_affine(), q = g.qform_affine();
        const double turned = largest_corner_distance_mm(s, q, g.grid.dims, true),
                     shifted = largest_corner_distance_mm(s, q, g.grid.dims);
        // A tenth of a voxel over the whole volume: far above the rounding of floats, far below any true
        // difference.
        if (!(turned <= 0.1 * smallest_mm)) {
            draft.error(
                file, "sform", str("code ", g.sform_code),
                str("sform and qform disagree by up to ", turned, " mm: the direction of B0 is ambiguous"),
                "make both say where the voxels were in the scanner");
        } else if (!(shifted <= 0.1 * smallest_mm)) {
            draft.warning(file, "sform", str("code ", g.sform_code),
                          str("sform and qform disagree by a shift of ", shifted, " mm; the sform is used"),
                          "correct the wrong one");
        }
    } else if (g.sform_code <= 0 && g.qform_code <= 0) {
        draft.warning(file, "sform_code", "0",
                      "no orientation in the header: B0 is taken along the third voxel axis",
                      "convert with orientation");
    }
}

}  // namespace

void check_echo_times(Draft& draft, const EchoTable& table)
{
    std::vector<EchoTime> times;
    for (const auto& [number, parts] : table) {
        const Source& first = speaker(parts);
        EchoTime time = echo_time_of(first, number);
        for (const auto& [part, source] : parts) {
            const EchoTime other = echo_time_of(source, number);
            if (!time.seconds && time.text.empty()) time = other;
            if (!time.seconds || !other.seconds || std::abs(*time.seconds - *other.seconds) <= 1e-6) continue;
            // Of two that differ, the one that cannot be is wrong, and reported below.
            if (is_plausible(time) && !is_plausible(other)) time = other;
            if (is_plausible(time)) {
                draft.error(other.file, "EchoTime", other.text,
                            str("differs from ", time.text, " in ", time.file),
                            "write the true echo time into both");
            }
        }
        times.push_back(std::move(time));
        Echo& echo = draft.acquisition.echoes.emplace_back();
        echo.number = number;
        echo.echo_time_s = times.back().seconds.value_or(0.0);
    }
    const auto is_lost = [](const EchoTime& t) { return !t.seconds && t.may_be_in_a_damaged_file; };
    auto n_wrong = static_cast<std::size_t>(std::count_if(times.begin(), times.end(), is_lost));
    n_wrong += report_times(
        draft, times, [&](const EchoTime& t) { return !t.seconds && !is_lost(t); },
        str("no number of seconds for each of ", table.size(), " echoes"),
        "write EchoTime in seconds into the sidecar, an array for a 4-D stack");
    n_wrong += report_times(
        draft, times, [](const EchoTime& t) { return t.seconds && *t.seconds > longest_echo_time_s; },
        "looks like milliseconds; BIDS wants seconds", "divide it by 1000");
    n_wrong += report_times(
        draft, times, [](const EchoTime& t) { return t.seconds && !(*t.seconds > 0.0); },
        "an echo time must be above zero", "write the true echo time");
    const auto by_time = [](const EchoTime& a, const EchoTime& b) { return *a.seconds < *b.seconds; };
    if (n_wrong == 0 && *std::max_element(times.begin(), times.end(), by_time)->seconds < earliest_last_echo_time_s) {
        n_wrong += report_times(
            draft, times, [](const EchoTime&) { return true; },
            "earlier than any gradient echo; BIDS wants seconds", "write the true echo times, in seconds");
    }
    // A stack must have as many times as volumes: too few are missing above, too many are as suspect.
    const Source& first = speaker(table.begin()->second);
    if (const auto found = first.member->sidecar.find("EchoTime");
        found && found.value->is_array() && first.member->echo == 0 &&
        found.value->size() > first.member->n_volumes) {
        draft.error(found.file->relative, "EchoTime", found.value->dump(),
                    str("more echo times than the ", first.member->n_volumes, " volumes"),
                    "write one for each volume");
        ++n_wrong;
    }
    if (n_wrong == 0) check_order(draft, times);
}

void check_field_strength(Draft& draft, const EchoTable& table)
{
    Acquisition& a = draft.acquisition;
    const double asked = draft.options.b0_tesla;
    if (asked > 0.0) {
        a.b0_tesla = asked;
        const auto stated = speaker(table.begin()->second).member->sidecar.find("MagneticFieldStrength");
        if (stated && stated.value->is_number() &&
            std::abs(stated.value->get<double>() / asked - 1.0) > 0.1) {
            draft.warning(stated.file->relative, "MagneticFieldStrength", stated.value->dump(),
                          str("--b0-tesla ", asked, " is used instead"), "");
        }
        return;
    }
    std::string note;
    for (const auto& [number, parts] : table) {
        const Sidecar& sidecar = speaker(parts).member->sidecar;
        const std::size_t n_findings = draft.findings.size();
        std::optional<double> b0 = b0_of(draft, sidecar, note);
        for (const auto& [part, source] : parts) {
            if (!b0 && draft.findings.size() == n_findings) b0 = b0_of(draft, source.member->sidecar, note);
        }
        if (!b0 && (sidecar.is_damaged() || draft.findings.size() > n_findings)) return;
        if (!b0) {
            draft.error(sidecar.place_of("MagneticFieldStrength"), "MagneticFieldStrength", "missing",
                        "the field strength is not stated, nor ImagingFrequency",
                        "add it to the sidecar, or give --b0-tesla");
            return;
        }
        if (a.b0_tesla > 0.0 && std::abs(*b0 / a.b0_tesla - 1.0) > 1e-4) {
            draft.error(sidecar.place_of("MagneticFieldStrength"), "MagneticFieldStrength", str(*b0),
                        str("differs from ", a.b0_tesla, " T of an earlier echo"), "correct the wrong one");
            return;
        }
        if (a.b0_tesla == 0.0) a.b0_tesla = *b0;
    }
    if (!note.empty()) a.warnings.push_back(note);
}

void check_geometry(Draft& draft, const EchoTable& table)
{
    const Member* reference = nullptr;
    for (const auto& [number, parts] : table) {
        const Member& m = *speaker(parts).member;
        if (!reference && m.header) reference = &m;
    }
    if (reference == nullptr) return;
    const Geometry& want = reference->header->geometry;
    draft.acquisition.geometry = want;
    check_reference(draft, *reference);
    for (const Member& m : draft.members) {
        if (&m == reference || m.use != Use::used || !m.header) continue;
        const Geometry& have = m.header->geometry;
        if (have.grid.dims != want.grid.dims) {
            draft.error(
                m.image->relative, "dim", size_text(have.grid.dims),
                "shape differs from " + size_text(want.grid.dims) + " of " + reference->image->relative,
                "convert or resample all echoes alike");
            continue;
        }
        if (const auto distance_mm = misplacement_mm(have, want)) {
            draft.error(m.image->relative, "affine", str(*distance_mm, " mm"),
                        "affine differs by so much at a corner from that of " + reference->image->relative,
                        "convert or resample all echoes alike");
        }
    }
}

void check_phase_units(Draft& draft, const EchoTable& table)
{
    std::vector<std::string> complained;
    auto echo = draft.acquisition.echoes.begin();
    for (const auto& [number, parts] : table) {
        Echo& out = *echo++;
        const auto at = parts.find(Part::phase);
        const Sidecar& sidecar = speaker(parts).member->sidecar;
        PhaseFacts facts{units_of(sidecar), sidecar.text("Manufacturer"), nullptr};
        if (at == parts.end()) {
            out.phase_scaling = decide_complex_scaling(facts);
            continue;
        }
        if (at->second.member->header) facts.header = &*at->second.member->header;
        std::optional<PhaseProblem> problem;
        out.phase_scaling = decide_phase_scaling(facts, draft.options.phase_units, problem);
        const std::string place = sidecar.place_of("Units");
        if (!problem || std::find(complained.begin(), complained.end(), problem->value) != complained.end())
            continue;
        complained.push_back(problem->value);
        draft.error(place, problem->field, problem->value, problem->problem, problem->remedy);
    }
    warn_of_units_unsaid(draft, table);
}

}  // namespace qsmpi::io
