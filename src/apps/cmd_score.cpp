#include <iostream>
#include <optional>

#include <nlohmann/json.hpp>

#include "cli.hpp"
#include "commands.hpp"
#include "qsmpi/evaluation/score.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::apps {

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

    const io::Image truth = io::read_image(truth_file), map = io::read_image(map_file);
    Mask mask;
    if (mask_file.empty()) {
        mask = Mask(truth.data.grid());
        for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = truth.data[i] != 0.0F ? 1 : 0;
    } else {
        mask = io::read_mask(mask_file);
    }
    std::optional<VolumeF> labels;
    if (!labels_file.empty()) labels = io::read_image(labels_file).data;
    const nlohmann::json score = evaluation::score(truth.data, map.data, mask, labels ? &*labels : nullptr);
    std::cout << score.dump(1) << '\n';
    if (!json_file.empty()) io::write_file_atomic(json_file, score.dump(1) + "\n");
    return exit_done;
}

}  // namespace qsmpi::apps
