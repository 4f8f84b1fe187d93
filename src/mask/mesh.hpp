#pragma once
#include <array>
#include <cstdint>
#include <vector>

#include "qsmpi/core/vector.hpp"

/// Closed surfaces of triangles in mm; the centre of voxel (i, j, k) lies at (i hx, j hy, k hz).
namespace qsmpi::mask::detail {

using namespace vector;

using Triangle = std::array<std::uint32_t, 3>;

/// Vertices around one vertex, counter-clockwise seen from outside.
struct Ring {
    std::array<std::uint32_t, 6> vertex{};
    std::uint32_t size = 0;
};

struct Mesh {
    std::vector<Vec3> vertices_mm;
    std::vector<Triangle> triangles;  ///< counter-clockwise seen from outside
    std::vector<Ring> rings;
    [[nodiscard]] double mean_edge_mm() const;
};

/// An icosahedron whose faces are parted in four `subdivisions` times: 10 * 4^n + 2 vertices on a sphere.
[[nodiscard]] Mesh icosphere(int subdivisions, const Vec3& centre_mm, double radius_mm);

/// True if an edge pierces a triangle that it does not belong to. About linear in the number of triangles.
[[nodiscard]] bool cuts_itself(const Mesh& mesh);

/// Voxels whose centre the surface winds round, in either sense; watertight by construction.
[[nodiscard]] Mask voxels_inside(const Mesh& mesh, const Grid& grid);

}  // namespace qsmpi::mask::detail
