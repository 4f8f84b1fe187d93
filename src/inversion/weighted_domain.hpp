#pragma once
#include "domain.hpp"
#include "qsmpi/inversion/registry.hpp"

namespace qsmpi::inversion::detail {

/// A Domain with the trust in each voxel's field: 0 outside the mask and where the field is not finite.
struct WeightedDomain : Domain {
    VolumeF weight;  ///< of the box
};

/// @param weight  null: 1 in the mask
/// @throws InputError if the grids differ, the padding is negative, or a weight in the mask is negative or not finite
[[nodiscard]] WeightedDomain make_weighted_domain(const VolumeF& field_ppm, const Mask& mask, const VolumeF* weight,
                                                  int pad_voxels, double pad_fraction, const char* who);

/// Noise [ppm] of a voxel of weight 1: median of weight times sigma over the mask, voxels of unknown field excluded;
/// 0 if sigma is not known. @throws InputError if the grids differ
[[nodiscard]] double noise_ppm(const Problem& problem);
/// The same for methods that trust all voxels alike, whatever their weight: median of sigma.
[[nodiscard]] double unweighted_noise_ppm(const Problem& problem);

/// What a lambda against squared misfits is multiplied by where it was tuned for weights of 2 ppb / standard deviation, as
/// separation gives them (decision 4): the square of noise_ppm() over 2 ppb, at least 1. Weights of mean 1 do not tell how much
/// noise there is; those of separation do, and give 1.
[[nodiscard]] double noise_factor(const Problem& problem);

}  // namespace qsmpi::inversion::detail
