#include "bids_tree.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include <dirent.h>
#include <sys/stat.h>

#include "posix.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io
{

namespace fs = std::filesystem;

namespace
{

enum class Kind { folder, file, dangling, other };

struct Entry {
    std::string name;
    Kind kind;
    bool may_be_link;
};

Kind kind_of(const std::string& path, unsigned char type)
{
    if (type == DT_DIR) return Kind::folder;
    if (type == DT_REG) return Kind::file;
    struct stat status {
    };
    if (::stat(path.c_str(), &status) != 0) return Kind::dangling;
    return S_ISDIR(status.st_mode) ? Kind::folder : S_ISREG(status.st_mode) ? Kind::file : Kind::other;
}

/// Sorted entries without hidden ones; one system call for many names, none for each. Sets errno-like
/// `error`.
std::vector<Entry> entries_of(const std::string& folder, int& error)
{
    std::vector<Entry> out;
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(folder.c_str()), &::closedir);
    error = stream ? 0 : errno;
    if (!stream) return out;
    while (const dirent* entry = ::readdir(stream.get())) {
        if (entry->d_name[0] == '.') continue;
        out.push_back({entry->d_name, kind_of(folder + "/" + entry->d_name, entry->d_type),
                       entry->d_type != DT_DIR && entry->d_type != DT_REG});
    }
    std::sort(out.begin(), out.end(), [](const Entry& a, const Entry& b) { return a.name < b.name; });
    return out;
}

bool is_image(const std::string& name)
{
    return name.ends_with(".nii") || name.ends_with(".nii.gz");
}

void add_sidecar(TreeFolder& folder, const std::string& relative, const std::string& name)
{
    if (!name.ends_with(".json")) return;
    if (auto parsed = parse_bids_name(name))
        folder.sidecars.push_back({relative, std::move(*parsed), false, {}, {}});
}

/// sub-*, ses-*, data type, and one to spare.
constexpr int deepest_level = 4;

/// True for the folder itself and those above it: a link to one of them shows the same files once more.
bool leads_back(const std::string& root, const TreeFolder& folder, const std::string& relative)
{
    std::error_code error;
    const TreeFolder* above = &folder;
    while (above != nullptr && !fs::equivalent(root + "/" + above->relative, root + "/" + relative, error)) above = above->parent;
    return above != nullptr;
}

void walk(const std::string& root, TreeFolder& folder, int level, SubjectTree& tree)
{
    int error = 0;
    const auto entries = entries_of(root + "/" + folder.relative, error);
    if (error != 0) tree.unreadable_folders.push_back(folder.relative + ": " + std::strerror(error));
    std::vector<TreeFolder*> below;
    for (const Entry& entry : entries) {
        std::string relative = folder.relative + "/" + entry.name;
        if (entry.kind == Kind::folder) {
            if (level < deepest_level && !(entry.may_be_link && leads_back(root, folder, relative)))
                below.push_back(&tree.folders.emplace_back(TreeFolder{std::move(relative), &folder, {}}));
        } else if (entry.kind != Kind::other && is_image(entry.name)) {
            tree.images.push_back(
                {relative, parse_bids_name(entry.name), &folder, entry.kind == Kind::dangling});
        } else if (entry.kind != Kind::other) {
            add_sidecar(folder, relative, entry.name);
        }
    }
    for (TreeFolder* next : below) walk(root, *next, level + 1, tree);
}

}  // namespace

TreeRoot read_root(const fs::path& bids_dir)
{
    TreeRoot root;
    int error = 0;
    const auto entries = entries_of(bids_dir.string(), error);
    if (error != 0) throw_io_error("read the BIDS folder", bids_dir, error);
    for (const Entry& entry : entries) {
        if (entry.kind == Kind::folder && entry.name.starts_with("sub-")) root.subjects.push_back(entry.name);
        if (entry.kind == Kind::file || entry.kind == Kind::dangling) add_sidecar(root.folder, entry.name, entry.name);
    }
    for (SidecarFile& file : root.folder.sidecars) load_sidecar(bids_dir, file);
    return root;
}

SubjectTree walk_subject(const fs::path& bids_dir, const std::string& subject, TreeFolder& root)
{
    SubjectTree tree;
    TreeFolder& folder = tree.folders.emplace_back(TreeFolder{subject, &root, {}});
    walk(bids_dir.string(), folder, 1, tree);
    return tree;
}

void load_sidecar(const fs::path& bids_dir, SidecarFile& file)
{
    file.loaded = true;
    std::error_code error;
    if (fs::is_symlink(bids_dir / file.relative, error) && !fs::exists(bids_dir / file.relative, error)) {
        file.error = link_to_nothing;
        file.remedy = fetch_content;
        file.content = nlohmann::json::object();
        return;
    }
    try {
        file.content = nlohmann::json::parse(read_file(bids_dir / file.relative));
        if (!file.content.is_object()) file.error = "the file holds no JSON object";
    } catch (const nlohmann::json::parse_error& e) {
        file.error = str("not valid JSON at byte ", e.byte);
    } catch (const nlohmann::json::exception& e) {  // a number that no double holds, for example
        const std::string_view said = e.what();  // "[json.exception.out_of_range.406] number overflow parsing '1e999'"
        file.error = str("JSON that cannot be used: ", said.substr(std::min(said.find("] ") + 2, said.size())));
    } catch (const IoError& e) {
        file.error = e.what();
    }
    if (!file.error.empty()) file.content = nlohmann::json::object();
}

Sidecar::Sidecar(const fs::path& bids_dir, const TreeImage& image)
{
    expected_ = image.relative.substr(0, image.relative.size() - image.name->extension.size()) + ".json";
    for (TreeFolder* folder = image.folder; folder != nullptr; folder = folder->parent) {
        const std::size_t first = files_.size();
        for (SidecarFile& file : folder->sidecars) {
            if (!file.name.applies_to(*image.name)) continue;
            if (!file.loaded) load_sidecar(bids_dir, file);
            files_.push_back(&file);
        }
        // Within a folder, the more a name says the closer it is.
        std::stable_sort(files_.begin() + static_cast<std::ptrdiff_t>(first), files_.end(),
                         [](const SidecarFile* a, const SidecarFile* b) {
                             return a->name.entities.size() > b->name.entities.size();
                         });
    }
}

bool Sidecar::is_damaged() const
{
    return std::any_of(files_.begin(), files_.end(), [](const SidecarFile* f) { return !f->error.empty(); });
}

Sidecar::Value Sidecar::find(std::string_view key) const
{
    for (const SidecarFile* file : files_) {
        const auto at = file->content.find(key);
        if (at != file->content.end() && !at->is_null()) return {&*at, file};
    }
    return {};
}

std::string Sidecar::text(std::string_view key) const
{
    const Value found = find(key);
    return found && found.value->is_string() ? found.value->get<std::string>() : std::string();
}

std::string Sidecar::place_of(std::string_view key) const
{
    if (const Value found = find(key)) return found.file->relative;
    return files_.empty() ? expected_ : files_.front()->relative;
}

}  // namespace qsmpi::io
