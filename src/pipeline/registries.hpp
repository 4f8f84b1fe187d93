#pragma once
#include <string>
#include <vector>

#include "chain.hpp"
#include "qsmpi/background/background.hpp"
#include "qsmpi/inversion/inversion.hpp"

/// The only door of the pipeline to the registries of background and inversion methods.
namespace qsmpi::pipeline {

[[nodiscard]] std::vector<std::string> background_names();
[[nodiscard]] std::vector<std::string> inversion_names();

/// The options with "default" replaced by the method that it stands for and the mask in its plainest form: what means the
/// same hashes the same.
[[nodiscard]] ChainOptions resolved(ChainOptions options);

/// Whether there is a local field: not with background "none", nor with an inversion of the total field.
[[nodiscard]] bool removes_background(const ChainOptions& options);

/// Which options of background removal the methods chosen look at.
struct BackgroundUse {
    bool total_field = false;  ///< the inversion starts from the total field: none
    bool radius = false, rounds = false;
};
[[nodiscard]] BackgroundUse background_use(const ChainOptions& options);

/// Runs the background method of the options on the field of one map, in the mask of the pass. Methods that need balls of
/// mask around each voxel would lose most of a mask with holes: the reliable pass has separation instead.
[[nodiscard]] background::LocalField remove_background(const Chain& chain, const MapState& map,
                                                       const VolumeF& total_field_ppm, Pass pass = Pass::filled);
/// Runs the inversion of the options on the local field and weight of one map.
/// @param csf  cerebrospinal fluid, for methods that hold it even; null: not known
[[nodiscard]] inversion::Result invert(const Chain& chain, const MapState& map, const Mask* csf = nullptr);

/// Adds what the registries say about the chosen background method and inversion.
/// @param sees_edges  whether the inversion is given the magnitude
void add_registry_methods(std::vector<Method>& methods, const ChainOptions& options, bool sees_edges);

}  // namespace qsmpi::pipeline
