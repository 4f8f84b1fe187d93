#include "bids_selection.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "bids_series.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io
{

namespace
{

/// Sections of a filter file that mean every gradient-echo scan; others are suffixes ("megre", "t1w").
constexpr std::array<std::string_view, 3> sections_for_all{"qsm", "gre", "all"};

/// Names that filter files use (those of PyBIDS) and the short ones of file names.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> entity_names{{
    {"subject", "sub"},
    {"session", "ses"},
    {"acquisition", "acq"},
    {"reconstruction", "rec"},
    {"direction", "dir"},
    {"ceagent", "ce"},
    {"modality", "mod"},
    {"inversion", "inv"},
    {"mtransfer", "mt"},
    {"task", "task"},
    {"space", "space"},
    {"sample", "sample"},
}};

std::string short_name(const std::string& name)
{
    for (const auto& [full, brief] : entity_names) {
        if (name == full) return std::string(brief);
    }
    return name;
}

std::string lower(std::string text)
{
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
}

bool any_matches(std::string_view key, const std::vector<std::string>& wanted, const std::string& label)
{
    return std::any_of(wanted.begin(), wanted.end(),
                       [&](const std::string& w) { return same_label(key, w, label); });
}

std::string text_of(const nlohmann::json& value)
{
    return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

Selection::Selection(const ScanOptions& options, std::vector<Finding>& findings) : options_(options)
{
    if (!options.filter_file.empty()) read_filter_file(options.filter_file, findings);
}

void Selection::read_filter_file(const fs::path& file, std::vector<Finding>& findings)
{
    const auto complain = [&](Severity severity, std::string field, std::string value, std::string problem,
                              std::string remedy) {
        findings.push_back({severity, "", file.string(), std::move(field), std::move(value),
                            std::move(problem), std::move(remedy)});
    };
    const char* const shape =
        "write {\"megre\": {\"acquisition\": \"x\", \"run\": [1, 2], \"session\": null}}";
    nlohmann::json content;
    try {
        content = nlohmann::json::parse(read_file(file));
    } catch (const nlohmann::json::parse_error& e) {
        return complain(Severity::error, "", "", str("not valid JSON at byte ", e.byte), shape);
    } catch (const nlohmann::json::exception& e) {
        return complain(Severity::error, "", "", e.what(), shape);
    } catch (const IoError& e) {
        return complain(Severity::error, "", "", e.what(), "name an existing file as --bids-filter-file");
    }
    if (!content.is_object()) return complain(Severity::error, "", "", "no JSON object", shape);
    std::vector<std::string> known(gre_suffixes().begin(), gre_suffixes().end());
    known.emplace_back("T1w");
    for (std::string& name : known) name = lower(name);
    known.insert(known.end(), sections_for_all.begin(), sections_for_all.end());

    for (const auto& [name, rules] : content.items()) {
        const std::string section = lower(name);
        if (std::find(known.begin(), known.end(), section) == known.end()) {
            const std::string near = nearest_word(section, known);
            complain(Severity::warning, name, "", "a section that nothing here is named after: ignored",
                     near.empty() ? "known sections: megre, t2starw, gre, qsm (all scans), t1w"
                                  : "did you mean \"" + near + "\"?");
            continue;
        }
        if (!rules.is_object()) {
            complain(Severity::error, name, rules.dump(), "a section must be an object", shape);
            continue;
        }
        for (const auto& [key, value] : rules.items()) {
            Rule rule{short_name(key), {}, value.is_null()};
            for (const auto& item : value.is_array() ? value : nlohmann::json::array({value})) {
                if (!item.is_null()) rule.allowed.push_back(text_of(item));
            }
            sections_[section].push_back(std::move(rule));
        }
    }
}

bool Selection::obeys(const Rule& rule, const TreeImage& image)
{
    const BidsName& name = *image.name;
    std::string label = name.entity(rule.key);
    if (rule.key == "suffix") label = name.suffix;
    if (rule.key == "extension") label = name.extension;
    if (rule.key == "datatype") label = image.folder->relative.substr(image.folder->relative.rfind('/') + 1);
    if (rule.absent) return label.empty();
    return std::any_of(rule.allowed.begin(), rule.allowed.end(), [&](const std::string& wanted) {
        return wanted == "*" ? !label.empty() : same_label(rule.key, wanted, label);
    });
}

std::string Selection::reason_against(const TreeImage& image, bool is_gre) const
{
    const BidsName& name = *image.name;
    if (!options_.subjects.empty() && !any_matches("sub", options_.subjects, name.entity("sub"))) {
        return "subject not selected (--participant-label)";
    }
    if (is_gre) {
        if (!options_.sessions.empty() && !any_matches("ses", options_.sessions, name.entity("ses"))) {
            return "session not selected (--session-label)";
        }
        if (!options_.runs.empty() && !any_matches("run", options_.runs, name.entity("run"))) {
            return "run not selected (--run-label)";
        }
        if (!options_.acquisitions.empty() &&
            !any_matches("acq", options_.acquisitions, name.entity("acq"))) {
            return "acquisition not selected (--acq-label)";
        }
    }
    for (const auto& [section, rules] : sections_) {
        const bool for_all =
            std::find(sections_for_all.begin(), sections_for_all.end(), section) != sections_for_all.end();
        if (section != lower(name.suffix) && !(for_all && is_gre)) continue;
        for (const Rule& rule : rules) {
            if (!obeys(rule, image))
                return str("not selected by the filter file (", section, ": ", rule.key, ")");
        }
    }
    return "";
}

void Selection::report_unknown_subjects(const std::vector<std::string>& folders,
                                        std::vector<Finding>& findings) const
{
    for (const std::string& wanted : options_.subjects) {
        const auto is_wanted = [&](const std::string& folder) {
            return same_label("sub", wanted, folder.substr(4));
        };
        if (std::any_of(folders.begin(), folders.end(), is_wanted)) continue;
        const std::string near = nearest_word(wanted.starts_with("sub-") ? wanted : "sub-" + wanted, folders);
        findings.push_back(
            {Severity::error, "", "", "--participant-label", wanted, "no such subject in the data set",
             near.empty() ? "give a label without \"sub-\"" : "did you mean " + near.substr(4) + "?"});
    }
}

}  // namespace qsmpi::io
