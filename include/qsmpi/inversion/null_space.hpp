#pragma once
#include "qsmpi/core/volume.hpp"

namespace qsmpi::inversion {

/// Settings of settle_null_space().
struct NullSpaceOptions {
    int order = 6;                  ///< highest order of the polynomials, 1 to 8
    double smoothing_mm = 1.0;      ///< of R2*, standard deviation of a Gaussian
    int n_classes = 30;             ///< of voxels of like R2*, equally large
    int n_samples = 30'000;         ///< voxels that are looked at, at most
    double known_least = 0.8;       ///< share of the mask's voxels that must be known: polynomials may not reach far beyond
    int n_iterations = 15;          ///< of reweighted least squares
    double narrowness = 0.5;        ///< a voxel has half the weight at so many standard deviations from its class
    double mode_ppm = 0.006;        ///< without R2*: width of a mode of the map's histogram, standard deviation
    double explained_least = 0.4;   ///< share of the map's spread that the classes must explain before anything changes,
    double explained_enough = 0.6;  ///< and for all of the correction
    double explained_well = 0.7;    ///< R2* that explains so much is trusted, whatever the modes say
};

/// What settle_null_space() found.
struct NullSpaceReport {
    double explained = 0.0;  ///< share of the map's spread (squared, robust) that the classes explain afterwards, in [0, 1]
    double share = 0.0;      ///< of the correction that was made, in [0, 1]
    double rms_ppm = 0.0;    ///< of what was subtracted, about its mean
};

/// As settle_null_space() of R2*, for maps without it: polynomials are chosen that make the modes of the map's histogram
/// sharpest, be they three tissues or ten. Each voxel counts with the mode on whose slope it lies, within three widths of it;
/// valleys deeper than chance makes them tell modes apart. A map with one broad mode keeps all that it has, since a mode explains
/// nothing of it.
///
/// 3 F and 12 MB. Same bits for any number of threads.
NullSpaceReport settle_null_space_by_modes(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                           const NullSpaceOptions& options = {});

/// Settles the part of a susceptibility map that its field cannot tell, by R2*.
///
/// Susceptibility that solves the wave equation (1/3 laplace - d^2/dz^2) chi = 0, z along B0, makes a harmonic field inside the
/// mask, as background does. From a total field its smooth part, polynomials of position, comes out as whatever regularisation
/// likes best: the largest error deep in the brain. But one tissue has one susceptibility, be it in front or at the back. So
/// those polynomials are subtracted that make voxels of like R2* most alike: within each class by itself, so that classes may
/// have any susceptibility, and robustly, so that lesions, vessels and mixed voxels do not count. Nothing else of the map changes.
/// Where classes of R2* do not explain the map (noise, tissues that R2* does not tell apart), nothing does.
/// A region some centimetres wide whose susceptibility alone differs, by 10 to 20 ppb, looks like those polynomials and loses
/// most of that: a limit of both functions.
///
/// @param chi_ppm           changed in the mask
/// @param b0_direction_ijk  unit vector of B0 in voxel axes
/// @param r2star_per_s      same grid; voxels that are not finite or not above 0 are unknown
/// @return 0 and 0, and the map as it was, where too few voxels are known
/// @throws InputError if the grids differ or an option is out of its range
///
/// No FFT: about 5 F, and 3 volumes and 12 MB. Same bits for any number of threads.
/// The wave equation: Kee et al., IEEE Trans. Biomed. Eng. 64:2531-2545, 2017. A smooth bias found by the sharpness of classes:
/// Sled et al., IEEE Trans. Med. Imaging 17:87-97, 1998.
NullSpaceReport settle_null_space(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk, const VolumeF& r2star_per_s,
                                  const NullSpaceOptions& options = {});

/// What settle_null_space_by_best() did.
struct BestNullSpaceReport {
    NullSpaceReport report;
    bool by_modes = false;  ///< by the modes of the map, else by R2*
};

/// By R2* if it explains the map well, else by what explains more: what a noisy R2* mixes up looks like the null space.
///
/// @param r2star_per_s  as settle_null_space(); null: not known
/// @throws InputError as settle_null_space()
///
/// The costs of both where R2* explains little, but for the map, of which no copy is made. Same bits for any number of threads.
BestNullSpaceReport settle_null_space_by_best(VolumeF& chi_ppm, const Mask& mask, const UnitVector& b0_direction_ijk,
                                              const VolumeF* r2star_per_s, const NullSpaceOptions& options = {});

}  // namespace qsmpi::inversion
