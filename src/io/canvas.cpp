#include "canvas.hpp"

#include <span>
#include <string>

#include <png.h>

#include "font.hpp"
#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"

namespace qsmpi::io
{

int text_width(std::string_view words, int scale)
{
    return words.empty() ? 0 : (static_cast<int>(words.size()) * (glyph_width + 1) - 1) * scale;
}

void Canvas::fill(int x, int y, int width, int height, std::uint8_t grey)
{
    for (int j = y; j < y + height; ++j) {
        for (int i = x; i < x + width; ++i) set(i, j, grey);
    }
}

void Canvas::text(int x, int y, std::string_view words, int scale, std::uint8_t grey)
{
    for (const char letter : words) {
        const char known = letter >= ' ' && letter <= '~' ? letter : '?';
        const std::uint64_t dots = glyphs[static_cast<std::size_t>(known - ' ')];
        for (int j = 0; j < glyph_height; ++j) {
            for (int i = 0; i < glyph_width; ++i) {
                const int bit = glyph_width * glyph_height - 1 - (j * glyph_width + i);
                if ((dots >> bit & 1u) != 0) fill(x + i * scale, y + j * scale, scale, scale, grey);
            }
        }
        x += (glyph_width + 1) * scale;
    }
}

void Canvas::write_png(const std::filesystem::path& file) const
{
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    image.width = static_cast<png_uint_32>(width_);
    image.height = static_cast<png_uint_32>(height_);
    image.format = PNG_FORMAT_GRAY;
    std::string content(PNG_IMAGE_PNG_SIZE_MAX(image), '\0');
    png_alloc_size_t size = content.size();
    const int ok = png_image_write_to_memory(&image, content.data(), &size, 0, pixels_.data(), 0, nullptr);
    if (ok == 0) throw IoError(str("cannot make the picture ", file.string(), ": ", image.message));
    write_file_atomic(file, std::string_view(content).substr(0, size));
}

}  // namespace qsmpi::io
