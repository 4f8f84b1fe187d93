#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::numerics {
namespace {

/// Voxels [begin, end) of one row.
struct Run {
    std::uint32_t begin, end;
};

/// Runs of one kind of voxel in scan order, joined into 6-connected components.
///
/// Components are found on runs, which are a hundred times fewer than voxels. The root of a component is its first
/// run in scan order, so labels do not depend on threads.
class Runs {
public:
    /// @param inside  true: runs of nonzero voxels; false: of zero voxels
    Runs(const Mask& mask, bool inside) : dims_(mask.dims()), first_(dims_.ny * dims_.nz + 1, 0)
    {
        std::vector<std::vector<Run>> slices(dims_.nz);
        parallel::for_each(dims_.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < dims_.ny; ++y) {
                const std::size_t before = slices[z].size();
                find(&mask(0, y, z), inside, slices[z]);
                first_[row_index(y, z) + 1] = slices[z].size() - before;
            }
        });
        std::partial_sum(first_.begin(), first_.end(), first_.begin());
        runs_.reserve(first_.back());
        for (const auto& slice : slices) runs_.insert(runs_.end(), slice.begin(), slice.end());
        require(runs_.size() < std::numeric_limits<std::uint32_t>::max(),
                "components: too many runs for 32 bits");
        join();
    }

    [[nodiscard]] std::size_t n_runs() const { return runs_.size(); }
    /// First run of the component of run i.
    [[nodiscard]] std::uint32_t root(std::size_t i) const { return root_[i]; }
    /// Voxels of each component, at its root; 0 at other runs.
    [[nodiscard]] std::vector<std::size_t> sizes() const
    {
        std::vector<std::size_t> n(runs_.size(), 0);
        for (std::size_t i = 0; i < runs_.size(); ++i) n[root_[i]] += runs_[i].end - runs_[i].begin;
        return n;
    }
    /// Whether each component has a voxel on the border of the grid, at its root.
    [[nodiscard]] std::vector<bool> reaches_border() const
    {
        std::vector<bool> reaches(runs_.size(), false);
        for_each_run([&](std::size_t i, std::size_t y, std::size_t z, const Run& run) {
            if (y == 0 || z == 0 || y + 1 == dims_.ny || z + 1 == dims_.nz || run.begin == 0 ||
                run.end == dims_.nx)
                reaches[root_[i]] = true;
        });
        return reaches;
    }
    /// Writes value(root) to the voxels of every run.
    template <typename T, typename Value>
    void paint(Volume<T>& out, Value&& value) const
    {
        parallel::for_each(dims_.nz, [&](std::size_t z) {
            for (std::size_t y = 0; y < dims_.ny; ++y)
                for (std::size_t i = first_[row_index(y, z)]; i < first_[row_index(y, z) + 1]; ++i) {
                    T* row = &out(0, y, z);
                    std::fill(row + runs_[i].begin, row + runs_[i].end, value(root_[i]));
                }
        });
    }

private:
    [[nodiscard]] std::size_t row_index(std::size_t y, std::size_t z) const { return y + dims_.ny * z; }

    void find(const std::uint8_t* row, bool inside, std::vector<Run>& runs) const
    {
        std::size_t x = 0;
        while (x < dims_.nx) {
            while (x < dims_.nx && (row[x] != 0) != inside) ++x;
            const std::size_t begin = x;
            while (x < dims_.nx && (row[x] != 0) == inside) ++x;
            if (x > begin) runs.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(x)});
        }
    }

    template <typename Body>
    void for_each_run(Body&& body) const
    {
        for (std::size_t z = 0; z < dims_.nz; ++z)
            for (std::size_t y = 0; y < dims_.ny; ++y)
                for (std::size_t i = first_[row_index(y, z)]; i < first_[row_index(y, z) + 1]; ++i)
                    body(i, y, z, runs_[i]);
    }

    std::uint32_t find_root(std::uint32_t i)
    {
        while (root_[i] != i) i = root_[i] = root_[root_[i]];
        return i;
    }

    /// Unites the runs of two rows that overlap; both lists are in order.
    void join_rows(std::size_t a, std::size_t b)
    {
        std::size_t i = first_[a], j = first_[b];
        while (i < first_[a + 1] && j < first_[b + 1]) {
            if (runs_[i].begin < runs_[j].end && runs_[j].begin < runs_[i].end) {
                const std::uint32_t p = find_root(static_cast<std::uint32_t>(i));
                const std::uint32_t q = find_root(static_cast<std::uint32_t>(j));
                root_[std::max(p, q)] = std::min(p, q);
            }
            if (runs_[i].end < runs_[j].end)
                ++i;
            else
                ++j;
        }
    }

    void join()
    {
        root_.resize(runs_.size());
        std::iota(root_.begin(), root_.end(), 0U);
        for (std::size_t z = 0; z < dims_.nz; ++z)
            for (std::size_t y = 0; y < dims_.ny; ++y) {
                if (y > 0) join_rows(row_index(y, z), row_index(y - 1, z));
                if (z > 0) join_rows(row_index(y, z), row_index(y, z - 1));
            }
        for (std::size_t i = 0; i < root_.size(); ++i)
            root_[i] = root_[root_[i]];  // roots come before their runs
    }

    Dims dims_;
    std::vector<std::size_t> first_;
    std::vector<Run> runs_;
    std::vector<std::uint32_t> root_;
};

}  // namespace

Mask fill_holes(const Mask& mask)
{
    return fill_holes(mask, std::numeric_limits<std::size_t>::max());
}

Mask fill_holes(const Mask& mask, std::size_t largest_hole_voxels)
{
    const Runs background(mask, false);
    const auto reaches = background.reaches_border();
    const auto sizes = background.sizes();
    Mask out(mask.grid(), 1);
    background.paint(out, [&](std::uint32_t root) {
        return static_cast<std::uint8_t>(!reaches[root] && sizes[root] <= largest_hole_voxels);
    });
    return out;
}

Components label_components(const Mask& mask)
{
    const Runs runs(mask, true);
    const auto run_sizes = runs.sizes();
    Components components{Volume<std::uint32_t>(mask.grid(), 0U), {mask.size()}};
    std::vector<std::uint32_t> label(runs.n_runs(), 0);
    for (std::size_t i = 0; i < runs.n_runs(); ++i) {
        if (runs.root(i) != i) continue;
        label[i] = static_cast<std::uint32_t>(components.sizes.size());
        components.sizes.push_back(run_sizes[i]);
        components.sizes[0] -= run_sizes[i];
    }
    runs.paint(components.labels, [&](std::uint32_t root) { return label[root]; });
    return components;
}

Mask largest_component(const Mask& mask)
{
    const Runs runs(mask, true);
    const auto sizes = runs.sizes();
    Mask out(mask.grid(), 0);
    if (sizes.empty()) return out;
    const auto largest =
        static_cast<std::uint32_t>(std::max_element(sizes.begin(), sizes.end()) - sizes.begin());
    runs.paint(out, [&](std::uint32_t root) { return static_cast<std::uint8_t>(root == largest); });
    return out;
}

std::size_t count(const Mask& mask)
{
    return parallel::sum_blocks<std::size_t>(mask.size(), [&](std::size_t begin, std::size_t end) {
        std::size_t n = 0;
        for (std::size_t i = begin; i < end; ++i) n += mask[i] != 0;
        return n;
    });
}

std::array<std::vector<std::size_t>, 3> cross_sections(const Mask& mask)
{
    const Dims& dims = mask.dims();
    std::array<std::vector<std::size_t>, 3> sections{std::vector<std::size_t>(dims.nx), std::vector<std::size_t>(dims.ny),
                                                     std::vector<std::size_t>(dims.nz)};
    for (std::size_t z = 0; z < dims.nz; ++z)
        for (std::size_t y = 0; y < dims.ny; ++y)
            for (std::size_t x = 0; x < dims.nx; ++x) {
                const std::size_t inside = mask(x, y, z) != 0 ? 1 : 0;
                sections[0][x] += inside;
                sections[1][y] += inside;
                sections[2][z] += inside;
            }
    return sections;
}

}  // namespace qsmpi::numerics
