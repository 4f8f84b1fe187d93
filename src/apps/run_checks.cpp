#include "run_checks.hpp"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

#include "cli.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/pipeline/job.hpp"

namespace qsmpi::apps {

namespace fs = std::filesystem;

std::vector<io::Finding> check_option_files(const io::Acquisition& acquisition, const pipeline::ChainOptions& options)
{
    std::vector<io::Finding> findings;
    for (const auto& [option, file] : pipeline::option_files({acquisition, options, {}, {}, {}, 1})) {
        try {
            const io::NiftiHeader header = io::read_nifti_header(file);
            if (acquisition.geometry.grid.size() > 0) io::require_place(file, header, acquisition.geometry, "the scan");
        } catch (const Error& e) {
            findings.push_back({io::Severity::error, acquisition.key, "", option, "", e.what(), ""});
        }
    }
    return findings;
}

void refuse_output_among_the_data(const fs::path& output_dir, const std::string& bids)
{
    const fs::path inside = fs::weakly_canonical(output_dir).lexically_relative(fs::canonical(bids));
    const std::string first = inside.empty() ? ".." : inside.begin()->string();
    if (first == "." || first.starts_with("sub-"))
        throw InputError(str(output_dir.string(), " is part of the raw data in ", bids,
                             "; name another output folder, for example ", bids, "/derivatives/qsmpi"));
}

void refuse_output_in_a_file(const fs::path& output_dir)
{
    std::error_code error;
    fs::path there = output_dir;
    while (!fs::exists(there, error) && there.has_relative_path()) there = there.parent_path();
    if (!fs::is_directory(there, error)) throw IoError(str(there.string(), " is a file, not a folder; name another output folder"));
}

void make_writable(const fs::path& output_dir)
{
    std::error_code error;
    fs::create_directories(output_dir, error);
    if (!error && ::access(output_dir.c_str(), W_OK | X_OK) != 0) error = {errno, std::generic_category()};
    if (error)
        throw IoError(str("cannot write into the output folder ", output_dir.string(), ": ", error.message(),
                          "; make it writable or name another output folder"));
}

void refuse_output_of_other_data(const fs::path& output_dir, const std::string& bids)
{
    const fs::path raw = pipeline::described_raw_data(output_dir);
    std::error_code error;
    if (raw.empty() || fs::equivalent(raw, bids, error)) return;
    if (fs::exists(raw, error))
        throw UsageError(str("OUT_DIR ", output_dir.string(), " holds the results of another data set, ", raw.string(),
                             " (dataset_description.json: DatasetLinks.raw); name another OUT_DIR, or write ", bids,
                             " there if it is the same data"));
    log::warn(str(output_dir.string(), " was made from ", raw.string(), ", which is not there any more: ", bids,
                  " is taken for the same data set; name another OUT_DIR if it is not"));
}

bool all_empty(const fs::path& bids, const std::vector<io::ImageDecision>& images)
{
    return std::all_of(images.begin(), images.end(), [&](const io::ImageDecision& image) {
        std::error_code error;
        return image.use == io::Use::ignored || fs::file_size(bids / image.file, error) == 0 || error;
    });
}

}  // namespace qsmpi::apps
