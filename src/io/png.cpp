#include "qsmpi/io/png.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string_view>
#include <utility>

#include "canvas.hpp"
#include "font.hpp"
#include "qsmpi/core/error.hpp"

namespace qsmpi::io
{

namespace
{

constexpr std::uint8_t white = 255, grey_text = 200, black = 0;
constexpr int margin = 8, letter_scale = 2;
constexpr int line_height = glyph_height * letter_scale + margin;
constexpr int note_lines = 6;  ///< of a note there is room for, at least

/// Which voxel axis runs along a world axis, and which way.
struct Axis {
    int voxel_axis = 0;
    double sign = 1.0;
};

/// Voxel axes for world x (right), y (front), z (up): the assignment with the largest product of direction
/// cosines.
std::array<Axis, 3> world_axes(const Geometry& geometry)
{
    const Affine a = geometry.affine();
    std::array<int, 3> order{0, 1, 2}, best = order;
    double best_score = -1.0;
    do {
        double score = 1.0;
        for (std::size_t world = 0; world < 3; ++world) {
            const auto axis = static_cast<std::size_t>(order[world]);
            score *= std::abs(a[world][axis]) / std::hypot(a[0][axis], a[1][axis], a[2][axis]);
        }
        if (score > best_score) {
            best_score = score;
            best = order;
        }
    } while (std::next_permutation(order.begin(), order.end()));
    std::array<Axis, 3> out;
    for (std::size_t world = 0; world < 3; ++world) {
        const auto axis = static_cast<std::size_t>(best[world]);
        out[world] = {best[world], a[world][axis] < 0.0 ? -1.0 : 1.0};
    }
    return out;
}

/// One plane of the body: which world axes run to the right and down in the picture.
struct Plane {
    int across, down;  ///< world axes
    double across_sign, down_sign;
    const char *left, *right;  ///< what is at the edges
};
/// Radiological: the patient's right is at the left of the picture; sagittal slices look to the left.
constexpr std::array<Plane, 3> planes{
    {{0, 1, -1.0, -1.0, "R", "L"}, {0, 2, -1.0, -1.0, "R", "L"}, {1, 2, -1.0, -1.0, "A", "P"}}};

class Slicer
{
public:
    Slicer(const VolumeF& volume, const Geometry& geometry, const Dims& centre)
        : volume_(volume), axes_(world_axes(geometry)), centre_(centre)
    {
        require(!volume.empty() && volume.dims() == geometry.grid.dims,
                "picture: volume and geometry differ in shape");
        const Dims& d = volume.dims();
        require(centre.nx < d.nx && centre.ny < d.ny && centre.nz < d.nz,
                "picture: the centre is outside the volume");
    }

    [[nodiscard]] double extent_mm(int world) const
    {
        return static_cast<double>(count(world)) * voxel_mm(world);
    }

    /// Draws a plane with `mm_per_pixel` into the box, centred; the rest of the box stays as it is.
    void draw(Canvas& canvas, const Plane& plane, int x0, int y0, int width, int height, double mm_per_pixel,
              const Window& window) const
    {
        const int samples =
            std::clamp(static_cast<int>(
                           std::ceil(mm_per_pixel / std::min(voxel_mm(plane.across), voxel_mm(plane.down)))),
                       1, 8);
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                // The mean of a few points, so that small pictures of fine voxels do not shimmer.
                double sum = 0.0;
                int n = 0;
                for (int s = 0; s < samples * samples; ++s) {
                    const double u = x + (s % samples + 0.5) / samples, v = y + (s / samples + 0.5) / samples;
                    double value = 0.0;
                    if (!sample(plane, (u - 0.5 * width) * mm_per_pixel, (v - 0.5 * height) * mm_per_pixel,
                                value))
                        continue;
                    sum += value;
                    ++n;
                }
                if (n > 0) canvas.set(x0 + x, y0 + y, level(sum / n, window));
            }
        }
    }

    static std::uint8_t level(double value, const Window& window)
    {
        const double part = (value - window.low) / (window.high - window.low);
        return static_cast<std::uint8_t>(
            std::lround(255.0 * std::clamp(std::isfinite(part) ? part : 0.0, 0.0, 1.0)));
    }

private:
    [[nodiscard]] std::size_t count(int world) const { return volume_.dims()[axis(world).voxel_axis]; }
    [[nodiscard]] double voxel_mm(int world) const
    {
        return volume_.grid().voxel_mm[static_cast<std::size_t>(axis(world).voxel_axis)];
    }
    [[nodiscard]] const Axis& axis(int world) const { return axes_[static_cast<std::size_t>(world)]; }

    /// Bilinear value at an offset [mm] from the middle of the plane; false outside the volume.
    bool sample(const Plane& plane, double across_mm, double down_mm, double& value) const
    {
        std::array<std::size_t, 3> index{centre_.nx, centre_.ny, centre_.nz};
        std::array<std::size_t, 2> low{}, high{};
        std::array<double, 2> fraction{};
        const std::array<std::pair<int, double>, 2> moves{
            {{plane.across, across_mm * plane.across_sign}, {plane.down, down_mm * plane.down_sign}}};
        for (std::size_t k = 0; k < 2; ++k) {
            const auto [world, offset_mm] = moves[k];
            const double n = static_cast<double>(count(world));
            const double position = 0.5 * (n - 1.0) + axis(world).sign * offset_mm / voxel_mm(world);
            if (position < -0.5 || position > n - 0.5) return false;
            const double inside = std::clamp(position, 0.0, n - 1.0);
            low[k] = static_cast<std::size_t>(inside);
            high[k] = std::min(low[k] + 1, count(world) - 1);
            fraction[k] = inside - static_cast<double>(low[k]);
        }
        const auto a = static_cast<std::size_t>(axis(plane.across).voxel_axis),
                   d = static_cast<std::size_t>(axis(plane.down).voxel_axis);
        const auto at = [&](std::size_t i, std::size_t j) {
            index[a] = i;
            index[d] = j;
            return static_cast<double>(volume_(index[0], index[1], index[2]));
        };
        const double top = (1 - fraction[0]) * at(low[0], low[1]) + fraction[0] * at(high[0], low[1]);
        const double bottom = (1 - fraction[0]) * at(low[0], high[1]) + fraction[0] * at(high[0], high[1]);
        value = (1 - fraction[1]) * top + fraction[1] * bottom;
        return true;
    }

    const VolumeF& volume_;
    std::array<Axis, 3> axes_;
    Dims centre_;
};

/// "0.1", "-0.05": as short as the number allows.
std::string label_of(double value)
{
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

/// A bar from low to high with its numbers and unit, `width` wide and two text lines high.
void draw_scale(Canvas& canvas, int x0, int y0, int width, const Window& window)
{
    constexpr int bar_height = 12;
    for (int x = 0; x < width; ++x) {
        const double value = window.low + (window.high - window.low) * (x + 0.5) / width;
        canvas.fill(x0 + x, y0, 1, bar_height, Slicer::level(value, window));
    }
    for (const int x : {0, width - 1}) canvas.fill(x0 + x, y0, 1, bar_height, white);
    canvas.fill(x0, y0, width, 1, white);
    canvas.fill(x0, y0 + bar_height - 1, width, 1, white);

    const int y_text = y0 + bar_height + 4;
    const std::string low = label_of(window.low), high = label_of(window.high) + " " + window.unit;
    canvas.text(x0, y_text, low, letter_scale, white);
    canvas.text(x0 + width - text_width(label_of(window.high), letter_scale), y_text, high, letter_scale,
                white);
    if (window.low < 0.0 && window.high > 0.0) {
        const int x_zero =
            x0 + static_cast<int>(std::lround(-window.low / (window.high - window.low) * width));
        canvas.fill(x_zero, y0 + bar_height - 1, 1, 4, white);
        canvas.text(x_zero - text_width("0", letter_scale) / 2, y_text, "0", letter_scale, white);
    }
}
constexpr int scale_height = 12 + 4 + line_height;

/// Three panels side by side below a title, or a note.
struct Row {
    const SheetItem* item;
    std::optional<Slicer> slicer;
};

int panel_height(const Slicer& slicer, double mm_per_pixel)
{
    const double tallest_mm = std::max(slicer.extent_mm(1), slicer.extent_mm(2));
    return std::max(1, static_cast<int>(std::ceil(tallest_mm / mm_per_pixel)));
}

double mm_per_pixel_of(const Slicer& slicer, int panel)
{
    return std::max({slicer.extent_mm(0), slicer.extent_mm(1), slicer.extent_mm(2)}) / panel;
}

/// Letters from `text` on that fit into a line, broken after a space if there is one; "..." ends what is cut off.
std::string next_line(std::string_view& text, std::size_t width, bool last)
{
    if (text.size() <= width) return std::string(std::exchange(text, {}));
    if (last) return std::string(std::exchange(text, {}).substr(0, width - 3)) + "...";
    const auto space = text.substr(0, width + 1).rfind(' ');
    const std::size_t end = space == std::string_view::npos || space == 0 ? width : space;
    const std::string line(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), text[end] == ' ' ? end + 1 : end));
    return line;
}

void draw_row(Canvas& canvas, const Row& row, int x0, int y0, int panel, int height, const Window& window)
{
    const auto letters = static_cast<std::size_t>(3 * panel / ((glyph_width + 1) * letter_scale));
    canvas.text(x0, y0, row.item->title.substr(0, letters), letter_scale, white);
    if (!row.slicer) {
        std::string_view note = row.item->note;
        for (int y = line_height; !note.empty(); y += line_height)
            canvas.text(x0, y0 + y, next_line(note, letters, y + line_height > height), letter_scale, grey_text);
        return;
    }
    const double mm_per_pixel = mm_per_pixel_of(*row.slicer, panel);
    for (std::size_t i = 0; i < planes.size(); ++i) {
        const int x = x0 + static_cast<int>(i) * (panel + margin), y = y0 + line_height;
        row.slicer->draw(canvas, planes[i], x, y, panel, height, mm_per_pixel, window);
        const int x_right = x + panel - text_width(planes[i].right, letter_scale) - 3;
        for (const bool shadow : {true, false}) {  // to be read on white as well
            const int shift = shadow ? 5 : 3;
            const std::uint8_t grey = shadow ? black : grey_text;
            canvas.text(x + shift, y + shift, planes[i].left, letter_scale, grey);
            canvas.text(x_right + shift - 3, y + shift, planes[i].right, letter_scale, grey);
        }
    }
}

void write_sheet(const std::filesystem::path& file, const std::vector<SheetItem>& items, const Window& window,
                 int panel, int columns)
{
    require(window.high > window.low, str("picture: window ", window.low, " to ", window.high, " is empty"));
    require(!items.empty(), "picture: nothing to draw");
    std::vector<Row> rows;
    int height = 1;
    bool any_volume = false;
    for (const SheetItem& item : items) {
        if (item.volume == nullptr) {
            rows.push_back({&item, std::nullopt});
            height = std::max(height, note_lines * line_height);
            continue;
        }
        const Slicer& slicer = *rows.emplace_back(Row{&item, Slicer(*item.volume, *item.geometry, item.centre)}).slicer;
        height = std::max(height, panel_height(slicer, mm_per_pixel_of(slicer, panel)));
        any_volume = true;
    }
    const int n = static_cast<int>(rows.size()), n_lines = (n + columns - 1) / columns;
    const int cell_width = 3 * panel + 3 * margin, cell_height = line_height + height + margin;
    Canvas canvas(margin + columns * cell_width, margin + n_lines * cell_height + scale_height);
    for (int i = 0; i < n; ++i) {
        draw_row(canvas, rows[static_cast<std::size_t>(i)], margin + i % columns * cell_width,
                 margin + i / columns * cell_height, panel, height, window);
    }
    if (any_volume) draw_scale(canvas, margin + panel + margin, margin + n_lines * cell_height, panel, window);
    canvas.write_png(file);
}

}  // namespace

void write_three_planes_png(const std::filesystem::path& file, const VolumeF& volume,
                            const Geometry& geometry, const Dims& centre, const Window& window,
                            const std::string& title)
{
    constexpr int panel = 320;
    write_sheet(file, {{&volume, &geometry, centre, title}}, window, panel, 1);
}

void write_contact_sheet_png(const std::filesystem::path& file, const std::vector<SheetItem>& items,
                             const Window& window)
{
    constexpr int panel = 192;
    const int columns = items.size() <= 6 ? 1 : items.size() <= 24 ? 2 : 4;
    write_sheet(file, items, window, panel, columns);
}

}  // namespace qsmpi::io
