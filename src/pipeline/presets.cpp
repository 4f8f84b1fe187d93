// The presets: what each says of the chain, as data. `qsmpi presets` prints them.
#include <algorithm>
#include <string>
#include <vector>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/pipeline/options.hpp"

namespace qsmpi::pipeline {
namespace {

// gre, epi, bet, fast and body are the names that users of QSMxT know; they choose what comes nearest to it here.
constexpr Preset table[] = {
    {"default", "the defaults: heads, gradient echo, one or several echoes", R"({})"},

    {"accurate", "the least error on heads, at several times the cost", R"({
        "background_rounds": 25
    })"},

    {"robust", "lesions, haemorrhage, calcification: nothing is taken off the mask, and rounds enough for strong sources", R"({
        "mask": "compact",
        "background_rounds": 18
    })"},

    {"gre", "3-D gradient echo: mask from the phase", R"({
        "mask": "quality",
        "mask_erosion_mm": 2
    })"},

    {"epi", "3-D echo planar imaging: stricter mask from phase and magnitude", R"({
        "mask_erosion_mm": 3
    })"},

    {"bet", "mask inside the surface of the brain in the magnitude", R"({
        "mask": "bet, fill",
        "mask_erosion_mm": 1
    })"},

    {"fast", "a look at the data in the least time: two rounds of background removal, RTS", R"({
        "field_map": "average",
        "background_rounds": 2,
        "inversion": "rts",
        "null_space": "off",
        "r2star": "off"
    })"},

    {"body", "not a brain: mask from the phase by a fixed threshold, no anatomical step", R"({
        "mask": "quality 0.25, largest, fill",
        "mask_erosion_mm": 3,
        "null_space": "off"
    })"},
};

}  // namespace

std::span<const Preset> presets() { return table; }

const Preset& preset(const std::string& name)
{
    std::vector<std::string> names;
    std::string list;
    for (const Preset& p : table) {
        if (name == p.name) return p;
        names.emplace_back(p.name);
        list += (list.empty() ? "" : ", ") + names.back();
    }
    const std::string near = nearest_word(name, names);
    throw InputError(str("preset: '", name, "' is not one of ", list, near.empty() ? "" : "; did you mean '" + near + "'?"));
}

}  // namespace qsmpi::pipeline
