#include <cmath>
#include <iostream>
#include <optional>

#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/evaluation/score.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::apps {
namespace {

std::size_t count_not_finite(const VolumeF& volume, const Mask& mask)
{
    std::size_t n = 0;
    for (std::size_t i = 0; i < mask.size(); ++i) n += mask[i] != 0 && !std::isfinite(volume[i]) ? 1 : 0;
    return n;
}

void check_truth(const VolumeF& truth, const std::string& file, const Mask& mask, const std::string& mask_file)
{
    require(numerics::count(mask) > 0, mask_file.empty() ? str(file, ": all voxels are zero; it is no truth")
                                                         : str(mask_file, ": all voxels are zero; mark the voxels to compare"));
    const std::size_t n = count_not_finite(truth, mask);
    require(n == 0, str(file, ": ", n, " voxels to compare are NaN or infinite; leave them out by --mask"));
}

/// What is not finite becomes 0, which counts as missing.
void take_as_missing(VolumeF& map, const std::string& file, const Mask& mask)
{
    const std::size_t n = count_not_finite(map, mask);
    if (n > 0)
        log::warn(str(file, ": ", n, " of ", numerics::count(mask),
                      " voxels to compare are NaN or infinite; they count as missing"));
    for (float& value : map) {
        if (!std::isfinite(value)) value = 0.0F;
    }
}

}  // namespace

int cmd_score(const Arguments& arguments)
{
    std::string truth_file, map_file, mask_file, labels_file, json_file;
    CommandLine line("score", "compare a susceptibility map with the truth", "TRUTH MAP [options]",
                     "qsmpi score truth_Chimap.nii.gz sub-01_Chimap.nii.gz --mask truth_mask.nii.gz --json score.json");
    line.positional("TRUTH", truth_file, "true susceptibility, NIfTI, ppm");
    line.positional("MAP", map_file, "reconstructed susceptibility on the same grid, NIfTI, ppm; 0 counts as missing");
    line.option("mask", "FILE", mask_file, "voxels to compare; default: where the truth is not 0");
    line.option("dseg", "FILE", labels_file, "labels of 'qsmpi phantom', for regions and the calcification");
    line.option("json", "FILE", json_file, "write the score here too");
    line.closing("The score goes to standard output as JSON: NRMSE (both demeaned), detrended, in tissue, deep grey and\n"
                 "blood, XSIM, HFEN, slope over deep grey regions, moment and streaks of the calcification.");
    if (!line.parse(arguments)) return exit_done;

    const io::Image truth = io::read_image(truth_file);
    VolumeF map = io::read_image_on(map_file, truth.header.geometry, "the truth");
    Mask mask;
    if (mask_file.empty()) {
        mask = Mask(truth.data.grid());
        for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = truth.data[i] != 0.0F ? 1 : 0;
    } else {
        mask = io::read_mask_on(mask_file, truth.header.geometry, "the truth");
    }
    check_truth(truth.data, truth_file, mask, mask_file);
    take_as_missing(map, map_file, mask);
    std::optional<VolumeF> labels;
    if (!labels_file.empty()) labels = io::read_image_on(labels_file, truth.header.geometry, "the truth");
    const nlohmann::json score = evaluation::score(truth.data, map, mask, labels ? &*labels : nullptr);
    std::cout << score.dump(1) << '\n';
    if (!json_file.empty()) io::write_file_atomic(json_file, score.dump(1) + "\n");
    return exit_done;
}

}  // namespace qsmpi::apps
