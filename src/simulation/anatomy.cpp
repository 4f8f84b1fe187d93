#include "anatomy.hpp"

#include <cmath>
#include <vector>

#include "qsmpi/core/units.hpp"
#include "qsmpi/core/vector.hpp"
#include "random.hpp"

namespace qsmpi::simulation {
namespace {

using enum Tissue;
using namespace vector;
using Axes = std::array<Vec3, 3>;

constexpr std::array<TissueValues, n_tissues> typical_values{{
    {air_chi_ppm, 0, 0, 0},          // background
    {0.02, 2, 0.9, 0.2},             // csf
    {0.03, 28, 0.9, 0.58},           // grey matter
    {-0.03, 33, 0.78, 0.9},          // white matter
    {0.06, 42, 0.82, 0.62},          // caudate
    {0.055, 48, 0.82, 0.65},         // putamen
    {0.14, 85, 0.74, 0.8},           // pallidum
    {0.02, 38, 0.82, 0.72},          // thalamus
    {0.11, 70, 0.76, 0.8},           // red nucleus
    {0.125, 78, 0.76, 0.78},         // substantia nigra
    {0.10, 70, 0.76, 0.8},           // dentate
    {0.30, 95, 0.85, 0.4},           // blood
    {-1.5, 60, 0.3, 0.3},            // calcification
    {0.6, 140, 0.6, 0.6},            // bleed
    {air_chi_ppm, 400, 0.005, 0.01}, // air
    {-2.1, 300, 0.06, 0.12},         // bone
    {0.0, 40, 0.7, 0.5},             // muscle
}};

/// How strongly the iron of a tissue follows age.
constexpr std::array<double, n_tissues> iron_share{0, 0, 0, 0, 1, 1, 1, 0.3, 1, 1, 1};

Vec3 unit(const Vec3& a) { return 1.0 / std::sqrt(dot(a, a)) * a; }

/// Axes turned by an angle about x (nod), y (tilt) or z (turn).
Axes turned(std::size_t axis, double degrees)
{
    const double c = std::cos(degrees * units::pi / 180.0), s = std::sin(degrees * units::pi / 180.0);
    const std::size_t j = (axis + 1) % 3, k = (axis + 2) % 3;
    Axes m{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}};
    m[j][j] = m[k][k] = c;
    m[j][k] = s;
    m[k][j] = -s;
    return m;
}

constexpr Axes straight{Vec3{1, 0, 0}, Vec3{0, 1, 0}, Vec3{0, 0, 1}};
constexpr std::uint32_t soft = bit(muscle) | bit(bone);
constexpr std::uint32_t brain_tissue = bit(grey_matter) | bit(white_matter);
constexpr std::uint32_t brain_or_csf = brain_tissue | bit(csf);

/// Adds shapes given in the reference subject's frame: x to one side, y to the front, z up, 0 amid the head.
class Builder {
public:
    Builder(Scene& scene, int subject, std::uint64_t seed)
        : scene_(scene), random_(stream_of(seed, 100 + static_cast<std::uint64_t>(subject)))
    {
        if (subject == 1) return;
        for (double& s : scale_) s = random_.uniform(0.95, 1.04);
        for (std::size_t axis = 0; axis < 3; ++axis) {
            const Axes turn = turned(axis, random_.uniform(-3.5, 3.5));
            for (Vec3& v : frame_) v = {dot(turn[0], v), dot(turn[1], v), dot(turn[2], v)};
        }
        position_mm_ = 0.8;
        size_ = 0.06;
    }

    [[nodiscard]] Vec3 place(const Vec3& p) const
    {
        const Vec3 q{scale_[0] * p[0], scale_[1] * p[1], scale_[2] * p[2]};
        return q[0] * frame_[0] + q[1] * frame_[1] + q[2] * frame_[2];
    }

    void add(Tissue tissue, std::uint32_t over, const Vec3& centre, const Vec3& half, const Axes& axes = straight)
    {
        put(tissue, over, centre, half, axes, 0.0, 0.0, false);
    }
    void add_brain(Tissue tissue, std::uint32_t over, const Vec3& centre, const Vec3& half, const Axes& axes = straight)
    {
        put(tissue, over, centre, half, axes, 0.0, 0.0, true);
    }
    /// One on each side, each varied by itself; axes are those of the positive side.
    void add_pair(Tissue tissue, std::uint32_t over, const Vec3& centre, const Vec3& half, const Axes& axes = straight)
    {
        for (const double side : {1.0, -1.0}) {
            // The mirror image: x of the centre and of every axis changes sign (an axis has no direction).
            Axes mirrored = axes;
            for (Vec3& v : mirrored) v[0] *= side;
            put(tissue, over, {side * centre[0], centre[1], centre[2]}, half, mirrored, position_mm_, size_, false);
        }
    }
    void add_tube(const std::vector<Vec3>& path, double radius_mm, std::uint32_t over)
    {
        std::vector<Vec3> placed;
        for (const Vec3& p : path) placed.push_back(place(p));
        scene_.add_tube(placed, radius_mm, blood, over);
    }
    [[nodiscard]] Random& random() { return random_; }

private:
    void put(Tissue tissue, std::uint32_t over, const Vec3& centre, const Vec3& half, const Axes& axes,
             double position_mm, double size, bool brain)
    {
        Ellipsoid e;
        Vec3 moved = centre;
        for (std::size_t i = 0; i < 3; ++i) {
            moved[i] += random_.uniform(-position_mm, position_mm);
            double along = 0.0;  // how much the head's scale stretches this axis
            for (std::size_t j = 0; j < 3; ++j) along += axes[i][j] * axes[i][j] * scale_[j];
            e.half_axes_mm[i] = half[i] * along * (1.0 + random_.uniform(-size, size));
            e.axes[i] = axes[i][0] * frame_[0] + axes[i][1] * frame_[1] + axes[i][2] * frame_[2];
        }
        e.centre_mm = place(moved);
        e.tissue = tissue;
        e.over = over;
        e.brain = brain;
        scene_.add(e);
    }

    Scene& scene_;
    Random random_;
    Vec3 scale_{1, 1, 1};
    Axes frame_ = straight;  ///< images of the unit vectors
    double position_mm_ = 0.0, size_ = 0.0;
};

constexpr Vec3 cerebrum_centre{0, -2, 20}, cerebrum_half{60, 77, 54};

void add_skull(Builder& b)
{
    b.add(muscle, bit(background), {0, -2, 0}, {76, 95, 87});
    b.add(muscle, bit(background), {0, 56, -50}, {46, 40, 40});   // face
    b.add(muscle, bit(background), {0, -14, -66}, {50, 52, 24});  // neck
    b.add(bone, bit(muscle), {0, -4, 10}, {69, 86, 74});
    b.add(csf, bit(bone), {0, -4, 10}, {63.5, 80.5, 68.5});
    b.add(muscle, bit(csf) | bit(bone), {0, 42, -46}, {54, 50, 34});  // base of the skull, in front
    b.add(bone, bit(csf), {0, -10, -58}, {60, 70, 16});               // and below
    b.add_pair(air, soft, {8, 82, 8}, {8, 5, 9});                     // frontal sinus
    b.add(air, soft, {0, 40, -38}, {11, 14, 8});                      // sphenoid and ethmoid
    b.add(air, soft, {0, 74, -48}, {9, 20, 18});                      // nose
    b.add_pair(air, soft, {64, -14, -28}, {17, 3.5, 3.5});            // ear canal
    b.add_pair(air, soft, {58, -26, -34}, {7, 8, 8});                 // mastoid cells
}

/// A fold of the cortex: a flat disc of grey matter with a film of fluid amid.
void add_fold(Builder& b, const Vec3& centre, const Axes& axes, const Vec3& half, double film_mm)
{
    b.add(grey_matter, bit(white_matter), centre, {half[0] + 2.5, half[1] + 2.5, film_mm + 3.2}, axes);
    b.add(csf, brain_tissue, centre, {half[0], half[1], film_mm}, axes);
}

void add_cortex(Builder& b)
{
    b.add_brain(grey_matter, bit(csf) | bit(muscle) | bit(bone), {0, -40, -30}, {46, 34, 25});  // cerebellum
    b.add(white_matter, bit(grey_matter), {0, -40, -30}, {38, 26, 17});
    b.add_brain(white_matter, ~std::uint32_t{0}, {0, -18, -32}, {13, 12, 34}, turned(0, 12));    // brain stem
    b.add_brain(grey_matter, ~bit(air), cerebrum_centre, cerebrum_half);
    b.add(white_matter, bit(grey_matter), cerebrum_centre, {56.5, 73.5, 50.5});

    // Folds on points spread evenly over the cortex (golden spiral), each turned by a fixed angle of its own.
    constexpr int n_folds = 90;
    for (int i = 0; i < n_folds; ++i) {
        const double height = 1.0 - 2.0 * (i + 0.5) / n_folds, angle = 2.39996323 * i;
        if (height < -0.55) continue;
        const double ring = std::sqrt(1.0 - height * height);
        const Vec3 direction{ring * std::cos(angle), ring * std::sin(angle), height};
        Vec3 point = cerebrum_centre, normal{};
        for (std::size_t k = 0; k < 3; ++k) {
            point[k] += cerebrum_half[k] * direction[k];
            normal[k] = direction[k] / cerebrum_half[k];
        }
        normal = unit(normal);
        const Vec3 other = std::abs(normal[0]) < 0.9 ? Vec3{1, 0, 0} : Vec3{0, 1, 0};
        const Vec3 u = unit(cross(normal, other)), v = cross(normal, u);
        const double turn = 1.7 * i;
        const Vec3 along = std::cos(turn) * u + std::sin(turn) * v;
        add_fold(b, point + -1.0 * normal, {normal, along, cross(normal, along)}, {11.0 + i % 4, 15.0, 0}, 0.9);
    }
    add_fold(b, {0, -2, 44}, {Vec3{0, 1, 0}, Vec3{0, 0, 1}, Vec3{1, 0, 0}}, {70, 29, 0}, 1.2);  // between the halves
    b.add(white_matter, brain_or_csf, {0, -2, 24}, {12, 36, 5});                              // corpus callosum
    b.add_pair(grey_matter, bit(white_matter), {36, 10, 10}, {3, 22, 14}, turned(2, 8));       // insula
}

void add_deep_grey(Builder& b)
{
    b.add_pair(csf, brain_tissue, {10, -4, 21}, {5, 30, 7}, turned(2, 7));      // lateral ventricle
    b.add_pair(csf, brain_tissue, {24, -36, 6}, {4, 14, 7}, turned(2, -20));    // its back horn
    b.add(csf, brain_tissue, {0, -6, 6}, {2, 12, 9});                          // third ventricle
    b.add(csf, brain_tissue, {0, -31, -24}, {6, 5, 9});                        // fourth ventricle
    b.add_pair(caudate, brain_or_csf, {15, 20, 18}, {4.5, 9, 8}, turned(2, 10));
    b.add_pair(caudate, brain_tissue, {19, 0, 26}, {2.8, 17, 3}, turned(2, 8));
    b.add_pair(putamen, brain_tissue, {27, 6, 11}, {4.5, 14, 9.5}, turned(2, 12));
    b.add_pair(pallidum, bit(white_matter), {19.5, 3, 8}, {3.6, 8.5, 6}, turned(2, 22));
    b.add_pair(thalamus, brain_tissue, {11, -12, 9}, {7.5, 13, 8.5}, turned(2, 20));
    b.add_pair(red_nucleus, bit(white_matter), {5.5, -13, -8}, {3.2, 3.6, 3.9});
    b.add_pair(substantia_nigra, bit(white_matter), {10, -8, -11}, {2.6, 5.5, 3}, turned(2, -30));
    b.add_pair(dentate, bit(white_matter), {15, -42, -29}, {6, 8, 3.4}, turned(2, 15));
}

/// A smooth random walk from `start`, a step of 0.4 mm at a time, until it leaves the cerebrum's core.
std::vector<Vec3> walk(Random& random, Vec3 point, Vec3 direction, double length_mm, double bend)
{
    constexpr double step_mm = 0.4;
    std::vector<Vec3> path;
    for (double s = 0.0; s < length_mm; s += step_mm) {
        double r = 0.0;
        for (std::size_t k = 0; k < 3; ++k) {
            const double q = (point[k] - cerebrum_centre[k]) / (cerebrum_half[k] - 1.5);
            r += q * q;
        }
        if (r > 1.0) break;
        path.push_back(point);
        for (double& d : direction) d += bend * random.normal();
        direction = unit(direction);
        point = point + step_mm * direction;
    }
    return path;
}

void add_vessels_and_lesions(Builder& b)
{
    Random& random = b.random();
    for (int i = 0; i < 90; ++i) {
        Vec3 start{};
        double r = 2.0;
        while (r > 0.9) {
            r = 0.0;
            for (std::size_t k = 0; k < 3; ++k) {
                const double q = random.uniform(-1.0, 1.0);
                start[k] = cerebrum_centre[k] + q * cerebrum_half[k];
                r += q * q;
            }
        }
        const Vec3 direction = unit({random.normal(), random.normal(), random.normal()});
        const double length_mm = random.uniform(12.0, 45.0);
        const auto path = walk(random, start, direction, length_mm, 0.12);
        b.add_tube(path, random.uniform(0.45, 0.95), brain_or_csf);
    }
    for (const double side : {-1.0, 1.0})  // internal cerebral veins
        b.add_tube(walk(random, {side * 2.5, 6, 16}, {side * 0.05, -1, -0.1}, 45.0, 0.02), 1.1, brain_or_csf);
    std::vector<Vec3> arc;  // superior sagittal sinus, over the brain from front to back
    for (double t = 0.15; t < 0.95; t += 0.004) {
        const double a = units::pi * t;
        arc.push_back({0, -4 + 78.0 * std::cos(a), 12 + 64.0 * std::sin(a)});
    }
    b.add_tube(arc, 2.6, bit(csf) | bit(bone));
    b.add(calcification, brain_or_csf | bit(blood), {-31, -28, 30}, {2.4, 2.4, 2.4});
    b.add(bleed, brain_or_csf | bit(blood), {34, 34, 32}, {2.2, 2.2, 2.2});
}

}  // namespace

Anatomy build_anatomy(int subject, std::uint64_t seed)
{
    Anatomy a{{}, typical_values};
    Builder builder(a.scene, subject, seed);
    if (subject != 1) {
        Random iron(stream_of(seed, 300 + static_cast<std::uint64_t>(subject)));
        const double growth = iron.uniform(-0.2, 0.25);
        for (std::size_t i = 0; i < n_tissues; ++i) {
            if (iron_share[i] <= 0.0) continue;
            a.values[i].chi_ppm *= 1.0 + iron_share[i] * growth;
            a.values[i].chi_ppm += 0.003 * iron.normal();
            a.values[i].r2star_7t_per_s *= 1.0 + 0.7 * iron_share[i] * growth;
        }
    }
    add_skull(builder);
    add_cortex(builder);
    add_deep_grey(builder);
    add_vessels_and_lesions(builder);
    return a;
}

Texture::Texture(const Lattice& lattice, std::uint64_t stream) : dims_(lattice.dims)
{
    Random random(stream);
    for (int axis = 0; axis < 3; ++axis) {
        auto& table = waves_[static_cast<std::size_t>(axis)];
        table.resize(dims_[axis] * n_waves);
        for (std::size_t w = 0; w < n_waves; ++w) {
            const double length_mm = 12.0 * std::pow(5.0, random.uniform(0.0, 1.0));
            const double phase = random.uniform(0.0, units::two_pi);
            // Products of three cosines have a mean square of 1/8; eight of them make a variance of 1/4 this way.
            const double amplitude = axis == 0 ? 0.5 : 1.0;
            for (std::size_t i = 0; i < dims_[axis]; ++i)
                table[i * n_waves + w] = static_cast<float>(
                    amplitude * std::cos(units::two_pi * lattice.at_mm(axis, i) / length_mm + phase));
        }
    }
}

void Texture::row(std::size_t y, std::size_t z, float* values) const
{
    std::array<float, n_waves> yz{};
    for (std::size_t w = 0; w < n_waves; ++w) yz[w] = waves_[1][y * n_waves + w] * waves_[2][z * n_waves + w];
    for (std::size_t x = 0; x < dims_.nx; ++x) {
        float sum = 0.0F;
        for (std::size_t w = 0; w < n_waves; ++w) sum += waves_[0][x * n_waves + w] * yz[w];
        values[x] = sum;
    }
}

}  // namespace qsmpi::simulation
