#pragma once
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::evaluation {

/// Metrics of algorithms.md 14.1; percentages are 0..100+; NaN where not defined (no labels given, constant truth).
struct Score {
    double coverage_percent = 0;         ///< share of the truth mask where the map is neither 0 nor NaN
    double nrmse_percent = 0;            ///< both demeaned over the mask
    double nrmse_detrended_percent = 0;  ///< after the best line map = slope truth + intercept is undone
    /// Detrended within the region, as the QSM-CI benchmark has it; blood is dilated by one voxel.
    double nrmse_tissue_percent = 0, nrmse_deep_grey_percent = 0, nrmse_blood_percent = 0;
    double xsim = 0;             ///< Milovic et al. 2024, windows of 5^3 voxels, both maps 0 outside the mask
    double xsim_demeaned = 0;    ///< the same after each map lost its mean over the mask, as for the NRMSE
    double hfen_percent = 0;     ///< Laplacian of Gaussian, sigma 1.5 voxels, both maps 0 outside the mask
    double deep_grey_slope = 0;  ///< regression of region means, map against truth
    double calcification_moment_ratio =
        0;  ///< 1 = exact; sums of the label dilated by 1, against a ring 3 wide
    double calcification_streak_ppb = 0;  ///< standard deviation of the error 2 to 6 voxels around its box
};

/// Labels of the segmentation that the score uses; defaults are those of simulate-head and `qsmpi phantom`.
struct ScoreLabels {
    std::vector<int> tissue{2, 3}, deep_grey{4, 5, 6, 7, 8, 9, 10}, blood{11};
    int calcification = 12;
};

/// Compares over the mask; the map counts with whatever it holds there (0 where it was not reconstructed; values
/// that are not finite count as 0).
/// @param segmentation  labels on the same grid, or null
/// @throws InputError if the grids differ, the mask is empty or the truth is not finite inside it
///
/// About 4 volumes of scratch. The same bits for any number of threads.
/// Milovic et al. 2024, doi 10.1002/mrm.30271 (XSIM); QSM challenge 2.0, 2021, doi 10.1002/mrm.28754.
[[nodiscard]] Score score(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask,
                          const VolumeF* segmentation = nullptr, const ScoreLabels& labels = {});

void to_json(nlohmann::json& j, const Score& s);

}  // namespace qsmpi::evaluation
