// From tree and volumes to a mask.
#include <utility>

#include "qsmpi/core/parallel.hpp"
#include "qsmpi/mask/bias.hpp"
#include "qsmpi/mask/decay.hpp"
#include "qsmpi/mask/expression.hpp"
#include "qsmpi/mask/holes.hpp"
#include "qsmpi/mask/surface.hpp"
#include "qsmpi/mask/threshold.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "words.hpp"

namespace qsmpi::mask {
namespace {

// What the border of the field of view cuts off counts as continuing: it is no edge of the object.
constexpr bool border_is_outside = false;

template <typename Join>
void join(Mask& a, const Mask& b, Join&& keep)
{
    parallel::for_blocks(a.size(), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) a[i] = keep(a[i] != 0, b[i] != 0) ? 1 : 0;
    });
}

class Evaluation {
public:
    explicit Evaluation(const Inputs& inputs) : in_(inputs) {}

    Mask recipe_or(const Node& node)
    {
        const Source& s = node.source;
        const bool alone = node.kind == NodeKind::source && s.parameter == 0.0;
        if (alone && s.kind == SourceKind::quality) return noted(to_text(s), brain_mask(quality(s), VolumeF(), in_.brain));
        if (alone && s.kind == SourceKind::magnitude)
            return noted(to_text(s), numerics::fill_holes(numerics::largest_component(robust_threshold(magnitude(s)))));
        return of(node);
    }

    [[nodiscard]] std::vector<Part> parts() && { return std::move(parts_); }

private:
    Mask of(const Node& node)
    {
        if (node.kind == NodeKind::source) return noted(to_text(node.source), of(node.source));
        Mask mask = of(node.operands.front());
        for (std::size_t i = 1; i < node.operands.size(); ++i) {
            const Mask other = of(node.operands[i]);
            if (node.kind == NodeKind::both) join(mask, other, [](bool a, bool b) { return a && b; });
            if (node.kind == NodeKind::either) join(mask, other, [](bool a, bool b) { return a || b; });
            if (node.kind == NodeKind::without) join(mask, other, [](bool a, bool b) { return a && !b; });
        }
        if (node.kind == NodeKind::inverse) join(mask, mask, [](bool a, bool) { return !a; });
        if (node.kind != NodeKind::shaped) return noted(to_text(node), std::move(mask));
        for (const Step& step : node.steps) mask = noted(to_text(step), after(mask, step));
        return mask;
    }

    Mask of(const Source& s)
    {
        switch (s.kind) {
            case SourceKind::automatic: {
                Mask mask = brain(s);
                return in_.r2star_per_s != nullptr ? without_fast_rim(mask, *in_.r2star_per_s) : std::move(mask);
            }
            case SourceKind::compact: return brain(s);
            case SourceKind::quality:
                return quality_threshold(quality(s), s.parameter != 0.0 ? s.parameter : in_.brain.quality_threshold);
            case SourceKind::magnitude:
            case SourceKind::robust: return robust_threshold(magnitude(s), factor(s));
            case SourceKind::otsu: return otsu_threshold(magnitude(s), factor(s));
            case SourceKind::gaussian: return mixture_threshold(magnitude(s));
            case SourceKind::corrected: return corrected_threshold(magnitude(s), factor(s));
            case SourceKind::bet: {
                SurfaceOptions options;
                if (s.parameter != 0.0) options.fractional_intensity = s.parameter;
                return brain_surface(magnitude(s), options).mask;
            }
            case SourceKind::signal: return positive(magnitude(s));
            case SourceKind::all: return Mask(in_.grid, 1);
            case SourceKind::file: break;
        }
        QSMPI_ASSERT(in_.read_file != nullptr);
        Mask mask = in_.read_file(s.file);
        require(mask.dims() == in_.grid.dims, str("mask: ", s.file, " lies on another grid"));
        return mask;
    }

    [[nodiscard]] Mask brain(const Source& s) const
    {
        const VolumeF none;
        return brain_mask(quality(s), in_.magnitude != nullptr ? *in_.magnitude : none, in_.brain);
    }

    static Mask after(const Mask& mask, const Step& step)
    {
        switch (step.kind) {
            case StepKind::fill: return fill(mask, step.amount);
            case StepKind::patch: return patch(mask);
            case StepKind::erode: return numerics::erode(mask, step.amount, border_is_outside);
            case StepKind::peel: return peel(mask, step.amount);
            case StepKind::dilate: return numerics::dilate(mask, step.amount);
            case StepKind::open: return numerics::open(mask, step.amount);
            case StepKind::close: return numerics::close(mask, step.amount);
            case StepKind::smooth: return smooth(mask, step.amount);
            case StepKind::largest: break;
        }
        return numerics::largest_component(mask);
    }

    static Mask positive(const VolumeF& magnitude)
    {
        Mask mask(magnitude.grid());
        parallel::for_blocks(mask.size(), [&](std::size_t begin, std::size_t end) {
            for (std::size_t i = begin; i < end; ++i) mask[i] = magnitude[i] > 0.0f ? 1 : 0;
        });
        return mask;
    }

    static double factor(const Source& s) { return s.parameter != 0.0 ? s.parameter : 1.0; }

    const VolumeF& quality(const Source& s) const
    {
        require(in_.quality != nullptr, str("mask: '", to_text(s), "' needs the phase (--phase), and there is none: use 'robust'"));
        return *in_.quality;
    }
    const VolumeF& magnitude(const Source& s) const
    {
        require(in_.magnitude != nullptr, str("mask: '", to_text(s), "' needs a magnitude, and the scan has none: use 'quality'"));
        return *in_.magnitude;
    }

    Mask noted(std::string text, Mask mask)
    {
        parts_.push_back({std::move(text), numerics::count(mask)});
        return mask;
    }

    const Inputs& in_;
    std::vector<Part> parts_;
};

}  // namespace

std::string describe(const std::vector<Part>& parts)
{
    std::string text;
    for (const Part& part : parts) text += str(text.empty() ? "" : "; ", part.text, ": ", part.voxels, " voxels");
    return text;
}

Evaluated evaluate(const Node& expression, const Inputs& inputs)
{
    Evaluation evaluation(inputs);
    Mask mask = evaluation.recipe_or(expression);
    return {std::move(mask), std::move(evaluation).parts()};
}

}  // namespace qsmpi::mask
