#pragma once
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "bids_name.hpp"

namespace qsmpi::io
{

/// Said of a symbolic link whose target is not there: git-annex and DataLad leave such.
inline constexpr const char* link_to_nothing = "a symbolic link to nothing";
inline constexpr const char* fetch_content = "fetch the content (datalad get)";

/// A JSON file that may describe images in its folder and below.
struct SidecarFile {
    std::string relative;  ///< to the BIDS folder
    BidsName name;
    bool loaded = false;
    nlohmann::json content;
    std::string error;  ///< why it cannot be used, or ""
    std::string remedy = "repair the sidecar";
};

/// A folder of the walk; sidecars of its ancestors apply too.
struct TreeFolder {
    std::string relative;  ///< "" for the BIDS folder itself
    TreeFolder* parent = nullptr;
    std::vector<SidecarFile> sidecars;
};

struct TreeImage {
    std::string relative;
    std::optional<BidsName> name;  ///< none: not a BIDS name
    TreeFolder* folder = nullptr;
    bool dangling = false;  ///< a symbolic link to nothing
};

/// Everything below one subject's folder.
struct SubjectTree {
    std::deque<TreeFolder> folders;
    std::vector<TreeImage> images;                ///< sorted by name
    std::vector<std::string> unreadable_folders;  ///< "sub-01/anat: Permission denied"
};

/// The BIDS folder itself: its sidecars and the names of its sub-* folders, sorted.
struct TreeRoot {
    TreeFolder folder;
    std::vector<std::string> subjects;  ///< "sub-01"
};

/// @throws IoError if the folder cannot be read
[[nodiscard]] TreeRoot read_root(const std::filesystem::path& bids_dir);
[[nodiscard]] SubjectTree walk_subject(const std::filesystem::path& bids_dir, const std::string& subject,
                                       TreeFolder& root);

/// Parses the file once; problems go to `file.error`.
void load_sidecar(const std::filesystem::path& bids_dir, SidecarFile& file);

/// What the sidecars that apply to one image say together; the closest one that has a key wins.
class Sidecar
{
public:
    /// Loads what is not loaded yet. Sidecars of the root folder must be loaded already: threads share them.
    Sidecar(const std::filesystem::path& bids_dir, const TreeImage& image);

    struct Value {
        const nlohmann::json* value = nullptr;
        const SidecarFile* file = nullptr;
        explicit operator bool() const { return value != nullptr; }
    };
    [[nodiscard]] Value find(std::string_view key) const;
    /// Text of a string value, or "".
    [[nodiscard]] std::string text(std::string_view key) const;
    /// Where to look for `key`: the file that has it, else the closest sidecar, else where one should be.
    [[nodiscard]] std::string place_of(std::string_view key) const;
    /// A file is damaged: what seems to be missing may have been in it.
    [[nodiscard]] bool is_damaged() const;
    [[nodiscard]] const std::vector<const SidecarFile*>& files() const { return files_; }

private:
    std::vector<const SidecarFile*> files_;  ///< closest first
    std::string expected_;
};

}  // namespace qsmpi::io
