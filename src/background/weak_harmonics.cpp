#include "qsmpi/background/weak_harmonics.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::background {
namespace {

constexpr int highest_order = 8;
constexpr std::size_t most_harmonics = (highest_order + 1) * (highest_order + 1);
using Values = std::array<double, most_harmonics>;

/// The solid harmonics of a box of voxels; positions are taken from its centre in units of its longest half axis.
class SolidHarmonics {
public:
    SolidHarmonics(const Grid& whole, const numerics::Box& box, int order) : order_(order)
    {
        double longest_mm = 0.0;
        for (std::size_t a = 0; a < 3; ++a) {
            const auto axis = static_cast<int>(a);
            const auto n = static_cast<double>(box.dims[axis]);
            centre_[a] = static_cast<double>(box.first[axis]) + 0.5 * (n - 1.0);
            longest_mm = std::max(longest_mm, 0.5 * n * whole.voxel_mm[a]);
        }
        for (std::size_t a = 0; a < 3; ++a) step_[a] = whole.voxel_mm[a] / longest_mm;
    }
    [[nodiscard]] std::size_t size() const { return static_cast<std::size_t>((order_ + 1) * (order_ + 1)); }

    /// All harmonics at a voxel of the whole grid: A_l^m(z, r^2) times real and imaginary part of (x + iy)^m, where
    /// (l + 1 - m) A_{l+1} = (2l + 1) z A_l - (l + m) r^2 A_{l-1}.
    void at(std::size_t i, std::size_t j, std::size_t k, Values& values) const
    {
        const double x = position(0, i), y = position(1, j), z = position(2, k), r2 = x * x + y * y + z * z;
        std::size_t n = 0;
        double cosine = 1.0, sine = 0.0;  // of m phi, times (x^2 + y^2)^(m/2)
        for (int m = 0; m <= order_; ++m) {
            double before = 0.0, now = 1.0;
            for (int l = m; l <= order_; ++l) {
                values[n++] = now * cosine;
                if (m > 0) values[n++] = now * sine;
                const double next = ((2 * l + 1) * z * now - (l + m) * r2 * before) / (l + 1 - m);
                before = now;
                now = next;
            }
            const double turned = cosine * x - sine * y;
            sine = cosine * y + sine * x;
            cosine = turned;
        }
    }

private:
    [[nodiscard]] double position(std::size_t axis, std::size_t i) const
    {
        return (static_cast<double>(i) - centre_[axis]) * step_[axis];
    }

    int order_;
    Vec3 centre_{}, step_{};
};

/// Normal equations of a weighted fit: lower triangle by rows, and right side.
struct NormalEquations {
    std::vector<double> matrix, right;
};

/// Calls body(i, z-slice) with the index of every voxel that counts, slices in parallel.
template <typename Body>
void for_each_voxel(const Mask& mask, const numerics::Box& box, Body&& body)
{
    parallel::for_each(box.dims.nz, [&](std::size_t k) {
        for (std::size_t j = 0; j < box.dims.ny; ++j)
            for (std::size_t i = 0; i < box.dims.nx; ++i) {
                const std::size_t x = box.first.nx + i, y = box.first.ny + j, z = box.first.nz + k;
                if (mask(x, y, z) != 0) body(x, y, z, k);
            }
    });
}

NormalEquations normal_equations(const LocalField& local, const numerics::Box& box, const SolidHarmonics& harmonics)
{
    const std::size_t n = harmonics.size();
    std::vector<NormalEquations> slices(box.dims.nz);
    for (NormalEquations& s : slices) s = {std::vector<double>(n * (n + 1) / 2), std::vector<double>(n)};
    for_each_voxel(local.mask, box, [&](std::size_t x, std::size_t y, std::size_t z, std::size_t slice) {
        const auto field = static_cast<double>(local.local_field_ppm(x, y, z));
        if (!std::isfinite(field)) return;
        const double trust = local.weight.empty() ? 1.0 : static_cast<double>(local.weight(x, y, z));
        const double weight = trust * trust;
        Values h;
        harmonics.at(x, y, z, h);
        double* sums = slices[slice].matrix.data();
        for (std::size_t i = 0; i < n; ++i) {
            const double weighted = weight * h[i];
            slices[slice].right[i] += weighted * field;
            for (std::size_t j = 0; j <= i; ++j) *sums++ += weighted * h[j];
        }
    });
    NormalEquations total = std::move(slices.front());
    for (std::size_t s = 1; s < slices.size(); ++s) {
        for (std::size_t i = 0; i < total.matrix.size(); ++i) total.matrix[i] += slices[s].matrix[i];
        for (std::size_t i = 0; i < n; ++i) total.right[i] += slices[s].right[i];
    }
    return total;
}

/// Coefficients by Cholesky's method. Harmonics that the data do not tell from those before them get 0: in a slab
/// of one slice, say.
std::vector<double> solve(NormalEquations equations)
{
    constexpr double independent = 1e-9;
    std::vector<double>& c = equations.right;
    const std::size_t n = c.size();
    const auto entry = [&](std::size_t i, std::size_t j) -> double& { return equations.matrix[i * (i + 1) / 2 + j]; };
    for (std::size_t i = 0; i < n; ++i) {
        const double before = entry(i, i);
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = entry(i, j);
            for (std::size_t k = 0; k < j; ++k) sum -= entry(i, k) * entry(j, k);
            if (j < i)
                entry(i, j) = entry(j, j) > 0.0 ? sum / entry(j, j) : 0.0;
            else
                entry(i, i) = sum > independent * before ? std::sqrt(sum) : 0.0;
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t k = 0; k < i; ++k) c[i] -= entry(i, k) * c[k];
        c[i] = entry(i, i) > 0.0 ? c[i] / entry(i, i) : 0.0;
    }
    for (std::size_t i = n; i-- > 0;) {
        for (std::size_t k = i + 1; k < n; ++k) c[i] -= entry(k, i) * c[k];
        c[i] = entry(i, i) > 0.0 ? c[i] / entry(i, i) : 0.0;
    }
    return std::move(c);
}

}  // namespace

void remove_weak_harmonics(LocalField& local, const WeakHarmonicsOptions& options)
{
    require_same_grid(local.local_field_ppm, local.mask, "remove_weak_harmonics: field and mask");
    if (!local.weight.empty()) require_same_grid(local.weight, local.mask, "remove_weak_harmonics: weight and mask");
    require(options.order >= 0 && options.order <= highest_order,
            str("remove_weak_harmonics: order ", options.order, " is outside [0, ", highest_order, "]"));
    if (numerics::count(local.mask) == 0) return;

    const numerics::Box box = numerics::bounding_box(local.mask);
    const SolidHarmonics harmonics(local.mask.grid(), box, options.order);
    const std::vector<double> coefficients = solve(normal_equations(local, box, harmonics));
    for_each_voxel(local.mask, box, [&](std::size_t x, std::size_t y, std::size_t z, std::size_t) {
        Values h;
        harmonics.at(x, y, z, h);
        double sum = 0.0;
        for (std::size_t i = 0; i < coefficients.size(); ++i) sum += coefficients[i] * h[i];
        local.local_field_ppm(x, y, z) -= static_cast<float>(sum);
    });
}

}  // namespace qsmpi::background
