#include "content_check.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>

#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/version.hpp"

namespace qsmpi::apps {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json json_of(const io::Finding& f)
{
    return {{"error", f.severity == io::Severity::error}, {"acquisition", f.acquisition}, {"file", f.file},
            {"field", f.field}, {"value", f.value}, {"problem", f.problem}, {"remedy", f.remedy}};
}

io::Finding finding_from(const json& j)
{
    io::Finding f;
    f.severity = j.at("error").get<bool>() ? io::Severity::error : io::Severity::warning;
    f.acquisition = j.at("acquisition");
    f.file = j.at("file");
    f.field = j.at("field");
    f.value = j.at("value");
    f.problem = j.at("problem");
    f.remedy = j.at("remedy");
    return f;
}

/// Changes when an image is touched, or when what the scan says of the acquisition changes.
std::string signature_of(const io::Acquisition& acquisition, bool with_facts)
{
    Hasher hasher;
    for (const fs::path& file : acquisition.files()) {
        struct stat s{};
        const bool there = stat(file.c_str(), &s) == 0;
        hasher.add(file.filename().string());
        hasher.add(there ? str(s.st_size, ' ', s.st_mtim.tv_sec, '.', s.st_mtim.tv_nsec) : "absent");
        if (with_facts) hasher.add(file.string());
    }
    if (with_facts) {
        hasher.add(json(acquisition).dump());
        hasher.add(str(version(), ' ', commit()));
    }
    return hasher.hex();
}

std::string content_hash(const io::Acquisition& acquisition)
{
    Hasher hasher;
    std::vector<char> buffer(std::size_t{1} << 20);
    for (const fs::path& file : acquisition.files()) {
        std::ifstream in(file, std::ios::binary);
        if (!in) throw IoError(str("cannot read ", file.string()));
        while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0)
            hasher.add(buffer.data(), static_cast<std::size_t>(in.gcount()));
        hasher.add("|");  // so that bytes cannot move from one file to the next unseen
    }
    return hasher.hex();
}

class Cache {
public:
    Cache(const fs::path& file, const std::vector<fs::path>& older)
    {
        for (const fs::path& f : older) load(f);
        load(file);
        fs::create_directories(file.parent_path());
        out_.open(file, std::ios::app);
        if (!out_) throw IoError(str("cannot write ", file.string(), "; is the output folder writable?"));
    }
    [[nodiscard]] std::optional<CheckedAcquisition> find(const std::string& key, const std::string& signature) const
    {
        const auto entry = entries_.find(key);
        if (entry == entries_.end()) return std::nullopt;
        try {
            const json& j = entry->second;
            if (j.at("signature") != signature) return std::nullopt;
            CheckedAcquisition c{j.at("acquisition").get<io::Acquisition>(), {}, j.at("input_hash")};
            for (const json& f : j.at("findings")) c.findings.push_back(finding_from(f));
            return c;
        } catch (const json::exception&) {
            return std::nullopt;  // written by another version
        }
    }
    void keep(const std::string& signature, const CheckedAcquisition& c)
    {
        json findings = json::array();
        for (const io::Finding& f : c.findings) findings.push_back(json_of(f));
        const json line{{"key", c.acquisition.key}, {"signature", signature}, {"input_hash", c.input_hash},
                        {"findings", findings}, {"acquisition", c.acquisition}};
        const std::lock_guard lock(mutex_);
        out_ << line.dump() + "\n" << std::flush;
    }

private:
    void load(const fs::path& file)
    {
        std::ifstream in(file);
        for (std::string line; std::getline(in, line);) {
            json j = json::parse(line, nullptr, false);  // a line torn by a kill is discarded
            if (!j.is_object() || !j.contains("key")) continue;
            const std::string key = j["key"];
            entries_[key] = std::move(j);
        }
    }
    std::map<std::string, json> entries_;
    std::ofstream out_;
    std::mutex mutex_;
};

}  // namespace

bool CheckedAcquisition::refused() const
{
    return std::any_of(findings.begin(), findings.end(), [](const io::Finding& f) { return f.severity == io::Severity::error; });
}

std::vector<CheckedAcquisition> check_acquisitions(std::vector<io::Acquisition> acquisitions, CheckDepth depth,
                                                   const fs::path& cache_file, const std::vector<fs::path>& older)
{
    std::vector<CheckedAcquisition> checked(acquisitions.size());
    if (depth == CheckDepth::headers) {
        parallel::for_each_dynamic(acquisitions.size(), [&](std::size_t i) {
            checked[i].input_hash = signature_of(acquisitions[i], false);
            checked[i].acquisition = std::move(acquisitions[i]);
        });
        return checked;
    }
    Cache cache(cache_file, older);
    std::vector<std::string> signatures(acquisitions.size());
    std::vector<std::size_t> unknown;
    for (std::size_t i = 0; i < acquisitions.size(); ++i) {
        signatures[i] = signature_of(acquisitions[i], true);
        if (auto known = cache.find(acquisitions[i].key, signatures[i])) checked[i] = std::move(*known);
        else unknown.push_back(i);
    }
    if (!unknown.empty()) log::info(str("reading and checking ", unknown.size(), " of ", acquisitions.size(), " scans"));
    const auto check = [&](std::size_t k) {
        const std::size_t i = unknown[k];
        CheckedAcquisition& c = checked[i];
        c.acquisition = std::move(acquisitions[i]);
        c.findings = io::check_contents(c.acquisition);
        try {
            c.input_hash = content_hash(c.acquisition);
        } catch (const IoError& e) {
            c.findings.push_back({io::Severity::error, c.acquisition.key, "", "", "", e.what(), "make it readable"});
            return;
        }
        cache.keep(signatures[i], c);
    };
    // Few scans: one after the other, so that the threads share the files of each.
    if (unknown.size() < static_cast<std::size_t>(parallel::threads())) {
        for (std::size_t k = 0; k < unknown.size(); ++k) check(k);
    } else {
        parallel::for_each_dynamic(unknown.size(), check);
    }
    return checked;
}

}  // namespace qsmpi::apps
