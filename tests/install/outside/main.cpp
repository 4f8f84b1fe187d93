// A plane wave along B0 is an eigenfunction of the dipole convolution with eigenvalue -2/3.
#include <cmath>
#include <cstdio>

#include "qsmpi/inversion/tkd.hpp"

int main()
{
    const qsmpi::Grid grid{{32, 32, 32}, {1.0, 1.0, 1.0}};
    qsmpi::VolumeF field_ppm(grid);
    const qsmpi::Mask mask(grid, 1);
    for (std::size_t i = 0; i < field_ppm.size(); ++i) {
        const double z = static_cast<double>(i / (32 * 32));
        field_ppm[i] = static_cast<float>(-2.0 / 3.0 * std::cos(2.0 * 3.14159265358979 * 4.0 * z / 32.0));
    }
    const auto result = qsmpi::inversion::tkd(field_ppm, mask, {0.0, 0.0, 1.0}, {.correct_underestimation = false, .pad_voxels = 0, .pad_fraction = 0.0});
    std::printf("chi of a plane wave: %.2f\n", static_cast<double>(result.chi_ppm(16, 16, 16)));
    return 0;
}
