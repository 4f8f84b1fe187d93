#pragma once
#include <array>
#include <cstdint>

#include "qsmpi/simulation/scene.hpp"

namespace qsmpi::simulation {

/// Susceptibility of air, relative to water [ppm].
inline constexpr double air_chi_ppm = 9.2;

/// What a tissue contributes to image and field.
struct TissueValues {
    double chi_ppm;          ///< relative to water
    double r2star_7t_per_s;  ///< at 7 T; grows in proportion to B0
    double signal;           ///< of a gradient echo at TE 0
    double t1w;              ///< signal of a T1-weighted image
};

/// One subject's head: shapes, and the values of its tissues (iron differs).
struct Anatomy {
    Scene scene;
    std::array<TissueValues, n_tissues> values;
};

[[nodiscard]] Anatomy build_anatomy(int subject, std::uint64_t seed);

/// Smooth variation within tissues, about -1 to 1, as a sum of standing waves of 12 to 60 mm.
class Texture {
public:
    Texture(const Lattice& lattice, std::uint64_t stream);
    void row(std::size_t y, std::size_t z, float* values) const;

private:
    static constexpr std::size_t n_waves = 8;
    Dims dims_;
    std::array<std::vector<float>, 3> waves_;  ///< of each axis: n_waves values a point
};

}  // namespace qsmpi::simulation
