#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>

#include "qsmpi/core/error.hpp"

namespace qsmpi {

using Vec3 = std::array<double, 3>;
/// A unit vector in voxel axes (i, j, k) unless the name says otherwise.
using UnitVector = Vec3;

/// Number of voxels along x, y, z; x is fastest in memory (NIfTI order).
struct Dims {
    std::size_t nx = 0, ny = 0, nz = 0;
    [[nodiscard]] constexpr std::size_t size() const { return nx * ny * nz; }
    [[nodiscard]] constexpr std::size_t index(std::size_t x, std::size_t y, std::size_t z) const
    {
        return x + nx * (y + ny * z);
    }
    [[nodiscard]] constexpr std::size_t operator[](int axis) const
    {
        return axis == 0 ? nx : axis == 1 ? ny : nz;
    }
    constexpr bool operator==(const Dims&) const = default;
};

/// Shape and voxel size [mm] of a volume. World orientation lives in io, not here.
struct Grid {
    Dims dims;
    Vec3 voxel_mm{1.0, 1.0, 1.0};
    [[nodiscard]] constexpr std::size_t size() const { return dims.size(); }
    /// Volume of a voxel.
    [[nodiscard]] constexpr double voxel_mm3() const { return voxel_mm[0] * voxel_mm[1] * voxel_mm[2]; }
    /// Edge of the cube that is as large as a voxel.
    [[nodiscard]] double voxel_edge_mm() const { return std::cbrt(voxel_mm3()); }
    bool operator==(const Grid&) const = default;
};

/// Uninitialised bytes, 64-byte aligned; large blocks ask the kernel for huge pages, which makes touching and
/// returning them about ten times cheaper. To be freed by std::free. Throws std::bad_alloc.
[[nodiscard]] void* allocate_aligned(std::size_t bytes);

/// Uninitialised, 64-byte aligned memory, so that FFTW and the compiler may use aligned SIMD.
template <typename T>
class AlignedBuffer {
public:
    AlignedBuffer() = default;
    explicit AlignedBuffer(std::size_t n) : data_(allocate(n)), size_(n) {}
    [[nodiscard]] T* data() { return data_.get(); }
    [[nodiscard]] const T* data() const { return data_.get(); }
    [[nodiscard]] std::size_t size() const { return size_; }

private:
    struct Free {
        void operator()(void* p) const { std::free(p); }
    };
    static T* allocate(std::size_t n)
    {
        if (n == 0) return nullptr;
        return static_cast<T*>(allocate_aligned(n * sizeof(T)));
    }
    std::unique_ptr<T, Free> data_;
    std::size_t size_ = 0;
};

/// A 3-D image on a Grid. Move-only: a copy of a large volume is written `clone()`, so it is seen.
template <typename T>
class Volume {
public:
    using value_type = T;
    Volume() = default;
    /// Uninitialised voxels.
    explicit Volume(const Grid& grid) : grid_(grid), data_(grid.size()) {}
    Volume(const Grid& grid, T value) : Volume(grid) { fill(value); }
    Volume(Volume&&) noexcept = default;
    Volume& operator=(Volume&&) noexcept = default;
    Volume(const Volume&) = delete;
    Volume& operator=(const Volume&) = delete;

    [[nodiscard]] Volume clone() const
    {
        Volume copy(grid_);
        std::copy_n(data(), size(), copy.data());
        return copy;
    }
    void fill(T value) { std::fill_n(data(), size(), value); }

    [[nodiscard]] const Grid& grid() const { return grid_; }
    /// The same voxels are so large: headers of one scan differ in the last digit.
    void set_voxel_mm(const Vec3& voxel_mm) { grid_.voxel_mm = voxel_mm; }
    [[nodiscard]] const Dims& dims() const { return grid_.dims; }
    [[nodiscard]] std::size_t size() const { return data_.size(); }
    [[nodiscard]] bool empty() const { return data_.size() == 0; }
    [[nodiscard]] T* data() { return data_.data(); }
    [[nodiscard]] const T* data() const { return data_.data(); }
    [[nodiscard]] T& operator[](std::size_t i) { return data_.data()[i]; }
    [[nodiscard]] const T& operator[](std::size_t i) const { return data_.data()[i]; }
    [[nodiscard]] T& operator()(std::size_t x, std::size_t y, std::size_t z)
    {
        return data_.data()[grid_.dims.index(x, y, z)];
    }
    [[nodiscard]] const T& operator()(std::size_t x, std::size_t y, std::size_t z) const
    {
        return data_.data()[grid_.dims.index(x, y, z)];
    }
    [[nodiscard]] T* begin() { return data(); }
    [[nodiscard]] T* end() { return data() + size(); }
    [[nodiscard]] const T* begin() const { return data(); }
    [[nodiscard]] const T* end() const { return data() + size(); }
    [[nodiscard]] std::span<T> span() { return {data(), size()}; }
    [[nodiscard]] std::span<const T> span() const { return {data(), size()}; }

private:
    Grid grid_;
    AlignedBuffer<T> data_;
};

using VolumeF = Volume<float>;
/// Nonzero = inside.
using Mask = Volume<std::uint8_t>;

/// Throws InputError unless both live on the same grid; `what` names the two for the message.
template <typename A, typename B>
void require_same_grid(const Volume<A>& a, const Volume<B>& b, const char* what)
{
    require(a.dims() == b.dims(),
            str(what, " differ in shape: ", a.dims().nx, "x", a.dims().ny, "x", a.dims().nz, " against ",
                b.dims().nx, "x", b.dims().ny, "x", b.dims().nz));
    require(a.grid().voxel_mm == b.grid().voxel_mm, str(what, " differ in voxel size"));
}

}  // namespace qsmpi
