#pragma once
#include "qsmpi/background/background.hpp"

namespace qsmpi::background {

/// Settings of remove_weak_harmonics().
struct WeakHarmonicsOptions {
    int order = 4;  ///< highest order of the solid harmonics, 0 to 8: (order + 1)^2 of them
};

/// Clean-up: takes the smooth harmonic field that a background method left, or made up, out of its local field.
/// Fields of sources outside are harmonic inside, so the solid harmonics up to an order are fitted by weighted least
/// squares in the valid mask and subtracted. Sources inside have such a part too, which is lost: this pays after
/// methods that fix the local field to 0 in a thin rim (LBV, iSMV) or compare it with means over small balls (V-SHARP),
/// not after RESHARP, which leaves less than it takes.
///
/// @param local  changed in place; a weight, if there is one, says how far each voxel counts; not finite: not at all
/// @throws InputError if the grids differ or the order is outside [0, 8]
///
/// Two sweeps over the valid mask, no FFT; 0.25 volumes. Same bits for any number of threads.
/// Residual harmonic fields: Milovic et al., Magn. Reson. Med. 81:1399-1411, 2019; polynomials: Zhou et al., NMR
/// Biomed. 27:312-319, 2014.
void remove_weak_harmonics(LocalField& local, const WeakHarmonicsOptions& options = {});

}  // namespace qsmpi::background
