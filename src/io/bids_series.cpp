#include "bids_series.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

#include "nifti_header.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{

namespace
{

constexpr std::array<std::string_view, 6> suffixes{"MEGRE", "T2starw", "GRE", "MGRE", "QSM", "SWI"};
/// Anatomical contrasts that may come from a gradient echo whose phase was kept (the qmri_qsm example of
/// BIDS).
constexpr std::array<std::string_view, 2> maybe_gre{"T1w", "PDw"};

bool is_one_of(std::string_view word, std::span<const std::string_view> words)
{
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// "GR", or ["GR", "SP"]; inversion recovery (MPRAGE) is no plain gradient echo.
bool says_gradient_echo(const Sidecar& sidecar)
{
    std::string words;
    for (const char* key : {"PulseSequenceType", "ScanningSequence"}) {
        if (const auto found = sidecar.find(key)) words += found.value->dump() + " ";
    }
    const bool gradient = words.find("GR") != std::string::npos || words.find("radient") != std::string::npos;
    return gradient && words.find("IR") == std::string::npos && words.find("nversion") == std::string::npos;
}

bool image_type_has(const Sidecar& sidecar, std::string_view letter, std::string_view word)
{
    const auto found = sidecar.find("ImageType");
    if (!found || !found.value->is_array()) return false;
    return std::any_of(found.value->begin(), found.value->end(),
                       [&](const nlohmann::json& x) { return x.is_string() && (x == letter || x == word); });
}

int echo_number(const BidsName& name)
{
    const std::string& text = name.entity("echo");
    int number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

std::string list_of(const std::set<int>& numbers)
{
    std::string out;
    for (const int n : numbers) out += (out.empty() ? "" : ", ") + std::to_string(n);
    return out;
}

/// How many echo times the sidecars give: the number of volumes of a stack that is not opened.
std::size_t times_in_sidecar(const Sidecar& sidecar)
{
    for (const char* key : {"EchoTime", "EchoTimes"}) {
        const auto found = sidecar.find(key);
        if (found && found.value->is_array() && !found.value->empty()) return found.value->size();
    }
    return 1;
}

void open_header(Draft& draft, Member& member)
{
    const fs::path file = draft.bids_dir / member.image->relative;
    const std::string& name = member.image->relative;
    try {
        NiftiHeader header = read_nifti_header(file);
        if (looks_truncated(file, header)) {
            draft.error(name, "size", str(fs::file_size(file), " bytes"),
                        str("truncated: the voxels need ", expected_bytes(header), " bytes uncompressed"),
                        "copy or convert it again");
        }
        member.n_volumes = header.n_volumes;
        member.header = std::move(header);
    } catch (const HeaderError& e) {
        draft.error(name, e.field, e.value, e.problem, e.remedy);
    } catch (const std::exception& e) {
        draft.error(name, "", "", e.what(), "check the file");
    }
}

}  // namespace

std::span<const std::string_view> gre_suffixes()
{
    return suffixes;
}

const char* name_of(Part part)
{
    switch (part) {
        case Part::magnitude: return "magnitude";
        case Part::phase: return "phase";
        case Part::real: return "real part";
        case Part::imaginary: return "imaginary part";
    }
    return "";
}

std::string reason_to_ignore(const TreeImage& image, const Sidecar& sidecar)
{
    const BidsName& name = *image.name;
    const std::string& part = name.entity("part");
    if (is_one_of(name.suffix, maybe_gre) && !part.empty()) {
        return says_gradient_echo(sidecar)
                   ? ""
                   : name.suffix +
                         " whose sidecar does not say that it is a gradient echo (PulseSequenceType)";
    }
    if (!is_one_of(name.suffix, suffixes))
        return name.suffix + " is not a gradient-echo suffix (MEGRE, T2starw, GRE, ...)";
    if ((name.suffix == "QSM" || name.suffix == "SWI") && part.empty())
        return name.suffix + " without part-: a result, not a scan";
    if (!part.empty() && part != "mag" && part != "phase" && part != "real" && part != "imag")
        return "part-" + part + " is unknown";
    return "";
}

Part part_of(const TreeImage& image, const Sidecar& sidecar)
{
    const std::string& part = image.name->entity("part");
    if (part == "phase") return Part::phase;
    if (part == "real") return Part::real;
    if (part == "imag") return Part::imaginary;
    if (part == "mag") return Part::magnitude;
    if (image_type_has(sidecar, "P", "PHASE")) return Part::phase;
    if (image_type_has(sidecar, "R", "REAL")) return Part::real;
    if (image_type_has(sidecar, "I", "IMAGINARY")) return Part::imaginary;
    return Part::magnitude;  // what BIDS takes a name without part- to be
}

void Draft::error(std::string file, std::string field, std::string value, std::string problem,
                  std::string remedy)
{
    findings.push_back({Severity::error, acquisition.key, std::move(file), std::move(field), std::move(value),
                        std::move(problem), std::move(remedy)});
}

void Draft::warning(std::string file, std::string field, std::string value, std::string problem,
                    std::string remedy)
{
    findings.push_back({Severity::warning, acquisition.key, std::move(file), std::move(field),
                        std::move(value), std::move(problem), std::move(remedy)});
}

bool Draft::refused() const
{
    return std::any_of(findings.begin(), findings.end(),
                       [](const Finding& f) { return f.severity == Severity::error; });
}

void open_members(Draft& draft)
{
    std::set<std::string> complained;
    for (Member& member : draft.members) {
        member.echo = echo_number(*member.image->name);
        for (const SidecarFile* file : member.sidecar.files()) {
            if (!file->error.empty() && complained.insert(file->relative).second) {
                draft.error(file->relative, "", "", file->error, "repair the sidecar");
            }
        }
        if (member.image->dangling) {
            draft.error(member.image->relative, "", "", "a symbolic link to nothing",
                        "fetch the content (datalad get)");
        } else if (draft.options.open_images) {
            open_header(draft, member);
        }
        if (!member.header && member.echo == 0) member.n_volumes = times_in_sidecar(member.sidecar);
    }
}

EchoTable arrange_echoes(Draft& draft)
{
    const auto has = [&](Part part) {
        return std::any_of(draft.members.begin(), draft.members.end(),
                           [&](const Member& m) { return m.part == part; });
    };
    const bool has_phase = has(Part::phase),
               has_complex = !has_phase && (has(Part::real) || has(Part::imaginary));
    EchoTable table;
    std::map<Part, std::set<int>> numbers;
    bool any_stack = false;
    for (Member& member : draft.members) {
        const bool is_complex = member.part == Part::real || member.part == Part::imaginary;
        if (has_phase ? is_complex : has_complex && !is_complex) {
            member.use = Use::ignored;
            member.reason = has_phase ? "the phase image is used instead"
                                      : "magnitude is made from the real and imaginary parts";
            continue;
        }
        const std::string& name = member.image->relative;
        if (member.echo > 0 && member.n_volumes > 1) {
            draft.error(name, "dim[4]", str(member.n_volumes),
                        "several volumes in one image of a single echo",
                        "leave echo- out of the name if the volumes are echoes, else store one file a "
                        "repetition with run-");
            continue;
        }
        any_stack = any_stack || member.echo == 0;
        for (std::size_t i = 0; i < member.n_volumes; ++i) {
            const int number = member.echo > 0 ? member.echo : static_cast<int>(i) + 1;
            const auto [at, is_new] = table[number].emplace(member.part, Source{&member, i});
            numbers[member.part].insert(number);
            if (!is_new) {
                draft.error(
                    name, "echo", str(number),
                    str("a second ", name_of(member.part), " beside ", at->second.member->image->relative),
                    "keep one of the two");
            }
        }
    }
    if (table.empty()) return table;

    if (!has_phase && !has_complex) {
        draft.error(draft.members.front().image->relative, "part", "",
                    "magnitude only: no phase image belongs to it",
                    "add part-phase (or part-real and part-imag) images");
        return table;
    }
    if (const int n = draft.options.n_echoes; n > 0) {
        if (static_cast<int>(table.size()) < n) {
            draft.error("", "--n-echoes", str(n), str("this scan has ", table.size(), " echoes"),
                        "ask for fewer");
        }
        while (static_cast<int>(table.size()) > n) {
            for (auto& [part, source] : std::prev(table.end())->second) {
                if (source.member->echo > 0) {
                    source.member->use = Use::ignored;
                    source.member->reason = str("echo ", source.member->echo, " is beyond --n-echoes ", n);
                }
                numbers[part].erase(std::prev(table.end())->first);
            }
            table.erase(std::prev(table.end()));
        }
    }
    std::set<int> all;
    for (const auto& [number, parts] : table) all.insert(number);
    for (int number = 1; number < *all.rbegin() && !any_stack; ++number) {
        if (all.contains(number)) continue;
        draft.error("", "echo", str(number), str("echo missing: there are echoes ", list_of(all)),
                    "add its images, or renumber the others");
    }
    const std::vector<Part> wanted = has_phase ? std::vector<Part>{Part::phase, Part::magnitude}
                                               : std::vector<Part>{Part::real, Part::imaginary};
    for (const Part part : wanted) {
        if (part == Part::magnitude && numbers[part].empty()) {
            draft.warning("", "part", "", "no magnitude images: masks and weights come from the phase alone",
                          "add part-mag images");
            continue;
        }
        for (const int number : all) {
            if (numbers[part].contains(number)) continue;
            const Source& partner = table[number].begin()->second;
            draft.error(partner.member->image->relative, "echo", str(number),
                        str("the ", name_of(part), " image of this echo is missing"),
                        "add it, or remove its partner");
        }
    }
    return table;
}

}  // namespace qsmpi::io
