#include "volumes.hpp"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <random>

namespace qsmpi::test {

Grid grid_of(std::size_t nx, std::size_t ny, std::size_t nz, Vec3 voxel_mm) { return {{nx, ny, nz}, voxel_mm}; }

Vec3 position_mm(const Grid& grid, std::size_t x, std::size_t y, std::size_t z)
{
    const auto& d = grid.dims;
    const auto centred = [](std::size_t i, std::size_t n, double h) {
        return (static_cast<double>(i) - 0.5 * static_cast<double>(n - 1)) * h;
    };
    return {centred(x, d.nx, grid.voxel_mm[0]), centred(y, d.ny, grid.voxel_mm[1]),
            centred(z, d.nz, grid.voxel_mm[2])};
}

VolumeF from_function(const Grid& grid, const std::function<double(const Vec3&)>& value)
{
    VolumeF v(grid);
    for (std::size_t z = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x)
                v(x, y, z) = static_cast<float>(value(position_mm(grid, x, y, z)));
    return v;
}

Mask mask_from(const Grid& grid, const std::function<bool(const Vec3&)>& inside)
{
    Mask m(grid);
    for (std::size_t z = 0; z < grid.dims.nz; ++z)
        for (std::size_t y = 0; y < grid.dims.ny; ++y)
            for (std::size_t x = 0; x < grid.dims.nx; ++x)
                m(x, y, z) = inside(position_mm(grid, x, y, z)) ? 1 : 0;
    return m;
}

Mask ball_mask(const Grid& grid, double radius_mm, Vec3 c)
{
    return mask_from(grid, [&](const Vec3& p) {
        return std::hypot(p[0] - c[0], p[1] - c[1], p[2] - c[2]) <= radius_mm;
    });
}

Mask full_mask(const Grid& grid) { return Mask(grid, 1); }

double sphere_field(const Vec3& r, double radius_mm, double dchi_ppm, const UnitVector& b)
{
    const double distance = std::hypot(r[0], r[1], r[2]);
    if (distance <= radius_mm) return 0.0;
    const double cosine = (r[0] * b[0] + r[1] * b[1] + r[2] * b[2]) / distance;
    return dchi_ppm / 3.0 * std::pow(radius_mm / distance, 3) * (3.0 * cosine * cosine - 1.0);
}

VolumeF sphere_chi(const Grid& grid, double radius_mm, double dchi_ppm, Vec3 c)
{
    return from_function(grid, [&](const Vec3& p) {
        int n = 0;
        for (int i = 0; i < 4; ++i)
            for (int j = 0; j < 4; ++j)
                for (int k = 0; k < 4; ++k) {
                    const double dx = p[0] - c[0] + ((i + 0.5) / 4 - 0.5) * grid.voxel_mm[0];
                    const double dy = p[1] - c[1] + ((j + 0.5) / 4 - 0.5) * grid.voxel_mm[1];
                    const double dz = p[2] - c[2] + ((k + 0.5) / 4 - 0.5) * grid.voxel_mm[2];
                    n += std::hypot(dx, dy, dz) <= radius_mm ? 1 : 0;
                }
        return dchi_ppm * n / 64.0;
    });
}

VolumeF noise(const Grid& grid, double standard_deviation, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, static_cast<float>(standard_deviation));
    VolumeF v(grid);
    for (float& x : v) x = normal(random);
    return v;
}

double relative_error_percent(const VolumeF& a, const VolumeF& b, const Mask& mask)
{
    double difference = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!mask[i]) continue;
        const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        difference += d * d;
        norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
    }
    return 100.0 * std::sqrt(difference / norm);
}

bool all_finite(const VolumeF& v)
{
    for (const float x : v)
        if (!std::isfinite(x)) return false;
    return true;
}

TemporaryFolder::TemporaryFolder()
{
    std::string name = (std::filesystem::temp_directory_path() / "qsmpi-test-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
    path_ = name;
}

TemporaryFolder::~TemporaryFolder()
{
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace qsmpi::test
