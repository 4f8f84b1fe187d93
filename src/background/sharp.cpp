#include "qsmpi/background/sharp.hpp"

#include "qsmpi/background/registry.hpp"
#include "qsmpi/background/vsharp.hpp"
#include "spherical_mean.hpp"

namespace qsmpi::background {

LocalField sharp(const VolumeF& total_field_ppm, const Mask& mask, const SharpOptions& options)
{
    require_positive("sharp: radius [mm]", options.radius_mm);
    const VsharpOptions one_radius{
        .max_radius_mm = options.radius_mm, .min_radius_mm = options.radius_mm, .threshold = options.threshold};
    return vsharp(total_field_ppm, mask, one_radius);
}

extern const Method sharp_method;
constinit const Method sharp_method{
    .name = "sharp",
    .help = "spherical mean values with one ball (SHARP): the fastest, loses a rim of its radius",
    .parameters = "radius 6 mm, threshold 0.05",
    .sentence = "Background fields were removed with SHARP.",
    .citation = "Schweser et al., NeuroImage 54(4):2789-2807, 2011, doi:10.1016/j.neuroimage.2010.10.070",
    .run = [](const Problem& p) {
        SharpOptions options;
        if (p.max_radius_mm > 0.0) options.radius_mm = p.max_radius_mm;
        return sharp(*p.total_field_ppm, *p.mask, options);
    },
    .takes_radius = true};

}  // namespace qsmpi::background
