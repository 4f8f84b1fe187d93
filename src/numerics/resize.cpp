#include "qsmpi/numerics/resize.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/fft.hpp"

namespace qsmpi::numerics {
namespace {

void require_inside(const Box& box, const Dims& whole, const char* who)
{
    for (int a = 0; a < 3; ++a)
        require(box.first[a] + box.dims[a] <= whole[a], str(who, ": box ", box.first[a], "+", box.dims[a],
                                                            " leaves axis ", a, " of ", whole[a], " voxels"));
}

template <typename T>
Volume<T> crop_volume(const Volume<T>& volume, const Box& box)
{
    require_inside(box, volume.dims(), "crop");
    Volume<T> part(Grid{box.dims, volume.grid().voxel_mm});
    parallel::for_each(box.dims.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < box.dims.ny; ++y)
            std::copy_n(&volume(box.first.nx, box.first.ny + y, box.first.nz + z), box.dims.nx,
                        &part(0, y, z));
    });
    return part;
}

template <typename T>
Volume<T> uncrop_volume(const Volume<T>& part, const Box& box, const Grid& whole)
{
    require_inside(box, whole.dims, "uncrop");
    require(part.dims() == box.dims, "uncrop: the part has not the shape of its box");
    Volume<T> volume(whole);
    parallel::for_each(whole.dims.nz, [&](std::size_t z) {
        T* slice = volume.data() + whole.dims.index(0, 0, z);
        std::fill_n(slice, whole.dims.nx * whole.dims.ny, T{});
        if (z < box.first.nz || z >= box.first.nz + box.dims.nz) return;
        for (std::size_t y = 0; y < box.dims.ny; ++y)
            std::copy_n(&part(0, y, z - box.first.nz), box.dims.nx,
                        slice + box.first.nx + whole.dims.nx * (box.first.ny + y));
    });
    return volume;
}

}  // namespace

Box bounding_box(const Mask& mask, const Dims& margin_voxels)
{
    const auto& d = mask.dims();
    std::vector<std::uint8_t> has_z(d.nz, 0);
    // One flag for each (slice, row) and, per slice, the columns touched; then the union over slices.
    std::vector<std::uint8_t> has_y(d.ny * d.nz, 0), has_x(d.nx * d.nz, 0);
    parallel::for_each(d.nz, [&](std::size_t z) {
        std::uint8_t* columns = has_x.data() + z * d.nx;
        for (std::size_t y = 0; y < d.ny; ++y) {
            const std::uint8_t* row = &mask(0, y, z);
            std::uint8_t any = 0;
            for (std::size_t x = 0; x < d.nx; ++x) any |= row[x];
            if (any == 0) continue;
            for (std::size_t x = 0; x < d.nx; ++x) columns[x] |= row[x];
            has_y[z * d.ny + y] = has_z[z] = 1;
        }
    });
    Box box{{d.nx, d.ny, d.nz}, {}};
    Dims last;
    const auto widen = [](std::size_t i, std::size_t& first, std::size_t& end) {
        first = std::min(first, i);
        end = std::max(end, i + 1);
    };
    for (std::size_t z = 0; z < d.nz; ++z) {
        if (has_z[z] == 0) continue;
        widen(z, box.first.nz, last.nz);
        for (std::size_t y = 0; y < d.ny; ++y)
            if (has_y[z * d.ny + y] != 0) widen(y, box.first.ny, last.ny);
        for (std::size_t x = 0; x < d.nx; ++x)
            if (has_x[z * d.nx + x] != 0) widen(x, box.first.nx, last.nx);
    }
    if (last.nz == 0) return {{}, d};
    const auto clip = [](std::size_t& first, std::size_t& n, std::size_t end, std::size_t whole, std::size_t margin) {
        first -= std::min(first, margin);
        n = std::min(end + margin, whole) - first;
    };
    clip(box.first.nx, box.dims.nx, last.nx, d.nx, margin_voxels.nx);
    clip(box.first.ny, box.dims.ny, last.ny, d.ny, margin_voxels.ny);
    clip(box.first.nz, box.dims.nz, last.nz, d.nz, margin_voxels.nz);
    return box;
}

Dims voxels_along(const Grid& grid, double length_mm)
{
    constexpr double most = 1e6;
    const auto along = [&](double voxel_mm) {
        const double n = std::ceil(length_mm / voxel_mm);
        require(length_mm >= 0.0 && n <= most, str("voxels_along: ", length_mm, " mm in voxels of ", voxel_mm, " mm"));
        return static_cast<std::size_t>(n);
    };
    return {along(grid.voxel_mm[0]), along(grid.voxel_mm[1]), along(grid.voxel_mm[2])};
}

VolumeF crop(const VolumeF& volume, const Box& box)
{
    return crop_volume(volume, box);
}
Mask crop(const Mask& mask, const Box& box)
{
    return crop_volume(mask, box);
}
VolumeF uncrop(const VolumeF& part, const Box& box, const Grid& whole)
{
    return uncrop_volume(part, box, whole);
}
Mask uncrop(const Mask& part, const Box& box, const Grid& whole)
{
    return uncrop_volume(part, box, whole);
}

Coarse coarsened(const Grid& grid, double cell_mm)
{
    const auto& [d, h] = grid;
    Coarse coarse;
    auto& n = coarse.voxels;
    for (std::size_t a = 0; a < 3; ++a) n[a] = std::max<std::size_t>(1, static_cast<std::size_t>(cell_mm / h[a]));
    const auto over = [](std::size_t length, std::size_t by) { return (length + by - 1) / by; };
    coarse.grid = {{over(d.nx, n[0]), over(d.ny, n[1]), over(d.nz, n[2])},
                   {h[0] * static_cast<double>(n[0]), h[1] * static_cast<double>(n[1]), h[2] * static_cast<double>(n[2])}};
    return coarse;
}

Grid padded_grid(const Grid& grid, double pad_mm, double fraction)
{
    require(std::isfinite(pad_mm) && pad_mm >= 0.0 && std::isfinite(fraction) && fraction >= 0.0,
            str("padding of ", pad_mm, " mm, fraction ", fraction, "; expected finite values, not negative"));
    const auto length = [&](std::size_t n, double voxel_mm) {
        const double pad = std::max(pad_mm / voxel_mm, fraction * static_cast<double>(n));
        // 1e-9: a pad that is a whole number of voxels must not be rounded up by representation.
        return good_length(n + static_cast<std::size_t>(std::ceil(pad - 1e-9)));
    };
    return {{length(grid.dims.nx, grid.voxel_mm[0]), length(grid.dims.ny, grid.voxel_mm[1]),
             length(grid.dims.nz, grid.voxel_mm[2])},
            grid.voxel_mm};
}

}  // namespace qsmpi::numerics
