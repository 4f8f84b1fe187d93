#include "contact_sheet.hpp"

#include <algorithm>
#include <set>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/io/png.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::apps {

namespace fs = std::filesystem;

namespace {

/// Scans that were refused or failed, with the reason in the place of a map.
std::vector<io::SheetItem> scans_without_map(const runtime::RunStatus& status, std::size_t most)
{
    std::vector<io::SheetItem> items;
    std::size_t n = 0;
    for (const runtime::JobStatus& job : status.jobs) {
        if (job.state != "refused" && job.state != "failed") continue;
        if (++n <= most) items.push_back({.title = str(job.key, ": ", job.state), .note = job.message});
    }
    if (n > most) items.push_back({.title = str("and ", n - most, " more"), .note = "see jobs.csv"});
    return items;
}

/// Scans whose latest job gave no map, or none yet: what is there is of an earlier input or of other options.
std::set<std::string> scans_not_done(const runtime::RunStatus& status)
{
    std::set<std::string> keys;
    for (const runtime::JobStatus& job : status.jobs) {
        if (job.state != "done") keys.insert(job.key);
    }
    return keys;
}

/// Scans that differ in their suffix alone have it as mod- in the names of their maps, and at the end of their keys.
std::string key_with_suffix(std::string scan)
{
    const std::size_t begin = scan.find("_mod-");
    if (begin == std::string::npos) return scan;
    const std::size_t end = std::min(scan.find('_', begin + 1), scan.size());
    const std::string suffix = scan.substr(begin + 5, end - begin - 5);
    return scan.erase(begin, end - begin) + "_" + suffix;
}

}  // namespace

std::string scan_of(const fs::path& map)
{
    const std::string name = map.filename().string();
    return name.substr(0, name.rfind("_Chimap"));
}

Results results_in(const fs::path& output_dir)
{
    Results results;
    std::vector<fs::path>& maps = results.maps;
    std::error_code error;
    for (const fs::directory_entry& subject : fs::directory_iterator(output_dir, error)) {
        if (!subject.is_directory() || !subject.path().filename().string().starts_with("sub-")) continue;
        for (fs::recursive_directory_iterator file(subject.path()), end; file != end; ++file) {
            const std::string name = file->path().filename().string();
            if (name.starts_with(".") && file->is_directory()) file.disable_recursion_pending();  // of a job that is writing
            if (name.ends_with("_Chimap.nii.gz") && name.find("_echo-") == std::string::npos) maps.push_back(file->path());
        }
    }
    if (error) throw IoError(str("cannot read ", output_dir.string(), ": ", error.message()));
    results.status = runtime::read_status(output_dir);
    const std::set<std::string> not_done = scans_not_done(results.status);
    std::erase_if(maps, [&](const fs::path& map) {
        const std::string scan = scan_of(map);
        return not_done.contains(scan) || not_done.contains(key_with_suffix(scan));
    });
    std::sort(maps.begin(), maps.end());
    return results;
}

void draw_contact_sheet(const Results& results, const fs::path& png, double window_ppm, std::size_t most)
{
    const std::vector<fs::path>& maps = results.maps;
    const std::vector<io::SheetItem> without_map = scans_without_map(results.status, most);
    require(!maps.empty() || !without_map.empty(), "there are no maps (sub-*/*_Chimap.nii.gz) to draw");
    const std::size_t n = std::min(maps.size(), most);
    std::vector<io::Image> images;
    std::vector<io::SheetItem> items;
    images.reserve(n);  // items point into it
    for (std::size_t i = 0; i < n; ++i) {
        const fs::path& file = maps[i * maps.size() / n];
        const io::Image& image = images.emplace_back(io::read_image(file));
        Mask mask(image.data.grid());
        for (std::size_t v = 0; v < mask.size(); ++v) mask[v] = image.data[v] != 0.0F ? 1 : 0;
        const numerics::Box box = numerics::bounding_box(mask);
        const Dims centre{box.first.nx + box.dims.nx / 2, box.first.ny + box.dims.ny / 2, box.first.nz + box.dims.nz / 2};
        items.push_back({&image.data, &image.header.geometry, centre, scan_of(file)});
    }
    items.insert(items.end(), without_map.begin(), without_map.end());
    io::write_contact_sheet_png(png, items, {-window_ppm, window_ppm, "ppm"});
}

}  // namespace qsmpi::apps
