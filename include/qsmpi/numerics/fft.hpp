#pragma once
#include <complex>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "qsmpi/core/volume.hpp"

namespace qsmpi::numerics {

/// Half spectrum of a real volume: nx/2+1 frequencies along x, ny, nz; x fastest, unshifted, DC at index 0.
class Spectrum {
public:
    Spectrum() = default;
    explicit Spectrum(const Dims& real_dims)
        : half_x_(real_dims.nx / 2 + 1), ny_(real_dims.ny), nz_(real_dims.nz), data_(half_x_ * ny_ * nz_)
    {
    }
    [[nodiscard]] std::size_t half_x() const { return half_x_; }
    [[nodiscard]] std::size_t size() const { return data_.size(); }
    [[nodiscard]] std::complex<float>* row(std::size_t y, std::size_t z)
    {
        return data_.data() + half_x_ * (y + ny_ * z);
    }
    [[nodiscard]] const std::complex<float>* row(std::size_t y, std::size_t z) const
    {
        return data_.data() + half_x_ * (y + ny_ * z);
    }
    [[nodiscard]] std::complex<float>* data() { return data_.data(); }
    [[nodiscard]] const std::complex<float>* data() const { return data_.data(); }

private:
    std::size_t half_x_ = 0, ny_ = 0, nz_ = 0;
    AlignedBuffer<std::complex<float>> data_;
};

/// Multiplier of one spectral row: writes the real factors of the frequencies (0..nx/2, y, z) to `factors`.
using RowMultiplier = std::function<void(std::size_t y, std::size_t z, float* factors)>;

/// A block of neighbouring columns along z in the spectrum: frequencies (x0 .. x0+n_x-1, y, 0 .. nz-1).
struct Tile {
    static constexpr std::size_t width = 16;
    std::size_t y, x0, n_x, nz;
    std::complex<float>* data;  ///< entry (x0 + j, y, z) is data[z * width + j]; columns j >= n_x are padding

    /// Multiplies by real factors laid out as the tile, factors[z * width + j].
    void multiply(const float* factors) const
    {
        auto* values = reinterpret_cast<float*>(data);
        for (std::size_t i = 0; i < nz * width; ++i) {
            values[2 * i] *= factors[i];
            values[2 * i + 1] *= factors[i];
        }
    }
};

/// Changes a tile in place; called once for every tile, by several threads at once.
using TileBody = std::function<void(const Tile& tile)>;
/// Writes the voxels (0.., y, z) of an input that need not exist as a volume.
using RowSource = std::function<void(std::size_t y, std::size_t z, float* row)>;
/// Takes the voxels (0.., y, z) of a result.
using RowSink = std::function<void(std::size_t y, std::size_t z, const float* row)>;

/// Real-to-complex 3-D FFT of float volumes on a padded grid; unnormalised forward, 1/N inverse.
///
/// The transform is made of 1-D FFTW plans, each for one thread, spread over the job's threads in slices and
/// column blocks. So the plan, and with it every bit of the result, does not depend on the number of threads.
/// Plans come from wisdom when it holds the length, else from FFTW_ESTIMATE; measuring is done by plan_lengths().
/// Thread-safe to use from one thread at a time; building several is serialised inside.
/// Rows and slices that are padding cost nothing in the sweeps along x and y.
/// All functions throw InputError when a volume is larger than the grid or a spectrum belongs to another one.
class Fft3 {
public:
    /// @param grid  padded grid; any size works, sizes from good_length() are fast
    explicit Fft3(const Grid& grid);
    ~Fft3();
    Fft3(Fft3&&) noexcept;
    Fft3& operator=(Fft3&&) noexcept;

    [[nodiscard]] const Grid& grid() const;

    /// spectrum = F(volume). The volume may be smaller than the grid in every axis: it is zero-padded at the far end.
    void forward(const VolumeF& volume, Spectrum& spectrum) const;
    /// The same for an input of shape `dims` that is made row by row.
    void forward_rows(const Dims& dims, const RowSource& source, Spectrum& spectrum) const;
    /// volume = F^-1(spectrum), cropped to the volume's own shape. Destroys the spectrum.
    void inverse(Spectrum& spectrum, VolumeF& volume) const;
    /// out = F^-1( multiplier * F(in) ) in three sweeps over memory: cheaper than forward + inverse.
    /// `in` and `out` may be the same volume, and smaller than the grid (zero-padded, cropped).
    /// `work` is scratch of this grid, kept by the caller so that loops do not allocate.
    void filter(const VolumeF& in, VolumeF& out, const RowMultiplier& multiplier, Spectrum& work) const;
    /// As filter(), for anything that can be done to the spectrum entry by entry: `body` sees tiles while they are in
    /// cache, so it may also add a stored spectrum or compute its factors on the fly. The fastest form.
    void filter_tiles(const VolumeF& in, VolumeF& out, const TileBody& body, Spectrum& work) const;
    /// As filter_tiles(), with input and output by rows (called in parallel, all of the input before any output):
    /// saves the passes over memory that would build the input or use the output.
    void filter_rows(const Dims& in_dims, const RowSource& source, const Dims& out_dims, const RowSink& sink,
                     const TileBody& body, Spectrum& work) const;
    /// Calls body(y, z, row) for every spectral row, in parallel.
    void for_each_row(
        Spectrum& spectrum,
        const std::function<void(std::size_t y, std::size_t z, std::complex<float>* row)>& body) const;

private:
    struct Plans;
    std::unique_ptr<Plans> plans_;
};

/// Smallest even 2^a 3^b 5^c 7^d (d <= 1) not below n: FFTW is fast there.
[[nodiscard]] std::size_t good_length(std::size_t n);

/// How long plan_lengths() searches for each length, and what a filter pass then costs (1 F = FFTW's own 3-D pair).
enum class PlanSearch {
    quick,   ///< FFTW_MEASURE: about 0.4 s
    patient  ///< FFTW_PATIENT: about 3 s; the passes are a fifth faster, so it pays from some 100 passes on
};
/// Measures plans for all good lengths from `shortest` to `longest` that the wisdom in memory lacks.
/// @return how many lengths were measured
std::size_t plan_lengths(std::size_t shortest, std::size_t longest, PlanSearch search = PlanSearch::quick);
/// Reads wisdom; false when the file is absent or was made by another FFTW. Throws IoError if it cannot be read.
bool load_wisdom(const std::filesystem::path& file);
/// Writes the wisdom in memory (temporary name, flush, rename).
void save_wisdom(const std::filesystem::path& file);

}  // namespace qsmpi::numerics
