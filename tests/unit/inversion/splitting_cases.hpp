#pragma once
#include <string>
#include <vector>

#include "inversion_cases.hpp"
#include "qsmpi/inversion/hdqsm.hpp"
#include "qsmpi/inversion/l1.hpp"
#include "qsmpi/inversion/nltv.hpp"
#include "qsmpi/inversion/star.hpp"
#include "qsmpi/inversion/whqsm.hpp"

/// The methods that share one ADMM, with defaults.
namespace qsmpi::test {

struct SplittingMethod {
    std::string name;
    std::function<inversion::Result(const VolumeF& field, const Mask& mask, const UnitVector& b,
                                    const VolumeF* weight)> run;

    [[nodiscard]] inversion::Result operator()(const VolumeF& field, const Mask& mask, const UnitVector& b) const
    {
        return run(field, mask, b, nullptr);
    }
};

inline std::vector<SplittingMethod> splitting_methods()
{
    using namespace qsmpi::inversion;
    return {
        {"nltv", [](auto& f, auto& m, auto& b, auto* w) { return nltv(f, m, b, {}, w); }},
        {"l1", [](auto& f, auto& m, auto& b, auto* w) { return l1(f, m, b, {}, w); }},
        {"hdqsm", [](auto& f, auto& m, auto& b, auto* w) { return hdqsm(f, m, b, {}, w); }},
        {"whqsm", [](auto& f, auto& m, auto& b, auto* w) { return whqsm(f, m, b, {}, w); }},
        {"star", [](auto& f, auto& m, auto& b, auto* w) { return star(f, m, b, {}, w); }},
    };
}

}  // namespace qsmpi::test
