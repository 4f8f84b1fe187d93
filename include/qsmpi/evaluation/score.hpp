#pragma once
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::evaluation {

/// Metrics of algorithms.md 14.1; percentages are 0..100+; NaN where not defined (no labels given).
struct Score {
    double coverage_percent = 0;     ///< share of the truth mask where the map is not 0
    double nrmse_percent = 0;        ///< both demeaned over the mask
    double nrmse_detrended_percent = 0;
    double nrmse_tissue_percent = 0, nrmse_deep_grey_percent = 0, nrmse_blood_percent = 0;
    double xsim = 0;
    double hfen_percent = 0;
    double deep_grey_slope = 0;      ///< regression of region means, map against truth
    double calcification_moment_ratio = 0;  ///< 1 = exact
    double calcification_streak_ppb = 0;
};

/// Labels of the segmentation that the score uses; defaults are those of simulate-head and `qsmpi phantom`.
struct ScoreLabels {
    std::vector<int> tissue{2, 3}, deep_grey{4, 5, 6, 7, 8, 9, 10}, blood{11};
    int calcification = 12;
};

/// Compares over the mask; the map counts with whatever it holds there (0 where it was not reconstructed).
/// @param segmentation  labels on the same grid, or null
[[nodiscard]] Score score(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask,
                          const VolumeF* segmentation = nullptr, const ScoreLabels& labels = {});

void to_json(nlohmann::json& j, const Score& s);

}  // namespace qsmpi::evaluation
