#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qsmpi/inversion/inversion.hpp"

namespace qsmpi::inversion {

/// Which field a method inverts: that of the sources inside the mask, or the whole one with background.
enum class Input { local_field, total_field };

/// Everything that a method may use; each takes what it needs.
struct Problem {
    const VolumeF* field_ppm = nullptr;        ///< required: the local field, or the total field for Input::total_field
    const Mask* mask = nullptr;                ///< required
    const VolumeF* weight = nullptr;           ///< trust in the field, about 1 / sigma: mean 1 in the mask, or 2 ppb / sigma; 0: unknown; null: all alike
    const VolumeF* sigma_ppm = nullptr;        ///< standard deviation of the field [ppm], infinite where unknown; null: not known
    const VolumeF* magnitude = nullptr;        ///< any unit; null: none
    const VolumeF* relative_residual = nullptr;  ///< of the field fit, [0, 1]; null: none
    Border border = Border::signal;            ///< what to expect there, for methods with a guide
    const Mask* csf_mask = nullptr;            ///< cerebrospinal fluid, for methods that hold it at one value; null: not known
    UnitVector b0_direction_ijk{0.0, 0.0, 1.0};
    double radians_per_ppm = 0.0;              ///< phase of 1 ppm at the effective echo time, for nonlinear methods; 0: theirs
    double lambda = 0.0;                       ///< strength of the regularisation in the method's unit; 0: its default
    Observer observer{};
};

/// For the rows: the result with the strength that it was made with.
[[nodiscard]] inline Result with_lambda(Result result, double lambda)
{
    result.lambda = lambda;
    return result;
}

/// A row of the registry. Each method's source file defines its own.
struct Method {
    std::string_view name;
    std::string_view help;        ///< one line
    std::string_view parameters;  ///< the defaults as text
    std::string_view sentence;    ///< for a paper's methods section
    std::string_view citation;
    Input input = Input::local_field;
    Result (*run)(const Problem& problem);
    std::string_view sentence_without_edges{};  ///< where the magnitude is not known or not to be looked at; empty: the same
};

/// All methods; the first is the default.
[[nodiscard]] std::span<const Method* const> methods();
[[nodiscard]] std::vector<std::string> method_names();
/// The method of this name; "default" is the first.
/// @throws InputError naming all methods and the nearest name
[[nodiscard]] const Method& method(std::string_view name);

}  // namespace qsmpi::inversion
