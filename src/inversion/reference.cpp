#include "qsmpi/inversion/reference.hpp"

#include <string_view>

#include "qsmpi/core/parallel.hpp"

namespace qsmpi::inversion {
namespace {

struct Sum {
    double chi = 0.0;
    std::size_t n = 0;
    Sum& operator+=(const Sum& other)
    {
        chi += other.chi;
        n += other.n;
        return *this;
    }
};

}  // namespace

double set_reference(VolumeF& chi_ppm, const Mask& mask, Reference reference, const VolumeF* weight)
{
    require_same_grid(chi_ppm, mask, "set_reference: map and mask");
    if (weight != nullptr) require_same_grid(chi_ppm, *weight, "set_reference: map and weight");
    double shift_ppm = 0.0;
    if (reference == Reference::mean) {
        const Sum sum = parallel::sum_blocks<Sum>(chi_ppm.size(), [&](std::size_t begin, std::size_t end) {
            Sum part;
            for (std::size_t i = begin; i < end; ++i) {
                if (mask[i] == 0 || (weight != nullptr && (*weight)[i] == 0.0F)) continue;
                part.chi += static_cast<double>(chi_ppm[i]);
                ++part.n;
            }
            return part;
        });
        if (sum.n > 0) shift_ppm = sum.chi / static_cast<double>(sum.n);
    }
    const auto shift = static_cast<float>(shift_ppm);
    parallel::for_blocks(chi_ppm.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) chi_ppm[i] = mask[i] != 0 ? chi_ppm[i] - shift : 0.0F;
    });
    return shift_ppm;
}

Reference reference_from(const char* name)
{
    const std::string_view word = name;
    require(word == "none" || word == "mean", str("reference '", word, "' is unknown; expected none or mean"));
    return word == "mean" ? Reference::mean : Reference::none;
}

}  // namespace qsmpi::inversion
