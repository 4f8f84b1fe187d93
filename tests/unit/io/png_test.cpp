#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include <png.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/file.hpp"
#include "qsmpi/io/png.hpp"
#include "volumes.hpp"

namespace qsmpi::io
{
namespace
{

struct Picture {
    int width = 0, height = 0;
    std::vector<std::uint8_t> grey;
    [[nodiscard]] int at(int x, int y) const
    {
        return grey[static_cast<std::size_t>(y) * static_cast<std::size_t>(width) +
                    static_cast<std::size_t>(x)];
    }
};

Picture decode(const std::string& file)
{
    png_image image{};
    image.version = PNG_IMAGE_VERSION;
    EXPECT_NE(png_image_begin_read_from_file(&image, file.c_str()), 0) << image.message;
    image.format = PNG_FORMAT_GRAY;
    Picture out{static_cast<int>(image.width), static_cast<int>(image.height), {}};
    out.grey.resize(PNG_IMAGE_SIZE(image));
    EXPECT_NE(png_image_finish_read(&image, nullptr, out.grey.data(), 0, nullptr), 0) << image.message;
    return out;
}

/// The body's own function, sampled on voxel axes that run along the given world axes with the given signs.
struct Stored {
    VolumeF volume;
    Geometry geometry;
    Dims centre;
};

double body(const Vec3& world_mm)  // world: right, front, up
{
    const double r2 = world_mm[0] * world_mm[0] + world_mm[1] * world_mm[1] + world_mm[2] * world_mm[2];
    const bool marker = std::abs(world_mm[0] - 20) < 4.5 && std::abs(world_mm[1] - 20) < 4.5 &&
                        std::abs(world_mm[2] - 20) < 4.5;
    return marker ? 0.1 : r2 < 12 * 12 ? 0.05 : 0.0;
}

Stored store(std::array<std::size_t, 3> world_of_axis, std::array<double, 3> signs, Vec3 step_mm,
             double size_mm = 63.0)
{
    Stored s;
    std::array<std::size_t, 3> n;
    for (std::size_t i = 0; i < 3; ++i) n[i] = static_cast<std::size_t>(std::lround(size_mm / step_mm[i]));
    s.geometry.grid = {{n[0], n[1], n[2]}, step_mm};
    s.geometry.sform_code = 1;
    for (std::size_t axis = 0; axis < 3; ++axis) {
        s.geometry.pixdim_mm[axis] = static_cast<float>(step_mm[axis]);
        s.geometry.sform[world_of_axis[axis]][axis] = static_cast<float>(signs[axis] * step_mm[axis]);
    }
    s.volume = VolumeF(s.geometry.grid);
    std::array<std::size_t, 3> centre{};
    for (std::size_t z = 0; z < n[2]; ++z) {
        for (std::size_t y = 0; y < n[1]; ++y) {
            for (std::size_t x = 0; x < n[0]; ++x) {
                const std::array<std::size_t, 3> index{x, y, z};
                Vec3 world{};
                for (std::size_t axis = 0; axis < 3; ++axis) {
                    world[world_of_axis[axis]] =
                        signs[axis] *
                        (static_cast<double>(index[axis]) - 0.5 * static_cast<double>(n[axis] - 1)) *
                        step_mm[axis];
                }
                s.volume(x, y, z) = static_cast<float>(body(world));
            }
        }
    }
    // The voxel nearest to 20 mm right, front and up: inside the marker, off the ball.
    for (std::size_t axis = 0; axis < 3; ++axis) {
        centre[axis] = static_cast<std::size_t>(
            std::lround(0.5 * static_cast<double>(n[axis] - 1) + signs[axis] * 20.0 / step_mm[axis]));
    }
    s.centre = {centre[0], centre[1], centre[2]};
    return s;
}

/// Middle of the pixels above a level in one panel.
std::array<double, 4> box_of(const Picture& p, int x0, int y0, int width, int height, int level)
{
    std::array<double, 4> box{1e9, -1, 1e9, -1};
    for (int y = y0; y < y0 + height; ++y) {
        for (int x = x0; x < x0 + width; ++x) {
            if (p.at(x, y) < level) continue;
            box = {std::min<double>(box[0], x - x0), std::max<double>(box[1], x - x0),
                   std::min<double>(box[2], y - y0), std::max<double>(box[3], y - y0)};
        }
    }
    return box;
}

constexpr int panel = 320, first_x = 8, first_y = 32, letters = 26;

TEST(Png, ShowsRightAtTheLeftFrontAndTopUp)
{
    const test::TemporaryFolder folder;
    const std::string file = folder.path() + "/new/a.png";
    const Stored s = store({0, 1, 2}, {1, 1, 1}, {1, 1, 1});
    write_three_planes_png(file, s.volume, s.geometry, s.centre, {.low = -0.1, .high = 0.1}, "");
    const Picture p = decode(file);
    // The marker is 20 of 63 mm from the middle towards right, front and up: at 160 - 101.6 pixels, 9 mm or
    // 46 pixels wide.
    const double near_edge = 160.0 - 20.0 / 63.0 * 320.0;
    for (int i = 0; i < 3; ++i) {
        const auto box = box_of(p, first_x + i * (panel + 8), first_y + letters, panel, panel - letters, 250);
        EXPECT_NEAR((box[0] + box[1]) / 2, near_edge, 2.0) << "panel " << i;
        EXPECT_NEAR((box[2] + box[3]) / 2 + letters, near_edge, 2.0) << "panel " << i;
    }
    // Zero is the middle of the window.
    EXPECT_EQ(p.at(first_x + 300, first_y + 300), 128);
}

TEST(Png, TheStorageOrderDoesNotShow)
{
    const test::TemporaryFolder folder;
    const std::string a = folder.path() + "/a.png", b = folder.path() + "/b.png";
    const Stored s = store({0, 1, 2}, {1, 1, 1}, {1, 1, 1});
    write_three_planes_png(a, s.volume, s.geometry, s.centre, {}, "title");
    const std::array<std::array<std::size_t, 3>, 3> orders{{{1, 2, 0}, {0, 2, 1}, {2, 1, 0}}};
    for (const auto& order : orders) {
        for (const auto& signs : {std::array<double, 3>{-1, 1, 1}, std::array<double, 3>{1, -1, -1}}) {
            const Stored other = store(order, signs, {1, 1, 1});
            write_three_planes_png(b, other.volume, other.geometry, other.centre, {}, "title");
            const Picture p = decode(a), q = decode(b);
            ASSERT_EQ(p.grey.size(), q.grey.size());
            int worst = 0;
            for (std::size_t i = 0; i < p.grey.size(); ++i)
                worst = std::max(worst, std::abs(p.grey[i] - q.grey[i]));
            EXPECT_LE(worst, 1) << "bilinear sums in another order may round to the next grey";
        }
    }
}

TEST(Png, ABallIsRoundWhateverTheVoxels)
{
    const test::TemporaryFolder folder;
    const std::string file = folder.path() + "/a.png";
    Stored s = store({0, 1, 2}, {1, 1, 1}, {1, 1.5, 3});
    s.centre = {31, 21, 10};  // through the ball of 12 mm radius
    write_three_planes_png(file, s.volume, s.geometry, s.centre, {.low = 0, .high = 0.04}, "");
    const Picture p = decode(file);
    for (int i = 0; i < 3; ++i) {
        const auto box = box_of(p, first_x + i * (panel + 8), first_y + letters, panel, panel - letters, 128);
        // 24 of 63 mm of 320 pixels is 122; a voxel of 3 mm is 15.
        EXPECT_NEAR(box[1] - box[0], 122, 10) << "panel " << i;
        EXPECT_NEAR(box[3] - box[2], 122, 16) << "panel " << i;
    }
}

TEST(Png, IsTheSameFileEachTimeAndSurvivesOddVolumes)
{
    const test::TemporaryFolder folder;
    const std::string file = folder.path() + "/a.png";
    Stored s = store({0, 1, 2}, {1, 1, 1}, {1, 1, 1}, 9);
    s.centre = {4, 4, 4};
    s.volume[0] = std::nanf("");
    s.volume[400] = INFINITY;
    write_three_planes_png(file, s.volume, s.geometry, s.centre, {}, std::string(500, 'W') + "\xc3\xa9");
    const std::string once = read_file(file);
    write_three_planes_png(file, s.volume, s.geometry, s.centre, {}, std::string(500, 'W') + "\xc3\xa9");
    EXPECT_EQ(read_file(file), once);
    EXPECT_THROW(write_three_planes_png(file, s.volume, s.geometry, {9, 0, 0}, {}, ""), InputError);
    EXPECT_THROW(write_three_planes_png(file, s.volume, s.geometry, s.centre, {.low = 1, .high = 1}, ""),
                 InputError);
}

TEST(Png, AContactSheetHoldsEveryItem)
{
    const test::TemporaryFolder folder;
    const std::string file = folder.path() + "/sheet.png";
    const Stored s = store({0, 1, 2}, {1, 1, 1}, {3, 3, 3});
    const auto height_of = [&](std::size_t n) {
        std::vector<SheetItem> items;
        for (std::size_t i = 0; i < n; ++i)
            items.push_back({&s.volume, &s.geometry, s.centre, "sub-" + std::to_string(i)});
        write_contact_sheet_png(file, items, {});
        return decode(file).height;
    };
    const int one = height_of(1), two = height_of(2), six = height_of(6), seven = height_of(7);
    EXPECT_EQ(six - two, 4 * (two - one));
    EXPECT_EQ(seven, height_of(4));  // two columns
    EXPECT_THROW(write_contact_sheet_png(file, {}, {}), InputError);
}

TEST(Png, AContactSheetSaysWhyAnItemHasNoVolume)
{
    const test::TemporaryFolder folder;
    const auto bright = [&](const std::string& note) {
        const std::string file = folder.path() + "/sheet.png";
        write_contact_sheet_png(file, {{.title = "sub-01: refused", .note = note}}, {});
        const auto picture = decode(file);
        return picture.grey.size() - static_cast<std::size_t>(std::count(picture.grey.begin(), picture.grey.end(), 0));
    };
    const std::size_t title = bright("");
    EXPECT_GT(bright("EchoTime = missing"), title);
    const std::string word(30, 'W');
    EXPECT_GT(bright(word + " " + word), bright(word) + 29 * (bright(word) - title) / 30) << "a second line";
    EXPECT_EQ(bright(std::string(5000, 'W')), bright(std::string(50000, 'W'))) << "what is cut off is not drawn elsewhere";
}

}  // namespace
}  // namespace qsmpi::io
