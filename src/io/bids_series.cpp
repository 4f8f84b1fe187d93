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
/// Numbers beyond this are something else: an echo time, a date.
constexpr int most_echoes = 64;
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

const char* label_of(Part part)
{
    switch (part) {
        case Part::magnitude: return "mag";
        case Part::phase: return "phase";
        case Part::real: return "real";
        case Part::imaginary: return "imag";
    }
    return "";
}

/// How an image that is not there would be called, after the others of the scan; described where no name tells.
std::string missing_image(const EchoTable& table, int number, Part part)
{
    const Member* like = nullptr;
    for (const auto& [echo, parts] : table) {
        for (const auto& [other, source] : parts) {
            const bool tells = other == part || !source.member->image->name->entity("part").empty();
            if (tells && (like == nullptr || (other == part && like->part != part))) like = source.member;
        }
    }
    if (like == nullptr) return str("the ", name_of(part), " image of echo ", number);
    const BidsName& name = *like->image->name;
    std::string file;
    for (const auto& [key, value] : name.entities) {
        std::string label = key == "part" ? label_of(part) : key == "echo" ? std::to_string(number) : value;
        if (key == "echo" && label.size() < value.size()) label.insert(0, value.size() - label.size(), '0');
        file += key + "-" + label + "_";
    }
    return like->image->folder->relative + "/" + file + name.suffix + name.extension;
}

/// What an echo has to do without, in words; "" if nothing.
std::string lack_of_images(const EchoTable& table, int number, const std::vector<Part>& wanted)
{
    const auto at = table.find(number);
    std::string files;
    std::size_t n = 0;
    for (const Part part : wanted) {
        if (at != table.end() && at->second.contains(part)) continue;
        files += (n++ == 0 ? "" : " and ") + missing_image(table, number, part);
    }
    return n == 0 ? "" : files + (n > 1 ? " are missing" : " is missing");
}

std::string lack_of_time(const std::map<Part, Source>& parts)
{
    for (const auto& [part, source] : parts) {
        const Sidecar& sidecar = source.member->sidecar;
        if (sidecar.find("EchoTime") || sidecar.find("EchoTimes") || sidecar.is_damaged()) return "";
    }
    return "there is no EchoTime in " + parts.begin()->second.member->sidecar.place_of("EchoTime");
}

/// Echoes up to the last number that lack an image or their time are left to the others, as long as there are any.
void leave_out_incomplete(Draft& draft, EchoTable& table, const std::vector<Part>& wanted, int last)
{
    std::map<int, std::string> lacks_image, lacks;
    for (int number = 1; number <= last; ++number) {
        if (std::string lack = lack_of_images(table, number, wanted); !lack.empty()) lacks_image[number] = std::move(lack);
    }
    lacks = lacks_image;
    for (const auto& [number, parts] : table) {
        if (lacks.contains(number)) continue;
        if (std::string lack = lack_of_time(parts); !lack.empty()) lacks[number] = std::move(lack);
    }
    const bool any_left = std::any_of(table.begin(), table.end(), [&](const auto& echo) { return !lacks.contains(echo.first); });
    if (!any_left) {  // echo times are looked at again by check_echo_times()
        for (const auto& [number, lack] : lacks_image) draft.error("", "echo", str(number), lack, "add what is missing");
        return;
    }
    for (const auto& [number, lack] : lacks) {
        const std::string problem = str("echo ", number, " is left out: ", lack);
        draft.warning("", "", "", problem, "add what is missing");
        if (const auto at = table.find(number); at != table.end()) {
            for (auto& [part, source] : at->second) {
                source.member->use = Use::ignored;
                source.member->reason = problem;
            }
            table.erase(at);
        }
    }
}

/// The images of a stack hold the same echoes, or one is damaged.
void require_whole_stacks(Draft& draft, const EchoTable& table, const std::map<Part, std::set<int>>& numbers,
                          const std::vector<Part>& wanted)
{
    for (const Part part : wanted) {
        const auto has = numbers.find(part);
        if (has == numbers.end() || has->second.empty()) {
            draft.error("", "part", "", missing_image(table, table.begin()->first, part) + " is missing", "add it");
            continue;
        }
        for (const auto& [number, parts] : table) {
            if (has->second.contains(number)) continue;
            draft.error(parts.begin()->second.member->image->relative, "echo", str(number),
                        str("the ", name_of(part), " image of this echo is missing"), "add it, or remove its partner");
        }
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
                draft.error(file->relative, "", "", file->error, file->remedy);
            }
        }
        if (member.image->dangling) {
            draft.error(member.image->relative, "", "", link_to_nothing, fetch_content);
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
        draft.error("", "part", "",
                    str("magnitude only: ", missing_image(table, table.begin()->first, Part::phase),
                        table.size() > 1 ? " and those of the other echoes are missing" : " is missing"),
                    "add part-phase (or part-real and part-imag) images");
        return table;
    }
    int last = table.rbegin()->first;
    if (last > most_echoes) {
        draft.error("", "echo", str(last), "no scan has so many echoes", "number them from 1, in the order of their times");
        return table;
    }
    if (const int n = draft.options.n_echoes; n > 0) {
        last = std::min(last, n);
        if (table.rbegin()->first < n) {
            draft.error("", "--n-echoes", str(n), str("this scan has ", table.size(), " echoes"),
                        "ask for fewer");
        }
        while (!table.empty() && table.rbegin()->first > n) {
            for (auto& [part, source] : std::prev(table.end())->second) {
                if (source.member->echo > 0) {
                    source.member->use = Use::ignored;
                    source.member->reason = str("echo ", source.member->echo, " is beyond --n-echoes ", n);
                }
                numbers[part].erase(std::prev(table.end())->first);
            }
            table.erase(std::prev(table.end()));
        }
        if (table.empty()) {
            draft.error("", "--n-echoes", str(n), "this scan has none of the first echoes", "ask for more");
            return table;
        }
    }
    std::vector<Part> wanted = has_phase ? std::vector<Part>{Part::phase, Part::magnitude}
                                         : std::vector<Part>{Part::real, Part::imaginary};
    if (has_phase && numbers[Part::magnitude].empty()) {
        draft.warning("", "part", "", "no magnitude images: masks and weights come from the phase alone",
                      "add part-mag images");
        wanted.pop_back();
    }
    if (any_stack) {
        require_whole_stacks(draft, table, numbers, wanted);
    } else {
        leave_out_incomplete(draft, table, wanted, last);
    }
    return table;
}

}  // namespace qsmpi::io
