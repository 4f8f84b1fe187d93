#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qsmpi/background/source_separation.hpp"

namespace qsmpi::background {

/// Everything that a method may use; each takes what it needs.
struct Problem {
    const VolumeF* total_field_ppm = nullptr;  ///< required
    const Mask* mask = nullptr;                ///< required
    const VolumeF* sigma_ppm = nullptr;        ///< standard deviation of the field [ppm], infinite where it is unknown; null: even
    const VolumeF* magnitude = nullptr;        ///< any unit; null: none
    const VolumeF* relative_residual = nullptr;  ///< of the field fit, [0, 1]; null: none
    bool holds_coil_phase = false;             ///< the field does: one echo, or it was not to be removed
    UnitVector b0_direction_ijk{0.0, 0.0, 1.0};
    InnerInversion inner{};                    ///< for methods that alternate with an inversion; null: they do not
    int rounds = 0;                          ///< of methods that alternate with an inversion; 0: their default
    double max_radius_mm = 0.0;                ///< largest ball of the methods that use spherical means; 0: their own
};

/// A row of the registry. Each method's source file defines its own.
struct Method {
    std::string_view name;
    std::string_view help;        ///< one line
    std::string_view parameters;  ///< the defaults as text
    std::string_view sentence;    ///< for a paper's methods section
    std::string_view citation;
    LocalField (*run)(const Problem& problem);
    /// Whether remove_weak_harmonics() brings the local field nearer to the truth, as measured on a simulated head.
    bool leaves_harmonics = false;
    /// Whether so little background is left that the inversion does best not to look for its sources by the edges of the magnitude
    /// beyond the mask, as measured on a simulated head.
    bool leaves_little = false;
    bool takes_radius = false;  ///< whether it looks at Problem::max_radius_mm
    bool takes_rounds = false;  ///< whether it looks at Problem::rounds
};

/// Name of the method that leaves the field as it is: for inversions of the total field.
inline constexpr std::string_view no_removal = "none";

/// All methods; the first is the default.
[[nodiscard]] std::span<const Method* const> methods();
[[nodiscard]] std::vector<std::string> method_names();
/// The method of this name; "default" is the first.
/// @throws InputError naming all methods and the nearest name
[[nodiscard]] const Method& method(std::string_view name);

}  // namespace qsmpi::background
