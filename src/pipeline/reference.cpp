// What is 0 ppm: the mean of the mask, of fluid, or of a region that the user gives.
#include <algorithm>
#include <charconv>

#include "chain.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/inversion/reference.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "registries.hpp"

namespace qsmpi::pipeline {
namespace {

// Numbers separated by commas, or nothing if the text is something else.
std::optional<std::vector<int>> labels_in(std::string_view text)
{
    std::vector<int> labels;
    for (const char *at = text.data(), *end = at + text.size();;) {
        int label = 0;
        const auto [rest, error] = std::from_chars(at, end, label);
        if (error != std::errc{}) return std::nullopt;
        labels.push_back(label);
        if (rest == end) return labels;
        if (*rest != ',') return std::nullopt;
        at = rest + 1;
    }
}

VolumeF read_region(const Chain& chain, const ReferenceFile& reference)
{
    VolumeF region = io::read_image_on(reference.file, chain.spec.acquisition.geometry, "the scan");
    return reference.labels.empty() ? std::move(region) : inversion::region_of_labels(region, reference.labels);
}

}  // namespace

std::optional<ReferenceFile> reference_file(const JobSpec& spec)
{
    const std::string& option = spec.options.reference;
    if (option == "mean" || option == "csf" || option == "none") return std::nullopt;
    const auto colon = option.rfind(':');
    if (colon != std::string::npos)
        if (auto labels = labels_in(std::string_view(option).substr(colon + 1)))
            return ReferenceFile{file_of(spec, option.substr(0, colon)), std::move(*labels)};
    return ReferenceFile{file_of(spec, option), {}};
}

bool needs_csf(const ChainOptions& options)
{
    return options.r2star != "off" && (options.reference == "csf" || resolved(options).inversion == "medi");
}

bool keeps_r2star(const ChainOptions& options) { return needs_csf(options) || (options.r2star != "off" && resolved(options).null_space == "on"); }

SharedMask find_csf(Chain& chain)
{
    const bool for_reference = chain.spec.options.reference == "csf";
    if (!chain.r2star_per_s || !chain.magnitude_rss) {
        if (for_reference) chain.warn("no R2* to find cerebrospinal fluid by: the mean of the mask is the reference");
        return nullptr;
    }
    Mask csf = inversion::csf_mask(*chain.r2star_per_s, *chain.magnitude_rss, *chain.mask);
    const std::size_t n = numerics::count(csf);
    const double millilitres = static_cast<double>(n) * chain.grid().voxel_mm3() / 1000.0;
    chain.note("csf_millilitres", millilitres);
    log::info(str("cerebrospinal fluid: ", millilitres, " ml"));
    if (n > 0) return std::make_shared<Mask>(std::move(csf));
    if (for_reference) chain.warn("no cerebrospinal fluid found: the mean of the mask is the reference");
    return nullptr;
}

ReferenceRegion::ReferenceRegion(Chain& chain, SharedMask csf) : kind_(chain.spec.options.reference)
{
    if (const auto reference = reference_file(chain.spec)) {
        kind_ = "file";
        region_ = read_region(chain, *reference);
    } else if (kind_ == "csf" && csf) {
        region_ = VolumeF(chain.grid());
        std::copy_n(csf->data(), region_.size(), region_.data());
    } else if (kind_ == "csf") {
        kind_ = "mean";  // find_csf() has warned
    }
}

void ReferenceRegion::apply(Chain& chain, VolumeF& chi_ppm, const Mask& mask, const VolumeF* weight) const
{
    std::optional<double> shift_ppm;
    if (!region_.empty()) {
        shift_ppm = inversion::set_reference(chi_ppm, mask, region_, weight);
        if (!shift_ppm) chain.warn("the reference region has no voxel in the map: the mean of the mask is the reference");
    }
    const char* used = kind_ == "csf" ? "csf" : "region";
    if (!shift_ppm) {
        const bool none = kind_ == "none";
        used = none ? "none" : "mean";
        shift_ppm = inversion::set_reference(chi_ppm, mask, none ? inversion::Reference::none : inversion::Reference::mean, weight);
    }
    chain.note(reference_note, used);
    if (std::string_view(used) == "mean") chain.note_used("reference", used);
    chain.notes[chain.stage]["reference_ppm"].push_back(*shift_ppm);
}

}  // namespace qsmpi::pipeline
