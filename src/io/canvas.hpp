#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <vector>

namespace qsmpi::io
{

/// A grey picture under construction; what is drawn outside is cut off.
class Canvas
{
public:
    Canvas(int width, int height)
        : width_(width),
          height_(height),
          pixels_(static_cast<std::size_t>(width) * static_cast<std::size_t>(height))
    {
    }
    [[nodiscard]] int width() const { return width_; }
    [[nodiscard]] int height() const { return height_; }
    void set(int x, int y, std::uint8_t grey)
    {
        if (x >= 0 && y >= 0 && x < width_ && y < height_) pixels_[index(x, y)] = grey;
    }
    [[nodiscard]] std::uint8_t at(int x, int y) const { return pixels_[index(x, y)]; }
    void fill(int x, int y, int width, int height, std::uint8_t grey);
    /// Top left corner at (x, y); each dot is `scale` pixels. Characters that are not ASCII become '?'.
    void text(int x, int y, std::string_view words, int scale, std::uint8_t grey);
    /// 8-bit grey PNG without time stamp, written atomically.
    void write_png(const std::filesystem::path& file) const;

private:
    [[nodiscard]] std::size_t index(int x, int y) const
    {
        return static_cast<std::size_t>(y) * static_cast<std::size_t>(width_) + static_cast<std::size_t>(x);
    }
    int width_, height_;
    std::vector<std::uint8_t> pixels_;
};

/// Width in pixels of `words` at a scale.
[[nodiscard]] int text_width(std::string_view words, int scale);

}  // namespace qsmpi::io
