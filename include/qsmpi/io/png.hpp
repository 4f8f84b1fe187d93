#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "qsmpi/core/volume.hpp"
#include "qsmpi/io/geometry.hpp"

namespace qsmpi::io
{

/// How values become grey (or colour) levels.
struct Window {
    double low = -0.1, high = 0.1;
    std::string unit = "ppm";
};

/// Axial, coronal and sagittal slice through `centre` (voxels), oriented by the affine (radiological: left is
/// right), true proportions for anisotropic voxels, scale bar with unit, title. Atomic.
void write_three_planes_png(const std::filesystem::path& file, const VolumeF& volume,
                            const Geometry& geometry, const Dims& centre, const Window& window,
                            const std::string& title);

/// One cell per item: its three planes or, without a volume, a note in their place. For the group: many maps on one sheet.
struct SheetItem {
    const VolumeF* volume = nullptr;
    const Geometry* geometry = nullptr;
    Dims centre{};
    std::string title{};
    std::string note{};
};
void write_contact_sheet_png(const std::filesystem::path& file, const std::vector<SheetItem>& items,
                             const Window& window);

}  // namespace qsmpi::io
