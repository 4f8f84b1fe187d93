#pragma once
#include <optional>
#include <span>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

/// Susceptibility is known up to a constant; this says which.
enum class Reference { none, mean };

/// Subtracts the mean over the mask, voxels of weight 0 excluded, from all voxels of the mask; 0 elsewhere.
/// With Reference::none only the voxels outside the mask are set to 0.
/// @param chi_ppm  susceptibility [ppm], changed in place
/// @param weight   null: all voxels of the mask count
/// @return what was subtracted [ppm]; 0 if no voxel counts
/// @throws InputError if the grids differ
///
/// Two passes, sums in double. algorithms.md 7.2.
double set_reference(VolumeF& chi_ppm, const Mask& mask, Reference reference, const VolumeF* weight = nullptr);

/// Subtracts the weighted mean over a region.
/// @param region  weights >= 0, not only 0 and 1; voxels outside the mask, of weight 0 or of none that is finite are not of it
/// @param weight  as above: voxels where it is 0 are not of the region
/// @return what was subtracted [ppm]; nothing if no voxel counts: then only the voxels outside the mask are set to 0
/// @throws InputError if the grids differ
std::optional<double> set_reference(VolumeF& chi_ppm, const Mask& mask, const VolumeF& region,
                                    const VolumeF* weight = nullptr);

/// 1 where an image of labels has one of these, 0 elsewhere.
[[nodiscard]] VolumeF region_of_labels(const VolumeF& labels, std::span<const int> wanted);

struct CsfOptions {
    double r2star_limit_per_s = 5.0;  ///< fluid decays slower, at any field strength of today
    double radius_mm = 30.0;          ///< around the centre of the mask: the ventricles, not the sulci
    int components = 3;               ///< the largest of them
    double erosion_mm = 1.0;          ///< peeled off, against partial volume, if anything is left then
    double least_mm3 = 100.0;         ///< a smaller region is noise
};

/// Cerebrospinal fluid of the ventricles: bright and with slow decay, near the centre of the mask.
/// @param r2star_per_s  R2* [1/s]
/// @param magnitude     any unit; voxels darker than half the median of the mask are no fluid (voids have no decay either)
/// @return the region, empty when nothing is found
/// @throws InputError if the grids differ
/// One component labelling and one distance transform. Liu et al., Magn. Reson. Med. 79:2795-2803, 2018 (MEDI+0).
[[nodiscard]] Mask csf_mask(const VolumeF& r2star_per_s, const VolumeF& magnitude, const Mask& mask,
                            const CsfOptions& options = {});

/// "none" | "mean"; throws InputError for another word.
[[nodiscard]] Reference reference_from(const char* name);

}  // namespace qsmpi::inversion
