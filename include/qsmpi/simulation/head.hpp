#pragma once
#include <cstdint>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::simulation {

struct HeadOptions {
    Dims dims{128, 128, 128};
    Vec3 voxel_mm{1.6, 1.6, 1.6};
    std::vector<double> echo_times_s{0.004, 0.012, 0.020, 0.028};
    double b0_tesla = 7.0;
    double snr = 80.0;            ///< signal 1 over noise of the real part
    double tilt_deg = 0.0;        ///< slab and head turned about x
    bool offset = true;           ///< coil phase at TE 0
    bool bipolar = false;
    int oversampling = 2;         ///< the field is computed on a grid this much finer
    std::uint64_t seed = 1;
    int subject = 1;              ///< 1: the reference; others differ smoothly in shape, iron and veins
};

/// A simulated subject with its truth. Phase follows core/units.hpp; echoes are complex-averaged over voxels.
struct Head {
    std::vector<VolumeF> magnitude, phase_rad;
    VolumeF chi_ppm, total_field_ppm, local_field_ppm, r2star_per_s, t1w;
    Mask mask;
    VolumeF segmentation;         ///< labels as in evaluation::ScoreLabels
    UnitVector b0_direction_ijk{0, 0, 1};
};

/// Analytic head of ellipsoids: skull, air (sinus, ear canals), ventricles, nuclei, veins, a calcification.
[[nodiscard]] Head simulate_head(const HeadOptions& options);

}  // namespace qsmpi::simulation
