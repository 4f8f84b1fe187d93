#include "qsmpi/phase/checks.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "wrap.hpp"

namespace qsmpi::phase
{

namespace
{

constexpr std::size_t edge = 8;
constexpr std::size_t most_blocks = 1000;
constexpr std::size_t distance = 2;
// Fewer pairs of equal weight than this agree by chance.
constexpr double least_pairs = 24.0;

struct Block {
    double weight = 0.0, coherence = 0.0;
};

/// The block whose first voxel is `first`.
Block measure(const VolumeF& phase, const VolumeF* magnitude, const Dims& first)
{
    const Dims& d = phase.dims();
    const Dims size{std::min(edge, d.nx - first.nx), std::min(edge, d.ny - first.ny),
                    std::min(edge, d.nz - first.nz)};
    std::array<std::complex<float>, edge * edge * edge> phasor{};
    for (std::size_t z = 0; z < size.nz; ++z) {
        for (std::size_t y = 0; y < size.ny; ++y) {
            for (std::size_t x = 0; x < size.nx; ++x) {
                const std::size_t v = d.index(first.nx + x, first.ny + y, first.nz + z);
                const float m = magnitude == nullptr ? 1.0f : (*magnitude)[v];
                if (std::isfinite(phase[v]) && std::isfinite(m) && m > 0.0f)
                    phasor[x + edge * (y + edge * z)] = std::polar(m, phase[v]);
            }
        }
    }
    Block block;
    const std::array<std::size_t, 3> step{1, edge, edge * edge};
    for (std::size_t axis = 0; axis < 3; ++axis) {
        const auto a = static_cast<int>(axis);
        if (size[a] <= distance) continue;
        std::complex<double> sum;
        double weight = 0.0, squares = 0.0;
        for (std::size_t z = 0; z + (axis == 2 ? distance : 0) < size.nz; ++z) {
            for (std::size_t y = 0; y + (axis == 1 ? distance : 0) < size.ny; ++y) {
                for (std::size_t x = 0; x + (axis == 0 ? distance : 0) < size.nx; ++x) {
                    const std::size_t i = x + edge * (y + edge * z);
                    const std::complex<double> p = std::conj(phasor[i]) * phasor[i + distance * step[axis]];
                    if (p == std::complex<double>{}) continue;
                    sum += p;
                    weight += std::abs(p);
                    squares += std::norm(p);
                }
            }
        }
        // At the rim of an object a few bright pairs speak for all.
        const double n = squares > 0.0 ? weight * weight / squares : 0.0;
        if (n < least_pairs) continue;
        block.weight += weight;
        const double by_chance = 4.0 / n;
        const double r_square = (std::norm(sum) / (weight * weight) - by_chance) / (1.0 - by_chance);
        block.coherence = std::max(block.coherence, std::sqrt(std::max(0.0, r_square)));
    }
    return block;
}

constexpr float half_turn = pi_f + 1e-3f;

/// Part of the steps between neighbours inside the mask for which is_so(voxel, neighbour).
template <typename Predicate>
double part_of_steps(const Mask& mask, Predicate&& is_so)
{
    struct Steps {
        std::size_t n = 0, so = 0;
        Steps& operator+=(const Steps& other)
        {
            n += other.n;
            so += other.so;
            return *this;
        }
    };
    const Dims& d = mask.dims();
    std::vector<Steps> slices(d.nz);
    parallel::for_each(d.nz, [&](std::size_t z) {
        Steps s;
        const auto look = [&](std::size_t v, std::size_t w) {
            if (mask[v] == 0 || mask[w] == 0) return;
            ++s.n;
            s.so += is_so(v, w) ? 1 : 0;
        };
        for (std::size_t y = 0; y < d.ny; ++y) {
            for (std::size_t x = 0; x < d.nx; ++x) {
                const std::size_t v = d.index(x, y, z);
                if (x + 1 < d.nx) look(v, v + 1);
                if (y + 1 < d.ny) look(v, v + d.nx);
                if (z + 1 < d.nz) look(v, v + d.nx * d.ny);
            }
        }
        slices[z] = s;
    });
    Steps total;
    for (const Steps& s : slices) total += s;
    return total.n == 0 ? 0.0 : static_cast<double>(total.so) / static_cast<double>(total.n);
}

}  // namespace

Coherence coherence(const VolumeF& wrapped_phase_rad, const VolumeF* magnitude)
{
    if (magnitude != nullptr) require_same_grid(wrapped_phase_rad, *magnitude, "coherence: phase and magnitude");
    const Dims& d = wrapped_phase_rad.dims();
    const auto blocks_along = [](std::size_t n) { return (n + edge - 1) / edge; };
    const Dims n{blocks_along(d.nx), blocks_along(d.ny), blocks_along(d.nz)};
    const std::size_t total = n.nx * n.ny * n.nz;
    // A stride without common factor with the rows of blocks, so that all parts of the volume are looked at.
    const std::size_t stride = total <= most_blocks ? 1 : 2 * (total / most_blocks / 2) + 1;
    std::vector<Block> blocks((total + stride - 1) / stride);
    parallel::for_each(blocks.size(), [&](std::size_t i) {
        const std::size_t b = i * stride;
        blocks[i] = measure(wrapped_phase_rad, magnitude,
                            {b % n.nx * edge, b / n.nx % n.ny * edge, b / (n.nx * n.ny) * edge});
    });
    Coherence result;
    double weight = 0.0;
    std::vector<float> values;
    for (const Block& b : blocks) {
        if (!(b.weight > 0.0)) continue;
        result.mean += b.weight * b.coherence;
        weight += b.weight;
        values.push_back(static_cast<float>(b.coherence));
    }
    if (values.empty()) return {};
    result.mean /= weight;
    result.best = numerics::quantile(values, 0.98);
    return result;
}

double steps_beyond(const VolumeF& values, const Mask& mask, float limit)
{
    require_same_grid(values, mask, "steps_beyond: values and mask");
    return part_of_steps(mask, [&](std::size_t v, std::size_t w) { return std::abs(values[v] - values[w]) > limit; });
}

double broken_steps(const VolumeF& unwrapped_phase_rad, const Mask& mask)
{
    return steps_beyond(unwrapped_phase_rad, mask, half_turn);
}

double contradicting_steps(const VolumeF& wrapped_phase_rad, const VolumeF& guide_rad, float factor,
                           const Mask& mask)
{
    require_same_grid(wrapped_phase_rad, guide_rad, "contradicting_steps: phase and guide");
    require_same_grid(wrapped_phase_rad, mask, "contradicting_steps: phase and mask");
    return part_of_steps(mask, [&](std::size_t v, std::size_t w) {
        const float step = wrap(wrapped_phase_rad[v] - wrapped_phase_rad[w]);
        return std::abs(step - factor * wrap(guide_rad[v] - guide_rad[w])) > half_turn;
    });
}

double teeth(const VolumeF& image)
{
    constexpr std::size_t stride = 7;
    std::vector<float> sample;
    for (std::size_t v = 0; v < image.size(); v += stride) sample.push_back(image[v]);
    const double low = numerics::quantile(sample, 0.01), high = numerics::quantile(sample, 0.99);
    if (!(high > low)) return 0.0;
    const auto limit = static_cast<float>(0.4 * (std::max(high, 0.0) - std::min(low, 0.0)));
    const Dims& d = image.dims();
    const std::size_t rows = d.ny * d.nz, row_stride = rows > 64 ? stride : 1;
    std::size_t n = 0, found = 0;
    for (std::size_t row = 0; row < rows; row += row_stride) {
        for (std::size_t x = 1; x + 1 < d.nx; ++x) {
            const float* v = &image[row * d.nx + x];
            const float from = v[0] - v[-1], to = v[0] - v[1];
            ++n;
            found += (from > limit && to > limit) || (from < -limit && to < -limit) ? 1 : 0;
        }
    }
    return n == 0 ? 0.0 : static_cast<double>(found) / static_cast<double>(n);
}

}  // namespace qsmpi::phase
