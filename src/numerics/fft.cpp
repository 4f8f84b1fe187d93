#include "qsmpi/numerics/fft.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <omp.h>

#include "fft_plans.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"

namespace qsmpi::numerics {

using Complex = std::complex<float>;

namespace {

/// Private memory of each thread for the time of one sweep, allocated outside of the parallel region.
template <typename T>
class PerThread {
public:
    explicit PerThread(std::size_t n)
    {
        for (int i = 0; i < parallel::threads(); ++i) buffers_.emplace_back(n);
    }
    [[nodiscard]] T* mine() { return buffers_[static_cast<std::size_t>(omp_get_thread_num())].data(); }

private:
    std::vector<AlignedBuffer<T>> buffers_;
};

/// to[0 .. n) = from[0 .. n); the common full width is compiled to a few moves.
inline void copy_row(const Complex* from, std::size_t n, Complex* to)
{
    if (n == Tile::width)
        std::memcpy(static_cast<void*>(to), from, Tile::width * sizeof(Complex));
    else
        std::memcpy(static_cast<void*>(to), from, n * sizeof(Complex));
}

/// Fetches the next tile's part of a row while this tile is transformed: rows are too far apart for the hardware.
inline void prefetch_row(const Complex* row)
{
    constexpr int for_reading = 0, into_second_level = 2;
    for (std::size_t j = 0; j < Tile::width; j += 8)
        __builtin_prefetch(row + j, for_reading, into_second_level);
    __builtin_prefetch(row + Tile::width - 1, for_reading,
                       into_second_level);  // rows are not aligned to cache lines
}

/// tile <- n_rows rows of `stride` from `from`, then zero rows up to n; columns beyond n_x are zero too.
void gather(const Complex* from, std::size_t stride, std::size_t n_x, std::size_t n_rows, std::size_t n,
            Complex* tile)
{
    for (std::size_t i = 0; i < n_rows; ++i) {
        copy_row(from + i * stride, n_x, tile + i * Tile::width);
        prefetch_row(from + i * stride + Tile::width);
        if (n_x < Tile::width) std::fill_n(tile + i * Tile::width + n_x, Tile::width - n_x, Complex{});
    }
    std::fill(tile + n_rows * Tile::width, tile + n * Tile::width, Complex{});
}

void scatter(const Complex* tile, std::size_t stride, std::size_t n_x, std::size_t n_rows, Complex* to)
{
    for (std::size_t i = 0; i < n_rows; ++i) copy_row(tile + i * Tile::width, n_x, to + i * stride);
}

void scatter_scaled(const Complex* tile, std::size_t stride, std::size_t n_x, std::size_t n_rows, float scale,
                    Complex* to)
{
    for (std::size_t i = 0; i < n_rows; ++i) {
        const auto* from = reinterpret_cast<const float*>(tile + i * Tile::width);
        auto* row = reinterpret_cast<float*>(to + i * stride);
        if (n_x == Tile::width)
            for (std::size_t j = 0; j < 2 * Tile::width; ++j) row[j] = scale * from[j];
        else
            for (std::size_t j = 0; j < 2 * n_x; ++j) row[j] = scale * from[j];
    }
}

constexpr std::size_t whole_batches(std::size_t n)
{
    return (n + detail::row_batch - 1) / detail::row_batch * detail::row_batch;
}

}  // namespace

struct Fft3::Plans {
    explicit Plans(const Grid& g)
        : grid(g),
          half_x(g.dims.nx / 2 + 1),
          real_pitch(detail::real_pitch(g.dims.nx)),
          half_pitch(detail::half_pitch(g.dims.nx)),
          x(detail::plan_rows(g.dims.nx, detail::Effort::wisdom_or_estimate)),
          y(detail::plan_columns(g.dims.ny, detail::Effort::wisdom_or_estimate)),
          z(detail::plan_columns(g.dims.nz, detail::Effort::wisdom_or_estimate)),
          scale(static_cast<float>(1.0 / static_cast<double>(g.size())))
    {
    }

    void check(const Dims& dims, const char* what) const
    {
        const auto& g = grid.dims;
        require(dims.nx <= g.nx && dims.ny <= g.ny && dims.nz <= g.nz,
                str("fft: ", what, " of ", dims.nx, "x", dims.ny, "x", dims.nz, " does not fit the grid of ",
                    g.nx, "x", g.ny, "x", g.nz));
    }
    void check(const Spectrum& s) const
    {
        require(s.size() == half_x * grid.dims.ny * grid.dims.nz && s.half_x() == half_x,
                "fft: the spectrum belongs to another grid");
    }

    /// Transforms along x and y, slice by slice; slices beyond dims.nz are left untouched (they are zero).
    /// A slice passes through memory of its thread that fits the cache, so the spectrum is written once.
    void slices_forward(const Dims& dims, const RowSource& source, Spectrum& s) const
    {
        const std::size_t nx = grid.dims.nx, ny = grid.dims.ny, n_rows = whole_batches(dims.ny);
        PerThread<float> reals(detail::row_batch * real_pitch);
        PerThread<Complex> halves(n_rows * half_pitch);
        PerThread<Complex> tiles(ny * Tile::width);
        parallel::for_each(dims.nz, [&](std::size_t slice) {
            float* real = reals.mine();
            Complex* half = halves.mine();
            Complex* tile = tiles.mine();
            for (std::size_t y0 = 0; y0 < n_rows; y0 += detail::row_batch) {
                for (std::size_t i = 0; i < detail::row_batch; ++i) {
                    float* row = real + i * real_pitch;
                    const bool is_data = y0 + i < dims.ny;
                    if (is_data) source(y0 + i, slice, row);
                    std::fill(row + (is_data ? dims.nx : 0), row + nx, 0.0F);
                }
                fftwf_execute_dft_r2c(x.forward.get(), real, detail::fftw(half + y0 * half_pitch));
            }
            for (std::size_t x0 = 0; x0 < half_x; x0 += Tile::width) {
                const std::size_t n_x = std::min(Tile::width, half_x - x0);
                gather(half + x0, half_pitch, n_x, dims.ny, ny, tile);
                fftwf_execute_dft(y.forward.get(), detail::fftw(tile), detail::fftw(tile));
                scatter(tile, half_x, n_x, ny, s.row(0, slice) + x0);
            }
        });
    }

    /// Inverse of slices_forward for the first dims.nz slices and dims.ny rows; unscaled.
    void slices_backward(const Spectrum& s, const Dims& dims, const RowSink& sink) const
    {
        const std::size_t ny = grid.dims.ny, n_rows = whole_batches(dims.ny);
        PerThread<float> reals(detail::row_batch * real_pitch);
        PerThread<Complex> halves(n_rows * half_pitch);
        PerThread<Complex> tiles(ny * Tile::width);
        parallel::for_each(dims.nz, [&](std::size_t slice) {
            float* real = reals.mine();
            Complex* half = halves.mine();
            Complex* tile = tiles.mine();
            for (std::size_t x0 = 0; x0 < half_x; x0 += Tile::width) {
                const std::size_t n_x = std::min(Tile::width, half_x - x0);
                gather(s.row(0, slice) + x0, half_x, n_x, ny, ny, tile);
                fftwf_execute_dft(y.backward.get(), detail::fftw(tile), detail::fftw(tile));
                scatter(tile, half_pitch, n_x, dims.ny, half + x0);
            }
            std::fill(half + dims.ny * half_pitch, half + n_rows * half_pitch, Complex{});
            for (std::size_t y0 = 0; y0 < dims.ny; y0 += detail::row_batch) {
                fftwf_execute_dft_c2r(x.backward.get(), detail::fftw(half + y0 * half_pitch), real);
                for (std::size_t i = 0; i < std::min(detail::row_batch, dims.ny - y0); ++i)
                    sink(y0 + i, slice, real + i * real_pitch);
            }
        });
    }

    /// Calls body(y, tile) for every column block, with one tile of memory for each thread.
    template <typename Body>
    void for_each_tile(Body&& body) const
    {
        const std::size_t nz = grid.dims.nz;
        PerThread<Complex> tiles(nz * Tile::width);
        parallel::for_each(grid.dims.ny, [&](std::size_t ky) {
            for (std::size_t x0 = 0; x0 < half_x; x0 += Tile::width)
                body(Tile{ky, x0, std::min(Tile::width, half_x - x0), nz, tiles.mine()});
        });
    }

    /// Columns along z: forward from the first nz_in slices, body, backward to the first nz_out slices with 1/N.
    void columns_filter(Spectrum& s, std::size_t nz_in, std::size_t nz_out, const TileBody& body) const
    {
        const std::size_t stride = half_x * grid.dims.ny;
        for_each_tile([&](const Tile& t) {
            Complex* column = s.row(t.y, 0) + t.x0;
            gather(column, stride, t.n_x, nz_in, t.nz, t.data);
            fftwf_execute_dft(z.forward.get(), detail::fftw(t.data), detail::fftw(t.data));
            body(t);
            fftwf_execute_dft(z.backward.get(), detail::fftw(t.data), detail::fftw(t.data));
            scatter_scaled(t.data, stride, t.n_x, nz_out, scale, column);
        });
    }

    Grid grid;
    std::size_t half_x, real_pitch, half_pitch;
    detail::RowPlans x;
    detail::ColumnPlans y, z;
    float scale;
};

namespace {

RowSource rows_of(const VolumeF& volume)
{
    return [&volume, d = volume.dims()](std::size_t y, std::size_t z, float* row) {
        std::copy_n(volume.data() + d.index(0, y, z), d.nx, row);
    };
}

RowSink rows_into(VolumeF& volume)
{
    return [&volume, d = volume.dims()](std::size_t y, std::size_t z, const float* row) {
        std::copy_n(row, d.nx, volume.data() + d.index(0, y, z));
    };
}

}  // namespace

Fft3::Fft3(const Grid& grid) : plans_(std::make_unique<Plans>(grid)) {}
Fft3::~Fft3() = default;
Fft3::Fft3(Fft3&&) noexcept = default;
Fft3& Fft3::operator=(Fft3&&) noexcept = default;

const Grid& Fft3::grid() const
{
    return plans_->grid;
}

void Fft3::forward(const VolumeF& volume, Spectrum& spectrum) const
{
    forward_rows(volume.dims(), rows_of(volume), spectrum);
}

void Fft3::forward_rows(const Dims& dims, const RowSource& source, Spectrum& spectrum) const
{
    plans_->check(dims, "a volume");
    plans_->check(spectrum);
    plans_->slices_forward(dims, source, spectrum);
    const std::size_t stride = plans_->half_x * plans_->grid.dims.ny;
    plans_->for_each_tile([&](const Tile& t) {
        Complex* column = spectrum.row(t.y, 0) + t.x0;
        gather(column, stride, t.n_x, dims.nz, t.nz, t.data);
        fftwf_execute_dft(plans_->z.forward.get(), detail::fftw(t.data), detail::fftw(t.data));
        scatter(t.data, stride, t.n_x, t.nz, column);
    });
}

void Fft3::inverse(Spectrum& spectrum, VolumeF& volume) const
{
    plans_->check(volume.dims(), "a volume");
    plans_->check(spectrum);
    const std::size_t stride = plans_->half_x * plans_->grid.dims.ny;
    plans_->for_each_tile([&](const Tile& t) {
        Complex* column = spectrum.row(t.y, 0) + t.x0;
        gather(column, stride, t.n_x, t.nz, t.nz, t.data);
        fftwf_execute_dft(plans_->z.backward.get(), detail::fftw(t.data), detail::fftw(t.data));
        scatter_scaled(t.data, stride, t.n_x, volume.dims().nz, plans_->scale, column);
    });
    plans_->slices_backward(spectrum, volume.dims(), rows_into(volume));
}

void Fft3::filter(const VolumeF& in, VolumeF& out, const RowMultiplier& multiplier, Spectrum& work) const
{
    // All rows of one y are asked for when its first tile comes up: each row once, into a table that stays in cache.
    const std::size_t half_x = plans_->half_x, nz = plans_->grid.dims.nz;
    PerThread<float> tables(nz * half_x);
    filter_tiles(
        in, out,
        [&](const Tile& t) {
            float* table = tables.mine();
            if (t.x0 == 0)
                for (std::size_t z = 0; z < nz; ++z) multiplier(t.y, z, table + z * half_x);
            for (std::size_t z = 0; z < nz; ++z) {
                const float* factors = table + z * half_x + t.x0;
                auto* row = reinterpret_cast<float*>(t.data + z * Tile::width);
                for (std::size_t j = 0; j < t.n_x; ++j) {
                    row[2 * j] *= factors[j];
                    row[2 * j + 1] *= factors[j];
                }
            }
        },
        work);
}

void Fft3::filter_tiles(const VolumeF& in, VolumeF& out, const TileBody& body, Spectrum& work) const
{
    filter_rows(in.dims(), rows_of(in), out.dims(), rows_into(out), body, work);
}

void Fft3::filter_rows(const Dims& in_dims, const RowSource& source, const Dims& out_dims,
                       const RowSink& sink, const TileBody& body, Spectrum& work) const
{
    plans_->check(in_dims, "an input");
    plans_->check(out_dims, "an output");
    plans_->check(work);
    plans_->slices_forward(in_dims, source, work);
    plans_->columns_filter(work, in_dims.nz, out_dims.nz, body);
    plans_->slices_backward(work, out_dims, sink);
}

void Fft3::for_each_row(Spectrum& spectrum,
                        const std::function<void(std::size_t, std::size_t, Complex*)>& body) const
{
    plans_->check(spectrum);
    parallel::for_each(plans_->grid.dims.nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < plans_->grid.dims.ny; ++y) body(y, z, spectrum.row(y, z));
    });
}

}  // namespace qsmpi::numerics
