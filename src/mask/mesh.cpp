#include "mesh.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <unordered_map>
#include <utility>

namespace qsmpi::mask::detail {
namespace {

Mesh icosahedron()
{
    const double g = 0.5 * (1.0 + std::sqrt(5.0));
    Mesh m;
    m.vertices_mm = {{-1, g, 0}, {1, g, 0}, {-1, -g, 0}, {1, -g, 0}, {0, -1, g}, {0, 1, g},
                     {0, -1, -g}, {0, 1, -g}, {g, 0, -1}, {g, 0, 1}, {-g, 0, -1}, {-g, 0, 1}};
    m.triangles = {{0, 11, 5}, {0, 5, 1}, {0, 1, 7}, {0, 7, 10}, {0, 10, 11}, {1, 5, 9}, {5, 11, 4}, {11, 10, 2}, {10, 7, 6}, {7, 1, 8},
                   {3, 9, 4}, {3, 4, 2}, {3, 2, 6}, {3, 6, 8}, {3, 8, 9}, {4, 9, 5}, {2, 4, 11}, {6, 2, 10}, {8, 6, 7}, {9, 8, 1}};
    return m;
}

void subdivide(Mesh& m)
{
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::uint32_t> middles;
    const auto middle = [&](std::uint32_t a, std::uint32_t b) {
        const auto [entry, fresh] = middles.try_emplace(std::minmax(a, b), static_cast<std::uint32_t>(m.vertices_mm.size()));
        if (fresh) m.vertices_mm.push_back(0.5 * (m.vertices_mm[a] + m.vertices_mm[b]));
        return entry->second;
    };
    std::vector<Triangle> finer;
    for (const auto& [a, b, c] : m.triangles) {
        const std::uint32_t ab = middle(a, b), bc = middle(b, c), ca = middle(c, a);
        finer.insert(finer.end(), {{a, ab, ca}, {b, bc, ab}, {c, ca, bc}, {ab, bc, ca}});
    }
    m.triangles = std::move(finer);
}

// Around every vertex, each triangle says which neighbour follows which.
std::vector<Ring> rings_of(const Mesh& m)
{
    std::vector<std::vector<std::pair<std::uint32_t, std::uint32_t>>> next(m.vertices_mm.size());
    for (const Triangle& t : m.triangles)
        for (std::size_t k = 0; k < 3; ++k) next[t[k]].emplace_back(t[(k + 1) % 3], t[(k + 2) % 3]);
    std::vector<Ring> rings(next.size());
    for (std::size_t v = 0; v < next.size(); ++v) {
        std::uint32_t now = next[v].front().first;
        for (std::size_t k = 0; k < next[v].size(); ++k) {
            rings[v].vertex[rings[v].size++] = now;
            now = std::find_if(next[v].begin(), next[v].end(), [&](const auto& p) { return p.first == now; })->second;
        }
    }
    return rings;
}

/// Whether the segment from p to q pierces the triangle; touching at the rim counts, lying in its plane does not.
bool pierces(const Vec3& p, const Vec3& q, const Vec3& a, const Vec3& b, const Vec3& c)
{
    const Vec3 normal = cross(b - a, c - a), d = q - p;
    const double along = dot(normal, d);
    if (along == 0.0) return false;
    const double t = dot(normal, a - p) / along;
    if (t < 0.0 || t > 1.0) return false;
    const Vec3 hit = p + t * d;
    return dot(cross(b - a, hit - a), normal) >= 0.0 && dot(cross(c - b, hit - b), normal) >= 0.0 &&
           dot(cross(a - c, hit - c), normal) >= 0.0;
}

// Triangles by the cells of a coarse lattice that their boxes touch.
class Lattice {
public:
    Lattice(const Mesh& mesh, double cell_mm) : cell_mm_(cell_mm)
    {
        for (std::uint32_t i = 0; i < mesh.triangles.size(); ++i) {
            const auto& [a, b, c] = mesh.triangles[i];
            for_each_cell({mesh.vertices_mm[a], mesh.vertices_mm[b], mesh.vertices_mm[c]},
                          [&](std::uint64_t key) { cells_[key].push_back(i); });
        }
    }
    template <typename Visit>
    void near(const Vec3& p, const Vec3& q, Visit&& visit) const
    {
        for_each_cell({p, q}, [&](std::uint64_t key) {
            const auto found = cells_.find(key);
            if (found == cells_.end()) return;
            for (const std::uint32_t triangle : found->second) visit(triangle);
        });
    }

private:
    template <typename Visit>
    void for_each_cell(std::initializer_list<Vec3> points, Visit&& visit) const
    {
        std::array<std::int64_t, 3> low{}, high{};
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const auto [least, most] = std::minmax_element(points.begin(), points.end(),
                                                           [&](const Vec3& a, const Vec3& b) { return a[axis] < b[axis]; });
            low[axis] = static_cast<std::int64_t>(std::floor((*least)[axis] / cell_mm_));
            high[axis] = static_cast<std::int64_t>(std::floor((*most)[axis] / cell_mm_));
        }
        for (std::int64_t z = low[2]; z <= high[2]; ++z)
            for (std::int64_t y = low[1]; y <= high[1]; ++y)
                for (std::int64_t x = low[0]; x <= high[0]; ++x) {
                    constexpr std::int64_t offset = 1 << 20, mask = (1 << 21) - 1;
                    const auto part = [&](std::int64_t i) { return static_cast<std::uint64_t>((i + offset) & mask); };
                    visit(part(x) | part(y) << 21 | part(z) << 42);
                }
    }
    double cell_mm_;
    std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> cells_;
};

}  // namespace

double Mesh::mean_edge_mm() const
{
    double sum = 0.0;
    std::size_t n = 0;
    for (std::size_t v = 0; v < rings.size(); ++v)
        for (std::uint32_t k = 0; k < rings[v].size; ++k, ++n) {
            const Vec3 d = vertices_mm[rings[v].vertex[k]] - vertices_mm[v];
            sum += std::sqrt(dot(d, d));
        }
    return sum / static_cast<double>(n);
}

Mesh icosphere(int subdivisions, const Vec3& centre_mm, double radius_mm)
{
    Mesh m = icosahedron();
    for (int i = 0; i < subdivisions; ++i) subdivide(m);
    for (Vec3& v : m.vertices_mm) v = centre_mm + (radius_mm / std::sqrt(dot(v, v))) * v;
    m.rings = rings_of(m);
    return m;
}

bool cuts_itself(const Mesh& mesh)
{
    const Lattice lattice(mesh, std::max(mesh.mean_edge_mm(), 1e-3));
    const auto& v = mesh.vertices_mm;
    for (std::uint32_t p = 0; p < mesh.rings.size(); ++p)
        for (std::uint32_t k = 0; k < mesh.rings[p].size; ++k) {
            const std::uint32_t q = mesh.rings[p].vertex[k];
            if (q < p) continue;
            bool cut = false;
            lattice.near(v[p], v[q], [&](std::uint32_t triangle) {
                const auto& [a, b, c] = mesh.triangles[triangle];
                const bool shares = a == p || b == p || c == p || a == q || b == q || c == q;
                cut = cut || (!shares && pierces(v[p], v[q], v[a], v[b], v[c]));
            });
            if (cut) return true;
        }
    return false;
}

Mask voxels_inside(const Mesh& mesh, const Grid& grid)
{
    // Along every row of voxels the winding number changes where the surface is crossed: +1 or -1 by its orientation.
    const Dims& d = grid.dims;
    Volume<std::int16_t> change(grid, 0);
    std::vector<Vec3> at(mesh.vertices_mm);  // in voxels
    for (Vec3& p : at)
        for (std::size_t axis = 0; axis < 3; ++axis) p[axis] /= grid.voxel_mm[axis];

    for (const Triangle& t : mesh.triangles) {
        const auto range = [&](std::size_t axis, std::size_t n) {
            const auto [low, high] = std::minmax({at[t[0]][axis], at[t[1]][axis], at[t[2]][axis]});
            const double last = static_cast<double>(n) - 1.0;
            return std::pair{static_cast<std::size_t>(std::ceil(std::clamp(low, 0.0, last + 1.0))),
                             high < 0.0 ? std::size_t{0} : static_cast<std::size_t>(std::floor(std::min(high, last))) + 1};  // generous: the sides decide
        };
        const auto [y_begin, y_end] = range(1, d.ny);
        const auto [z_begin, z_end] = range(2, d.nz);
        for (std::size_t z = z_begin; z < z_end; ++z)
            for (std::size_t y = y_begin; y < y_end; ++y) {
                // Aside by less than matters: symmetric surfaces have vertices and edges exactly on rows of voxels.
                const double py = static_cast<double>(y) + 3.1e-6, pz = static_cast<double>(z) + 7.7e-6;
                std::array<double, 3> weight{};
                int left = 0;
                for (std::size_t k = 0; k < 3; ++k) {
                    // The edge opposite of corner k, always taken from its lower to its higher vertex: both triangles at
                    // an edge then agree to the last bit on which side of it the row lies.
                    std::uint32_t i = t[(k + 1) % 3], j = t[(k + 2) % 3];
                    const bool turned = i > j;
                    if (turned) std::swap(i, j);
                    const double side = (at[j][1] - at[i][1]) * (pz - at[i][2]) - (at[j][2] - at[i][2]) * (py - at[i][1]);
                    weight[k] = turned ? -side : side;
                    left += (side >= 0.0) != turned ? 1 : 0;
                }
                if (left != 0 && left != 3) continue;
                const double sum = weight[0] + weight[1] + weight[2];
                double x = at[t[0]][0];
                if (sum != 0.0) x = (weight[0] * at[t[0]][0] + weight[1] * at[t[1]][0] + weight[2] * at[t[2]][0]) / sum;
                const double first = std::max(0.0, std::ceil(x));
                if (first >= static_cast<double>(d.nx)) continue;
                auto& c = change(static_cast<std::size_t>(first), y, z);
                c = static_cast<std::int16_t>(c + (left == 3 ? 1 : -1));
            }
    }
    Mask inside(grid);
    for (std::size_t row = 0; row < d.ny * d.nz; ++row) {
        int winding = 0;
        for (std::size_t i = row * d.nx; i < (row + 1) * d.nx; ++i) {
            winding += change[i];
            inside[i] = winding != 0;
        }
    }
    return inside;
}

}  // namespace qsmpi::mask::detail
