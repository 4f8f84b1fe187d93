#include "qsmpi/evaluation/score.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/statistics.hpp"
#include "qsmpi/numerics/resize.hpp"
#include "similarity.hpp"

namespace qsmpi::evaluation {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// Truth t and map m over a region: means, then sums of products of what differs from them.
struct Pairs {
    double n = 0.0, t = 0.0, m = 0.0;
    Pairs& operator+=(const Pairs& o)
    {
        n += o.n;
        t += o.t;
        m += o.m;
        return *this;
    }
};

Pairs means(const VolumeF& truth, const VolumeF& map, const Mask& region)
{
    auto sums = parallel::sum_blocks<Pairs>(region.size(), [&](std::size_t begin, std::size_t end) {
        Pairs p;
        for (std::size_t i = begin; i < end; ++i) {
            if (region[i] == 0) continue;
            p.n += 1.0;
            p.t += static_cast<double>(truth[i]);
            p.m += static_cast<double>(map[i]);
        }
        return p;
    });
    sums.t /= sums.n;
    sums.m /= sums.n;
    return sums;
}

struct Nrmse {
    double plain_percent = nan, detrended_percent = nan;
};

Nrmse nrmse(const VolumeF& truth, const VolumeF& map, const Mask& region)
{
    const Pairs mean = means(truth, map, region);
    if (mean.n == 0.0) return {};
    struct Products {
        double tt = 0.0, tm = 0.0, mm = 0.0, error = 0.0;
        Products& operator+=(const Products& o)
        {
            tt += o.tt;
            tm += o.tm;
            mm += o.mm;
            error += o.error;
            return *this;
        }
    };
    const auto s = parallel::sum_blocks<Products>(region.size(), [&](std::size_t begin, std::size_t end) {
        Products p;
        for (std::size_t i = begin; i < end; ++i) {
            if (region[i] == 0) continue;
            const double t = static_cast<double>(truth[i]) - mean.t, m = static_cast<double>(map[i]) - mean.m;
            p.tt += t * t;
            p.tm += t * m;
            p.mm += m * m;
            p.error += (m - t) * (m - t);
        }
        return p;
    });
    if (!(s.tt > 0.0)) return {};
    // With m = slope t the error of m / slope against t is mm / slope^2 - tt.
    const double slope = s.tm / s.tt;
    const double detrended = slope == 0.0 ? s.error : std::max(0.0, s.mm / (slope * slope) - s.tt);
    return {100.0 * std::sqrt(s.error / s.tt), 100.0 * std::sqrt(detrended / s.tt)};
}

int label_at(const VolumeF& segmentation, std::size_t i)
{
    return static_cast<int>(std::lround(segmentation[i]));
}

Mask region_of(const VolumeF& segmentation, const Mask& mask, const std::vector<int>& labels)
{
    Mask region(mask.grid());
    parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            region[i] = mask[i] != 0 &&
                        std::find(labels.begin(), labels.end(), label_at(segmentation, i)) != labels.end();
    });
    return region;
}

/// Every voxel within `reach` voxels along each axis (a cube), if it is in the mask.
Mask widened(const Mask& region, std::size_t reach, const Mask& mask)
{
    const auto& d = region.dims();
    const numerics::Box box = numerics::bounding_box(region, {reach, reach, reach});
    Mask out(region.grid(), 0);
    const auto span = [reach](std::size_t i, std::size_t n) {
        return std::pair{i - std::min(i, reach), std::min(i + reach + 1, n)};
    };
    for (std::size_t z = box.first.nz; z < box.first.nz + box.dims.nz; ++z)
        for (std::size_t y = box.first.ny; y < box.first.ny + box.dims.ny; ++y)
            for (std::size_t x = box.first.nx; x < box.first.nx + box.dims.nx; ++x) {
                if (region(x, y, z) == 0) continue;
                const auto [x0, x1] = span(x, d.nx);
                const auto [y0, y1] = span(y, d.ny);
                const auto [z0, z1] = span(z, d.nz);
                for (std::size_t c = z0; c < z1; ++c)
                    for (std::size_t b = y0; b < y1; ++b)
                        for (std::size_t a = x0; a < x1; ++a) out(a, b, c) = mask(a, b, c) != 0;
            }
    return out;
}

/// The volume minus its mean over the mask; 0 outside.
VolumeF demeaned(const VolumeF& volume, const Mask& mask)
{
    const auto mean = static_cast<float>(numerics::mean_inside(volume, mask));
    VolumeF result(volume.grid());
    parallel::for_blocks(result.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) result[i] = mask[i] != 0 ? volume[i] - mean : 0.0F;
    });
    return result;
}

/// Slope of the means of single labels, map against truth; NaN with fewer than two regions.
double slope_of_means(const VolumeF& truth, const VolumeF& map, const VolumeF& segmentation, const Mask& mask,
                      const std::vector<int>& labels)
{
    std::vector<Pairs> regions;
    for (const int label : labels) {
        const Pairs p = means(truth, map, region_of(segmentation, mask, {label}));
        if (p.n > 0.0) regions.push_back(p);
    }
    const auto n = static_cast<double>(regions.size());
    Pairs centre;
    for (const Pairs& p : regions) centre += p;
    double tt = 0.0, tm = 0.0;
    for (const Pairs& p : regions) {
        tt += (p.t - centre.t / n) * (p.t - centre.t / n);
        tm += (p.t - centre.t / n) * (p.m - centre.m / n);
    }
    return regions.size() < 2 || tt == 0.0 ? nan : tm / tt;
}

/// Sums over the label dilated by one voxel, each map against its mean in the ring of the next three voxels.
double moment_ratio(const VolumeF& truth, const VolumeF& map, const Mask& calcification, const Mask& mask)
{
    const Mask core = widened(calcification, 1, mask);
    Mask ring = widened(calcification, 4, mask);
    for (std::size_t i = 0; i < ring.size(); ++i) ring[i] = ring[i] != 0 && core[i] == 0;
    const Pairs inside = means(truth, map, core), around = means(truth, map, ring);
    return (inside.m - around.m) / (inside.t - around.t);  // the counts cancel
}

/// Standard deviation of the error 2 to 6 voxels away from the label's bounding box [ppb].
double streak_ppb(const VolumeF& truth, const VolumeF& map, const Mask& calcification, const Mask& mask)
{
    const auto& d = mask.dims();
    const numerics::Box near = numerics::bounding_box(calcification, {1, 1, 1}),
                        far = numerics::bounding_box(calcification, {6, 6, 6});
    const auto within = [](std::size_t i, std::size_t first, std::size_t n) {
        return i >= first && i < first + n;
    };
    double n = 0.0, sum = 0.0, squares = 0.0;
    for (std::size_t z = far.first.nz; z < far.first.nz + far.dims.nz; ++z)
        for (std::size_t y = far.first.ny; y < far.first.ny + far.dims.ny; ++y)
            for (std::size_t x = far.first.nx; x < far.first.nx + far.dims.nx; ++x) {
                if (within(x, near.first.nx, near.dims.nx) && within(y, near.first.ny, near.dims.ny) &&
                    within(z, near.first.nz, near.dims.nz))
                    continue;
                const std::size_t i = d.index(x, y, z);
                if (mask[i] == 0) continue;
                const double error = static_cast<double>(map[i]) - static_cast<double>(truth[i]);
                n += 1.0;
                sum += error;
                squares += error * error;
            }
    return n == 0.0 ? nan : 1000.0 * std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
}

}  // namespace

Score score(const VolumeF& truth_ppm, const VolumeF& map_ppm, const Mask& mask, const VolumeF* segmentation,
            const ScoreLabels& labels)
{
    require_same_grid(truth_ppm, map_ppm, "score: truth and map");
    require_same_grid(truth_ppm, mask, "score: truth and mask");
    const std::size_t n_inside = numerics::count(mask);
    require(n_inside > 0, "score: the mask is empty; expected the voxels where the truth is known");

    VolumeF truth(mask.grid()), map(mask.grid());
    const auto n_covered =
        parallel::sum_blocks<std::size_t>(mask.size(), [&](std::size_t begin, std::size_t end) {
            std::size_t n = 0;
            for (std::size_t i = begin; i < end; ++i) {
                truth[i] = mask[i] != 0 ? truth_ppm[i] : 0.0F;
                map[i] = mask[i] != 0 && std::isfinite(map_ppm[i]) ? map_ppm[i] : 0.0F;
                require(std::isfinite(truth[i]), "score: the truth is not finite inside the mask");
                n += map[i] != 0.0F;
            }
            return n;
        });

    Score s;
    s.coverage_percent = 100.0 * static_cast<double>(n_covered) / static_cast<double>(n_inside);
    const Nrmse whole = nrmse(truth, map, mask);
    s.nrmse_percent = whole.plain_percent;
    s.nrmse_detrended_percent = whole.detrended_percent;
    s.xsim = detail::xsim(truth, map, mask);
    s.hfen_percent = detail::hfen_percent(truth, map, mask, 1.5);
    s.xsim_demeaned = detail::xsim(demeaned(truth, mask), demeaned(map, mask), mask);
    s.nrmse_tissue_percent = s.nrmse_deep_grey_percent = s.nrmse_blood_percent = nan;
    s.deep_grey_slope = s.calcification_moment_ratio = s.calcification_streak_ppb = nan;
    if (segmentation == nullptr) return s;

    require_same_grid(truth_ppm, *segmentation, "score: truth and segmentation");
    const auto in_region = [&](const std::vector<int>& which) {
        return region_of(*segmentation, mask, which);
    };
    s.nrmse_tissue_percent = nrmse(truth, map, in_region(labels.tissue)).detrended_percent;
    s.nrmse_deep_grey_percent = nrmse(truth, map, in_region(labels.deep_grey)).detrended_percent;
    s.deep_grey_slope = slope_of_means(truth, map, *segmentation, mask, labels.deep_grey);
    const Mask blood = in_region(labels.blood);
    if (numerics::count(blood) > 0)
        s.nrmse_blood_percent = nrmse(truth, map, widened(blood, 1, mask)).detrended_percent;
    const Mask calcification = in_region({labels.calcification});
    if (numerics::count(calcification) > 0) {
        s.calcification_moment_ratio = moment_ratio(truth, map, calcification, mask);
        s.calcification_streak_ppb = streak_ppb(truth, map, calcification, mask);
    }
    return s;
}

void to_json(nlohmann::json& j, const Score& s)
{
    j = {{"coverage_percent", s.coverage_percent},
         {"nrmse_percent", s.nrmse_percent},
         {"nrmse_detrended_percent", s.nrmse_detrended_percent},
         {"nrmse_tissue_percent", s.nrmse_tissue_percent},
         {"nrmse_deep_grey_percent", s.nrmse_deep_grey_percent},
         {"nrmse_blood_percent", s.nrmse_blood_percent},
         {"xsim", s.xsim},
         {"xsim_demeaned", s.xsim_demeaned},
         {"hfen_percent", s.hfen_percent},
         {"deep_grey_slope", s.deep_grey_slope},
         {"calcification_moment_ratio", s.calcification_moment_ratio},
         {"calcification_streak_ppb", s.calcification_streak_ppb}};
}

}  // namespace qsmpi::evaluation
