#include <algorithm>
#include <map>
#include <set>

#include "bids_selection.hpp"
#include "bids_series.hpp"
#include "phase_scaling.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/suggest.hpp"

namespace qsmpi::io
{

namespace
{

/// Checks everything, and fills acquisition, echoes and decisions.
void build(Draft& draft)
{
    open_members(draft);
    EchoTable table = arrange_echoes(draft);
    // What is not used need not be sound.
    std::erase_if(draft.findings, [&](const Finding& f) {
        return std::any_of(draft.members.begin(), draft.members.end(), [&](const Member& m) {
            return m.use == Use::ignored && m.image->relative == f.file;
        });
    });
    if (!table.empty()) {
        check_echo_times(draft, table);
        check_field_strength(draft, table);
        check_geometry(draft, table);
        check_phase_units(draft, table);
        auto echo = draft.acquisition.echoes.begin();
        for (const auto& [number, parts] : table) {
            for (const auto& [part, source] : parts) {
                ImageRef& ref = part == Part::magnitude ? echo->magnitude
                                : part == Part::phase   ? echo->phase
                                : part == Part::real    ? echo->real
                                                        : echo->imaginary;
                ref = {draft.bids_dir / source.member->image->relative, source.i_volume};
            }
            ++echo;
        }
    }
    for (const Finding& f : draft.findings) {
        if (f.severity == Severity::warning) draft.acquisition.warnings.push_back(f.problem);
    }
}

/// "phase of echo 2, 8 ms" or "phase, 3 echoes".
std::string description_of(const Member& member, const Acquisition& a)
{
    if (member.echo == 0 && member.n_volumes > 1)
        return str(name_of(member.part), " of ", member.n_volumes, " echoes, part of ", a.key);
    for (const Echo& echo : a.echoes) {
        if (echo.number == std::max(member.echo, 1)) {
            return str(name_of(member.part), " of echo ", echo.number, " (", echo.echo_time_s * 1e3,
                       " ms), part of ", a.key);
        }
    }
    return str(name_of(member.part), ", part of ", a.key);
}

void decide(Draft& draft, SubjectScan& out)
{
    const bool refused = draft.refused();
    for (Member& member : draft.members) {
        ImageDecision decision{member.image->relative, member.use, member.reason};
        if (member.use == Use::used && refused) {
            decision.use = Use::refused;
            // The image's own fault if it has one, else the first of the scan.
            const Finding* cause = nullptr;
            for (const Finding& f : draft.findings) {
                if (f.severity == Severity::error &&
                    (cause == nullptr || (f.file == decision.file && cause->file != decision.file)))
                    cause = &f;
            }
            decision.reason = cause->file == decision.file
                                  ? (cause->field.empty() ? "" : cause->field + ": ") + cause->problem
                                  : "its scan is refused: " + cause->text();
        } else if (member.use == Use::used) {
            decision.reason = description_of(member, draft.acquisition);
        }
        out.images.push_back(std::move(decision));
    }
    std::move(draft.findings.begin(), draft.findings.end(), std::back_inserter(out.findings));
    if (refused) {
        out.refused.push_back(std::move(draft.acquisition.key));
    } else {
        out.acquisitions.push_back(std::move(draft.acquisition));
    }
}

/// Attaches the T1w of the same session, else of the subject, and says what became of each.
void attach_t1w(const fs::path& bids_dir, const std::vector<const TreeImage*>& t1w,
                const ScanOptions& options, SubjectScan& out)
{
    std::set<const TreeImage*> attached;
    std::map<const TreeImage*, std::string> unfit;
    for (const TreeImage* image : t1w) {
        if (image->dangling) unfit[image] = link_to_nothing;
        if (image->dangling || !options.open_images) continue;
        try {
            (void)read_nifti_header(bids_dir / image->relative);
        } catch (const std::exception& e) {
            unfit[image] = e.what();
        }
    }
    for (Acquisition& a : out.acquisitions) {
        const TreeImage* chosen = nullptr;
        for (const TreeImage* image : t1w) {
            if (unfit.contains(image)) continue;
            const bool same_session = image->name->entity("ses") == a.session;
            if (chosen == nullptr || (same_session && chosen->name->entity("ses") != a.session))
                chosen = image;
        }
        if (chosen == nullptr) continue;
        a.t1w = bids_dir / chosen->relative;
        attached.insert(chosen);
    }
    for (const TreeImage* image : t1w) {
        if (const auto at = unfit.find(image); at != unfit.end()) {
            out.images.push_back({image->relative, Use::refused, at->second});
        } else if (attached.contains(image)) {
            out.images.push_back({image->relative, Use::used, "T1w of this subject"});
        } else {
            out.images.push_back({image->relative, Use::ignored,
                                  out.acquisitions.empty() ? "T1w, but no gradient-echo scan to go with"
                                                           : "another T1w is used"});
        }
    }
}

/// All entities but those that tell images of one scan apart.
std::string series_name(const BidsName& name)
{
    std::string out;
    for (const auto& [key, value] : name.entities) {
        if (key != "echo" && key != "part") out += key + "-" + value + "_";
    }
    return out;
}

Acquisition start_acquisition(const BidsName& name, bool several_suffixes)
{
    Acquisition a;
    a.suffix = name.suffix;
    for (const auto& [key, value] : name.entities) {
        if (key == "sub")
            a.subject = value;
        else if (key == "ses")
            a.session = value;
        else if (key != "echo" && key != "part")
            a.entities[key] = value;
    }
    a.key = a.prefix();
    if (several_suffixes) {
        a.key += "_" + a.suffix;
        a.entities["mod"] = a.suffix;  // keeps the outputs apart
    }
    return a;
}

/// T2starw without part- and without phase is a contrast of its own, no half of a scan.
bool is_plain_contrast(const std::vector<Member>& members)
{
    return std::all_of(members.begin(), members.end(), [](const Member& m) {
        return m.image->name->suffix == "T2starw" && m.part == Part::magnitude &&
               m.image->name->entity("part").empty();
    });
}

/// A scan with fewer echoes than most of its kind has probably lost its last ones, which no gap shows.
void compare_echo_counts(ScanReport& report)
{
    std::map<std::string, std::map<std::size_t, std::size_t>> counts;
    const auto kind_of = [](const Acquisition& a) {
        std::string kind = a.suffix;
        for (const auto& [key, value] : a.entities) kind += key == "run" ? "" : "_" + key + "-" + value;
        return kind;
    };
    // By number: an echo that is missing before the last was named already.
    const auto n_echoes_of = [](const Acquisition& a) {
        return a.echoes.empty() ? std::size_t{0} : static_cast<std::size_t>(a.echoes.back().number);
    };
    for (const Acquisition& a : report.acquisitions) ++counts[kind_of(a)][n_echoes_of(a)];
    for (Acquisition& a : report.acquisitions) {
        std::size_t n_most = 0, usual = 0, n_all = 0;
        for (const auto& [n_echoes, n_scans] : counts[kind_of(a)]) {
            n_all += n_scans;
            if (n_scans > n_most) {
                n_most = n_scans;
                usual = n_echoes;
            }
        }
        if (n_all < 3 || 2 * n_most <= n_all || n_echoes_of(a) >= usual) continue;
        Finding f{Severity::warning,
                  a.key,
                  "",
                  "echo",
                  str(a.echoes.size()),
                  str("echo missing? most scans of this kind have ", usual, " echoes"),
                  "look for the images of the later echoes"};
        a.warnings.push_back(f.problem);
        report.findings.push_back(std::move(f));
    }
}

template <typename T>
void append(std::vector<T>& to, std::vector<T>& from)
{
    std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

SubjectScan scan_subject(const fs::path& bids_dir, const std::string& subject, TreeFolder& root,
                         const Selection& selection, const ScanOptions& options)
{
    SubjectScan out;
    SubjectTree tree = walk_subject(bids_dir, subject, root);
    for (const std::string& folder : tree.unreadable_folders) {
        out.findings.push_back(
            {Severity::error, "", "", "", "", "cannot read the folder " + folder, "check the permissions"});
    }
    std::map<std::string, std::map<std::string, std::vector<Member>>> series;  // by name, then by suffix
    std::vector<const TreeImage*> t1w;
    bool any_selected = false;
    for (const TreeImage& image : tree.images) {
        const auto ignore = [&](std::string reason) {
            out.images.push_back({image.relative, Use::ignored, std::move(reason)});
        };
        const bool has_labels = image.name && !image.name->entity("sub").empty();
        const bool has_bad_label = has_labels && image.name->bad_label();
        if (!has_labels || (has_bad_label && !reason_to_ignore(image, Sidecar(bids_dir, image)).empty())) {
            ignore("not a BIDS name");
            continue;
        }
        if (!has_bad_label && "sub-" + image.name->entity("sub") != subject) {
            out.findings.push_back({Severity::error, "", image.relative, "sub", image.name->entity("sub"),
                                    "the name does not fit the folder", "rename or move the image"});
            out.images.push_back({image.relative, Use::refused, "the name does not fit the folder"});
            continue;
        }
        const bool is_t1w = image.name->suffix == "T1w" && image.name->entity("part").empty();
        if (const std::string reason = selection.reason_against(image, !is_t1w); !reason.empty()) {
            ignore(reason);
            continue;
        }
        any_selected = true;
        if (is_t1w) {
            t1w.push_back(&image);
            continue;
        }
        Sidecar sidecar(bids_dir, image);
        if (const std::string reason = reason_to_ignore(image, sidecar); !reason.empty()) {
            ignore(reason);
            continue;
        }
        const Part part = part_of(image, sidecar);
        series[series_name(*image.name)][image.name->suffix].push_back(
            {.image = &image, .sidecar = std::move(sidecar), .part = part});
    }
    for (auto& [name, by_suffix] : series) {
        for (auto& [suffix, members] : by_suffix) {
            if (is_plain_contrast(members)) {
                for (const Member& m : members)
                    out.images.push_back({m.image->relative, Use::ignored,
                                          "T2starw without a phase image: a contrast, not a scan for QSM"});
                continue;
            }
            Draft draft(bids_dir, options);
            draft.acquisition = start_acquisition(*members.front().image->name, by_suffix.size() > 1);
            draft.members = std::move(members);
            if (const Member& first = draft.members.front(); const auto bad = first.image->name->bad_label()) {
                draft.error(first.image->relative, bad->first, bad->second, "a label that BIDS does not allow",
                            "rename files and folders: letters and digits only");
            } else {
                build(draft);
            }
            decide(draft, out);
        }
    }
    attach_t1w(bids_dir, t1w, options, out);
    if (any_selected && series.empty()) {
        out.findings.push_back({Severity::warning, "", subject, "", "",
                                "no gradient-echo scan (MEGRE, T2starw, GRE, ...) among its images", ""});
    }
    return out;
}

ScanReport scan_bids(const fs::path& bids_dir, const ScanOptions& options)
{
    ScanReport report;
    TreeRoot root = read_root(bids_dir);
    const Selection selection(options, report.findings);
    selection.report_unknown_subjects(root.subjects, report.findings);
    const auto& units = phase_unit_names();
    if (std::find(units.begin(), units.end(), options.phase_units) == units.end()) {
        const std::string near = nearest_word(options.phase_units, units);
        report.findings.push_back({Severity::error, "", "", "--phase-units", options.phase_units, "unknown",
                                   near.empty()
                                       ? "auto, rad, milliradian, degree, siemens, siemens-unsigned or minmax"
                                       : "did you mean " + near + "?"});
    }
    if (root.subjects.empty()) {
        report.findings.push_back({Severity::error, "", bids_dir.string(), "", "", "no folder named sub-*",
                                   "name the top folder of a BIDS data set"});
        return report;
    }

    std::vector<SubjectScan> scans(root.subjects.size());
    parallel::for_each_dynamic(scans.size(), [&](std::size_t i) {
        scans[i] = scan_subject(bids_dir, root.subjects[i], root.folder, selection, options);
    });
    for (SubjectScan& scan : scans) {
        append(report.acquisitions, scan.acquisitions);
        append(report.refused, scan.refused);
        append(report.images, scan.images);
        append(report.findings, scan.findings);
    }
    std::sort(report.acquisitions.begin(), report.acquisitions.end(),
              [](const Acquisition& a, const Acquisition& b) { return a.key < b.key; });
    std::sort(report.refused.begin(), report.refused.end());
    std::sort(report.images.begin(), report.images.end(),
              [](const ImageDecision& a, const ImageDecision& b) { return a.file < b.file; });
    compare_echo_counts(report);
    return report;
}

}  // namespace qsmpi::io
