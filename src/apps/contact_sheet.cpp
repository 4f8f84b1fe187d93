#include "contact_sheet.hpp"

#include <algorithm>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/io/png.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "qsmpi/runtime/status.hpp"

namespace qsmpi::apps {

namespace fs = std::filesystem;

namespace {

/// Scans that were refused or failed, with the reason in the place of a map.
std::vector<io::SheetItem> scans_without_map(const fs::path& output_dir, std::size_t most)
{
    std::vector<io::SheetItem> items;
    std::size_t n = 0;
    for (const runtime::JobStatus& job : runtime::read_status(output_dir).jobs) {
        if (job.state != "refused" && job.state != "failed") continue;
        if (++n <= most) items.push_back({.title = str(job.key, ": ", job.state), .note = job.message});
    }
    if (n > most) items.push_back({.title = str("and ", n - most, " more"), .note = "see jobs.csv"});
    return items;
}

}  // namespace

std::vector<fs::path> find_maps(const fs::path& output_dir)
{
    std::vector<fs::path> maps;
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
    std::sort(maps.begin(), maps.end());
    return maps;
}

void draw_contact_sheet(const fs::path& output_dir, const fs::path& png, double window_ppm, std::size_t most)
{
    const std::vector<fs::path> maps = find_maps(output_dir);
    const std::vector<io::SheetItem> without_map = scans_without_map(output_dir, most);
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
        std::string title = file.filename().string();
        title.erase(title.rfind("_Chimap"));
        items.push_back({&image.data, &image.header.geometry, centre, title});
    }
    items.insert(items.end(), without_map.begin(), without_map.end());
    io::write_contact_sheet_png(png, items, {-window_ppm, window_ppm, "ppm"});
}

}  // namespace qsmpi::apps
