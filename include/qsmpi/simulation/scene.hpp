#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::simulation {

/// What fills a point of a scene; the values are the labels of segmentations.
enum class Tissue : std::uint8_t {
    background, csf, grey_matter, white_matter, caudate, putamen, pallidum, thalamus, red_nucleus,
    substantia_nigra, dentate, blood, calcification, bleed, air, bone, muscle
};
inline constexpr std::size_t n_tissues = 17;

/// Bit of a tissue in the set of those that a shape may replace.
[[nodiscard]] constexpr std::uint32_t bit(Tissue t) { return std::uint32_t{1} << static_cast<unsigned>(t); }

/// A solid ellipsoid in millimetres.
struct Ellipsoid {
    Vec3 centre_mm{};
    Vec3 half_axes_mm{1, 1, 1};
    std::array<Vec3, 3> axes{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}};  ///< directions of the half axes, orthonormal
    Tissue tissue = Tissue::background;
    std::uint32_t over = ~std::uint32_t{0};  ///< set of tissues that it replaces
    bool brain = false;                      ///< marks what it fills as brain; later shapes keep the mark
};

/// One painted point: tissue in the low bits, brain_mark on top.
using Code = std::uint8_t;
inline constexpr Code brain_mark = 0x80;
[[nodiscard]] constexpr std::size_t tissue_of(Code c) { return c & 0x1FU; }
[[nodiscard]] constexpr bool is_brain(Code c) { return (c & brain_mark) != 0; }

/// Shapes painted over each other in the order in which they came.
class Scene {
public:
    /// @throws InputError for half axes that are not positive
    void add(const Ellipsoid& e);
    /// A tube through `path_mm` as a chain of balls, closer together than half their radius if the path is.
    void add_tube(const std::vector<Vec3>& path_mm, double radius_mm, Tissue tissue, std::uint32_t over);

    /// Everything not background lies within: half extents about the origin [mm].
    [[nodiscard]] Vec3 half_extent_mm() const;

private:
    friend class Painter;
    struct Shape {
        Vec3 centre, extent;
        std::array<Vec3, 3> to_unit;  ///< rows; to_unit (p - centre) has length <= 1 inside
        std::uint32_t over;
        Code tissue;
        bool brain;
    };
    std::vector<Shape> shapes_;
};

/// Equally spaced points, the first at `first_mm`.
struct Lattice {
    Dims dims;
    Vec3 spacing_mm{1, 1, 1};
    Vec3 first_mm{};
    [[nodiscard]] double at_mm(int axis, std::size_t i) const
    {
        const auto a = static_cast<std::size_t>(axis);
        return first_mm[a] + static_cast<double>(i) * spacing_mm[a];
    }
    /// The same cells, each cut into n^3.
    [[nodiscard]] Lattice refined(std::size_t n) const;
};

/// Evaluates a scene along rows of a lattice: an ellipsoid is an interval of a row. Thread-safe.
class Painter {
public:
    Painter(const Scene& scene, const Lattice& lattice);
    /// Codes of the points (0.., y, z).
    void row(std::size_t y, std::size_t z, Code* codes) const;
    [[nodiscard]] const Lattice& lattice() const { return lattice_; }

private:
    const Scene& scene_;
    Lattice lattice_;
    std::vector<std::vector<std::uint32_t>> active_;  ///< shapes that each slice meets
};

/// Gives the susceptibility [ppm] of row (y, z) of a lattice, relative to the surrounding world.
using ChiSource = std::function<void(std::size_t y, std::size_t z, float* row)>;
using FieldSink = std::function<void(std::size_t y, std::size_t z, const float* row)>;

/// Relative field [ppm], Lorentz corrected, mean over each cell, of a susceptibility in a world of 0: dipole convolution on a grid padded
/// by `padding` in every axis (periodic beyond, mean 0). Rows come and go in parallel, all in before any out.
/// One FFT pair; memory: the padded half spectrum, 4 bytes a cell.
void dipole_field(const Lattice& lattice, const UnitVector& b0_direction_ijk, double padding,
                  const ChiSource& source, const FieldSink& sink);

/// Mean of a table of values by code over sub^3 points in each cell of `lattice`, row by row.
class CellMean {
public:
    CellMean(const Scene& scene, const Lattice& lattice, std::size_t sub);
    void row(std::size_t y, std::size_t z, const std::array<float, 256>& value_of, float* means) const;

private:
    std::size_t sub_;
    Painter painter_;
};

}  // namespace qsmpi::simulation
