// Where the phase can be trusted, and how much.
#include <algorithm>
#include <cmath>

#include "chain.hpp"
#include "geometry_checks.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/mask/expression.hpp"
#include "qsmpi/mask/reliable.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/numerics/resize.hpp"

namespace qsmpi::pipeline {
namespace {

constexpr float largest_weight = 3.0f;
constexpr float smallest_weight = 0.05f;
// No map that anyone could use comes out of fewer.
constexpr std::size_t fewest_voxels = 100;
// A mask with more unknown voxels than this is worth a warning.
constexpr double unknown_fraction_limit = 0.05;
// Another object whose core is at least this part of the mask's was scanned on purpose, unlike the muscles of the neck.
constexpr double smallest_core = 0.3;
// The core: what is left after an erosion by this part of the mask's size (a brain's: 11 mm).
constexpr double core_depth = 0.1;

struct MeanSum {
    double sum = 0.0;
    std::size_t n = 0;
    MeanSum& operator+=(const MeanSum& other)
    {
        sum += other.sum;
        n += other.n;
        return *this;
    }
};

// 1 / sigma, or 0 where sigma tells nothing.
float reliability(float sigma_hz) { return sigma_hz > 0.0f ? 1.0f / sigma_hz : 0.0f; }

// Summed over the voxels of the mask where it is positive.
MeanSum sum_of_reliability(const VolumeF& sigma_hz, const Mask& mask)
{
    return parallel::sum_blocks<MeanSum>(mask.size(), [&](std::size_t begin, std::size_t end) {
        MeanSum part;
        for (std::size_t i = begin; i < end; ++i) {
            const float r = mask[i] != 0 ? reliability(sigma_hz[i]) : 0.0f;
            part.sum += static_cast<double>(r);
            part.n += r > 0.0f ? 1 : 0;
        }
        return part;
    });
}

/// The mask before the final erosion, and how many voxels its parts had.
mask::Evaluated make_mask(Chain& chain)
{
    const ChainOptions& o = chain.spec.options;
    if (chain.given_mask) return {chain.given_mask->clone(), {{"given mask", numerics::count(*chain.given_mask)}}};
    mask::Inputs inputs{.grid = chain.grid(), .quality = chain.quality.get(), .magnitude = chain.magnitude_rss.get(),
                        .r2star_per_s = chain.r2star_per_s.get()};
    inputs.brain.quality_threshold = o.mask_quality_threshold;
    inputs.read_file = [&](const std::string& file) {
        return io::read_mask_on(file_of(chain.spec, file), chain.spec.acquisition.geometry, "the scan",
                                [&](const std::string& message) { chain.warn(message); });
    };
    return mask::evaluate(mask::parse_expression(o.mask), inputs);
}

/// Whether the mask is an automatic one and nothing else.
bool is_automatic(const std::vector<mask::Part>& parts)
{
    const auto is = [&](mask::SourceKind kind) { return parts.front().text == mask::to_text(mask::Source{.kind = kind}); };
    return parts.size() == 1 && (is(mask::SourceKind::automatic) || is(mask::SourceKind::compact));
}

/// Why nothing is left, and what to do.
std::string why_empty(const Chain& chain, const std::vector<mask::Part>& parts)
{
    const std::string counts = mask::describe(parts);
    const double erosion_mm = chain.spec.options.mask_erosion_mm;
    if (parts.back().voxels > 0)
        return str("the mask is empty: its ", parts.back().voxels, " voxels lie within mask_erosion_mm = ", erosion_mm,
                   " of its edge (", counts, "); erode less");
    const auto has_signal = [](const VolumeF& v) { return std::any_of(v.begin(), v.end(), [](float m) { return m > 0.0f; }); };
    if (chain.magnitude_rss != nullptr && !has_signal(*chain.magnitude_rss))
        return str("the mask is empty: the magnitude is 0 or not a number in every voxel (", counts,
                   "); use --mask quality, which does without it");
    if (is_automatic(parts))
        return "the mask is empty: no voxel has reliable phase; give a mask (--mask) or a lower mask_quality_threshold, and "
               "check the phase images";
    return str("the mask is empty (", counts, "); loosen the part that left nothing, or give a mask file");
}

/// The first voxel of every cell.
template <typename T>
Volume<T> thinned(const Volume<T>& volume, const numerics::Coarse& coarse)
{
    const auto& step = coarse.voxels;
    Volume<T> thin(coarse.grid);
    parallel::for_each(thin.dims().nz, [&](std::size_t z) {
        for (std::size_t y = 0; y < thin.dims().ny; ++y)
            for (std::size_t x = 0; x < thin.dims().nx; ++x) thin(x, y, z) = volume(x * step[0], y * step[1], z * step[2]);
    });
    return thin;
}

/// How many objects as compact as the mask lie beside it: the automatic mask keeps one.
std::size_t objects_beside(const Mask& full_mask, const VolumeF& magnitude)
{
    const double depth_mm = core_depth * std::cbrt(static_cast<double>(numerics::count(full_mask)) * full_mask.grid().voxel_mm3());
    const numerics::Coarse coarse = numerics::coarsened(full_mask.grid(), 0.25 * depth_mm);  // fine enough
    const Mask mask = thinned(full_mask, coarse);
    Mask rest = mask::robust_threshold(thinned(magnitude, coarse));
    const Mask taken = numerics::dilate(mask, depth_mm);
    for (std::size_t i = 0; i < rest.size(); ++i)
        if (taken[i] != 0) rest[i] = 0;
    const auto core = static_cast<double>(numerics::count(numerics::erode(mask, depth_mm, false)));
    const std::vector<std::size_t> sizes = numerics::label_components(numerics::erode(rest, depth_mm, false)).sizes;
    if (sizes.size() < 2 || core == 0.0) return 0;
    return static_cast<std::size_t>(std::count_if(sizes.begin() + 1, sizes.end(), [core](std::size_t n) {
        return static_cast<double>(n) > smallest_core * core;
    }));
}

// The mask of the first of two passes, unless it is the whole mask.
void make_reliable_mask(Chain& chain, std::size_t n_mask)
{
    if (!chain.quality || !chain.maps.front().sigma_hz) {
        chain.warn("two_pass needs phase to tell what is reliable: one pass");
        return;
    }
    const VolumeF none;
    Mask reliable = mask::reliable_part(*chain.mask, *chain.quality, chain.magnitude_rss ? *chain.magnitude_rss : none,
                                        *chain.maps.front().sigma_hz);
    const std::size_t n = numerics::count(reliable);
    chain.note("unreliable_fraction", 1.0 - static_cast<double>(n) / static_cast<double>(n_mask));
    if (n == 0) chain.warn("no reliable part of the mask is left: one pass");
    if (n > 0 && n < n_mask) chain.reliable_mask = std::make_shared<Mask>(std::move(reliable));
}

}  // namespace

std::filesystem::path file_of(const JobSpec& spec, const std::string& path_template)
{
    const io::Acquisition& a = spec.acquisition;
    const auto entity = [&](const char* name) {
        const auto found = a.entities.find(name);
        return found == a.entities.end() ? std::string{} : found->second;
    };
    const std::vector<std::pair<std::string, std::string>> words{
        {"{sub}", a.subject},       {"{ses}", a.session}, {"{run}", entity("run")},
        {"{acq}", entity("acq")}, {"{key}", a.key},       {"{prefix}", a.prefix()}};
    std::string file = path_template;
    for (const auto& [word, value] : words)
        for (auto at = file.find(word); at != std::string::npos; at = file.find(word, at + value.size()))
            file.replace(at, word.size(), value);
    return file;
}

std::vector<std::filesystem::path> mask_files(const JobSpec& spec)
{
    std::vector<std::filesystem::path> files;
    mask::for_each_source(mask::parse_expression(spec.options.mask), [&](const mask::Source& source) {
        if (source.kind == mask::SourceKind::file) files.push_back(file_of(spec, source.file));
    });
    return files;
}

void run_mask(Chain& chain)
{
    mask::Evaluated made = make_mask(chain);
    const double erosion_mm = chain.spec.options.mask_erosion_mm;
    const std::size_t n_made = made.parts.back().voxels;
    auto mask = std::make_shared<Mask>(erosion_mm > 0.0 ? numerics::erode(made.mask, erosion_mm) : std::move(made.mask));
    const std::size_t n = numerics::count(*mask);
    if (n == 0) throw NumericalError(why_empty(chain, made.parts));
    require(n >= fewest_voxels, str("the mask has only ", n, n == 1 ? " voxel (" : " voxels (", mask::describe(made.parts),
                                    "), at least ", fewest_voxels, " are needed; give a mask of the whole object"));
    if (made.parts.size() > 1)
        for (const mask::Part& part : made.parts) log::info(str("mask: ", part.text, ": ", part.voxels, " voxels"));
    const double millilitres = static_cast<double>(n) * chain.grid().voxel_mm3() / 1000.0;
    const SharedVolume& sigma_hz = chain.maps.front().sigma_hz;
    const std::size_t known = sigma_hz ? sum_of_reliability(*sigma_hz, *mask).n : n;
    const double unknown = 1.0 - static_cast<double>(known) / static_cast<double>(n);
    if (erosion_mm > 0.0) chain.note(eroded_voxels_note, n_made - n);
    if (erosion_mm > 0.0 && n == n_made)
        chain.warn(str("mask_erosion_mm = ", erosion_mm, " is less than a voxel: nothing was peeled off the mask"));
    chain.note("voxels", n);
    chain.note("millilitres", millilitres);
    chain.note("unknown_fraction", unknown);
    log::info(str("mask: ", n, " voxels, ", millilitres, " ml"));
    if (unknown > unknown_fraction_limit)
        chain.warn(str("the field is unknown in ", std::lround(100.0 * unknown),
                       " % of the mask (no signal, or signal that no single field explains)"));
    if (is_automatic(made.parts) && chain.magnitude_rss) {
        const std::size_t others = objects_beside(*mask, *chain.magnitude_rss);
        if (others > 0)
            chain.warn(str(others + 1, " objects in the field of view, and the mask keeps the largest: give a mask (--mask robust, or "
                           "a file) to have them all"));
    }
    warn_of_mask_shape(chain, *mask);
    chain.mask = std::move(mask);
    if (chain.spec.options.two_pass == "on") make_reliable_mask(chain, n);
}

VolumeF data_weight(const VolumeF& sigma_hz, const Mask& mask)
{
    require_same_grid(sigma_hz, mask, "data_weight: sigma and mask");
    const MeanSum total = sum_of_reliability(sigma_hz, mask);
    if (total.n == 0) throw NumericalError("the field is unknown in the whole mask: nothing to weight the data with");
    const auto scale = static_cast<float>(static_cast<double>(total.n) / total.sum);
    VolumeF weight(sigma_hz.grid());
    parallel::for_blocks(weight.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
            const float w = mask[i] != 0 ? std::min(scale * reliability(sigma_hz[i]), largest_weight) : 0.0f;
            weight[i] = w >= smallest_weight ? w : 0.0f;
        }
    });
    return weight;
}

}  // namespace qsmpi::pipeline
