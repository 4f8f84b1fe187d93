#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/simulation/scene.hpp"

namespace qsmpi::simulation {

struct HeadOptions {
    Dims dims{128, 128, 128};
    Vec3 voxel_mm{1.6, 1.6, 1.6};
    std::vector<double> echo_times_s{0.004, 0.012, 0.020, 0.028};
    double b0_tesla = 7.0;
    double snr = 80.0;            ///< signal 1 over noise of the real part; tissue is about 0.8
    double tilt_deg = 0.0;        ///< slab and head turned about x
    bool offset = true;           ///< coil phase at TE 0
    bool bipolar = false;         ///< odd and even echoes differ by a constant and a ramp along x
    bool shim = true;             ///< the plane that flattens the field in the brain is taken off, imperfectly
    int oversampling = 2;         ///< the field is computed on a grid this much finer
    std::uint64_t seed = 1;
    int subject = 1;              ///< 1: the reference; others differ smoothly in shape, iron and veins
};

/// A simulated subject with its truth. Phase follows core/units.hpp; echoes are complex-averaged over voxels.
struct Head {
    std::vector<VolumeF> magnitude, phase_rad;
    VolumeF chi_ppm;              ///< 0 outside the mask
    VolumeF total_field_ppm;      ///< what the phase evolves with: background, shim and all
    VolumeF local_field_ppm;      ///< of the susceptibility inside the mask alone; 0 outside the mask
    VolumeF r2star_per_s, t1w;
    Mask mask;
    VolumeF segmentation;         ///< labels as in evaluation::ScoreLabels
    UnitVector b0_direction_ijk{0, 0, 1};
    std::array<double, n_tissues> chi_of_tissue_ppm{};  ///< before texture
};

/// Analytic head of ellipsoids: skull, air (sinus, ear canals), ventricles, nuclei, veins, a calcification.
///
/// The head is centred in the field of view, 152 x 191 x 178 mm for subject 1; what lies beyond the field of view
/// still makes field. Points are sampled twice more finely than the grid of the field, so that surfaces are smooth.
/// The same bits for any number of threads. Memory: about 5 floats a fine cell (oversampling^3 a voxel).
/// @throws InputError for options out of range, or a fine grid of more than 4e8 cells
[[nodiscard]] Head simulate_head(const HeadOptions& options);

/// Names of the tissues, by label: "background", "csf", ...
[[nodiscard]] const std::array<const char*, n_tissues>& tissue_names();

}  // namespace qsmpi::simulation
