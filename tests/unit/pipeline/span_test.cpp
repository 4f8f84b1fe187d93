#include "qsmpi/pipeline/span.hpp"

#include <cmath>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/morphology.hpp"
#include "qsmpi/pipeline/job.hpp"
#include "tiny_scan.hpp"

namespace qsmpi::pipeline {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

/// Echoes and mask of the scan in memory, as a span from phase wants them.
SpanInput input_of(const test::TinyScan& scan, const Mask& mask)
{
    SpanInput input;
    io::Acquisition acquisition = scan.acquisition();
    input.geometry = acquisition.geometry;
    input.b0_tesla = acquisition.b0_tesla;
    for (const io::Echo& echo : acquisition.echoes) input.echo_times_s.push_back(echo.echo_time_s);
    for (io::EchoData& echo : io::read_echoes(acquisition)) {
        input.phase_rad.push_back(std::move(echo.phase_rad));
        input.magnitude.push_back(std::move(echo.magnitude));
    }
    input.mask = mask.clone();
    return input;
}

SpanInput field_input(const test::TinyScan& scan, const Mask& mask, VolumeF field_ppm)
{
    SpanInput input = input_of(scan, mask);
    input.phase_rad.clear();
    input.magnitude.clear();
    input.field_ppm = std::move(field_ppm);
    return input;
}

Mask head_of(const test::TinyScan& scan)
{
    Mask mask(scan.acquisition().geometry.grid);
    const Dims d = mask.dims();
    const auto from = [](std::size_t i, std::size_t n) { return static_cast<double>(i) - 0.5 * static_cast<double>(n - 1); };
    for (std::size_t z = 0; z < d.nz; ++z)
        for (std::size_t y = 0; y < d.ny; ++y)
            for (std::size_t x = 0; x < d.nx; ++x)
                mask(x, y, z) = std::hypot(from(x, d.nx), from(y, d.ny), from(z, d.nz)) < test::TinyScan::head_radius_mm - 1.0;
    return mask;
}

std::string refusal(const char* name, SpanInput input, const ChainOptions& options = {})
{
    try {
        (void)run_span(span(name), std::move(input), options);
    } catch (const InputError& e) {
        return e.what();
    }
    return "accepted";
}

bool equal(const VolumeF& a, const VolumeF& b)
{
    return a.dims() == b.dims() && std::equal(a.begin(), a.end(), b.begin());
}

}  // namespace

TEST(Span, EndToEndIsTheJobWithThatMask)
{
    const test::TinyScan scan;
    const JobSpec job = scan.job();
    ASSERT_EQ(run_job(job).state, "done");
    const std::filesystem::path base = job.output_dir / job.acquisition.folder() / job.acquisition.prefix();
    const Mask mask = io::read_mask(base.string() + "_mask.nii.gz");
    const VolumeF chi_ppm = io::read_image(base.string() + "_Chimap.nii.gz").data;

    ChainOptions options = job.options;
    options.mask_erosion_mm = 0.0;  // was done when the mask was made
    const SpanResult whole = run_span(span("end-to-end"), input_of(scan, mask), options);
    EXPECT_TRUE(equal(whole.volume_ppm, chi_ppm));
}

TEST(Span, StepsHandToEachOtherWhatTheirNamesSay)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    const ChainOptions options = scan.job().options;
    SpanResult field = run_span(span("field-mapping"), input_of(scan, head), options);
    EXPECT_TRUE(std::equal(head.begin(), head.end(), field.mask.begin())) << "the given mask is the mask";
    SpanResult local = run_span(span("bfr"), field_input(scan, head, field.volume_ppm.clone()), options);
    const SpanResult steps = run_span(span("dipole"), field_input(scan, local.mask, std::move(local.volume_ppm)), options);
    const SpanResult joined = run_span(span("bfr+dipole"), field_input(scan, head, std::move(field.volume_ppm)), options);
    double largest = 0.0;
    for (std::size_t i = 0; i < steps.volume_ppm.size(); ++i)
        largest = std::max(largest, static_cast<double>(std::abs(steps.volume_ppm[i] - joined.volume_ppm[i])));
    EXPECT_LT(largest, 1e-5) << "without sigma the steps are the span but for the rounding of ppm to Hz";
}

TEST(Span, MagnitudeWeighsAGivenField)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    ChainOptions options = scan.job().options;
    options.inversion = "tv";
    const VolumeF field_ppm = run_span(span("unwrap+bfr"), input_of(scan, head), options).volume_ppm;
    SpanInput with = field_input(scan, head, field_ppm.clone());
    with.magnitude = input_of(scan, head).magnitude;
    const SpanResult weighted = run_span(span("dipole"), std::move(with), options);
    const SpanResult even = run_span(span("dipole"), field_input(scan, head, field_ppm.clone()), options);
    EXPECT_FALSE(equal(weighted.volume_ppm, even.volume_ppm));
}

// Most programs write 0 where they have no field. Taken for data, it would spoil the map.
TEST(Span, NothingIsLearntFromAFieldThatIsZeroBeyondTheMask)
{
    const test::TinyScan scan;
    const Mask mask = numerics::erode(head_of(scan), 3.0);  // so that there is signal beyond
    const ChainOptions options;
    const VolumeF field_ppm = run_span(span("field-mapping"), input_of(scan, head_of(scan)), options).volume_ppm;
    const auto map = [&](float beyond_ppm) {
        SpanInput input = field_input(scan, mask, field_ppm.clone());
        input.magnitude = input_of(scan, mask).magnitude;
        for (std::size_t i = 0; i < mask.size(); ++i)
            if (mask[i] == 0) input.field_ppm[i] = beyond_ppm;
        return run_span(span("bfr+dipole"), std::move(input), options).volume_ppm;
    };
    EXPECT_TRUE(equal(map(0.0F), map(std::numeric_limits<float>::quiet_NaN())));
    EXPECT_FALSE(equal(map(0.0F), map(0.01F)));
}

TEST(Span, AFieldOfZerosAtTheBorderOfTheMaskIsNotKnownThere)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    const VolumeF field_ppm = run_span(span("field-mapping"), input_of(scan, head), {}).volume_ppm;
    SpanInput gap = field_input(scan, head, field_ppm.clone()), hole = field_input(scan, head, field_ppm.clone());
    SpanInput inside = field_input(scan, head, field_ppm.clone());
    const Dims& d = field_ppm.dims();
    std::size_t n_gap = 0;
    for (std::size_t z = 0; z < d.nz / 2; ++z)
        for (std::size_t y = 14; y < 18; ++y)
            for (std::size_t x = 10; x < 14; ++x) {
                if (z + 3 >= d.nz / 2) inside.field_ppm(x, y, z) = 0.0F;
                n_gap += head(x, y, z);
                gap.field_ppm(x, y, z) = 0.0F, hole.mask(x, y, z) = 0;
            }
    ASSERT_GT(n_gap, 64U);
    const SpanResult without = run_span(span("bfr+dipole"), std::move(hole), {}), with = run_span(span("bfr+dipole"), std::move(gap), {});
    EXPECT_TRUE(equal(with.volume_ppm, without.volume_ppm));
    EXPECT_THAT(with.warnings, Contains(HasSubstr(str("the field is 0 in ", n_gap, " of"))));
    EXPECT_THAT(without.warnings, Not(Contains(HasSubstr("the field is 0"))));
    // Inside, it may be that of a ball.
    EXPECT_THAT(run_span(span("bfr+dipole"), std::move(inside), {}).warnings, Contains(HasSubstr("exactly 0 in 48 of")));
    SpanInput nothing = field_input(scan, head, VolumeF(field_ppm.grid(), 0.0F));
    EXPECT_THAT(refusal("dipole", std::move(nothing)), HasSubstr("the field is 0 in the whole mask"));
}

// Echoes of which little is left tell no noise.
TEST(Span, AMagnitudeThatTellsNoNoiseIsUsedAllTheSame)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    SpanInput input = field_input(scan, head, run_span(span("field-mapping"), input_of(scan, head), {}).volume_ppm);
    input.magnitude = input_of(scan, head).magnitude;
    for (VolumeF& m : input.magnitude)
        for (std::size_t i = 0; i < m.size(); i += 5) m[i] = 0.0F;
    EXPECT_THAT(run_span(span("bfr+dipole"), std::move(input), {}).warnings, Contains(HasSubstr("the noise cannot be estimated")));
}

TEST(Span, RefusesWhatDoesNotFit)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    const VolumeF field_ppm(scan.acquisition().geometry.grid, 0.1F);

    EXPECT_THAT(refusal("dipole", input_of(scan, head)), HasSubstr("field"));
    EXPECT_THAT(refusal("field-mapping", field_input(scan, head, field_ppm.clone())), HasSubstr("0 phases but 3 echo times"));
    EXPECT_THAT(refusal("bfr", field_input(scan, Mask(Grid{{4, 4, 4}}, 1), field_ppm.clone())), HasSubstr("mask"));
    SpanInput weak = field_input(scan, head, field_ppm.clone());
    weak.b0_tesla = 0.0;
    EXPECT_THAT(refusal("bfr", std::move(weak)), HasSubstr("field strength"));
    ChainOptions each;
    each.per_echo = true;
    EXPECT_THAT(refusal("bfr", field_input(scan, head, field_ppm.clone()), each), HasSubstr("per_echo"));
    each = {};
    each.swi = "clear";
    EXPECT_THAT(refusal("bfr", field_input(scan, head, field_ppm.clone()), each), HasSubstr("swi"));
    const test::TinyScan slice({.dims = {32, 30, 1}});
    EXPECT_THAT(refusal("dipole", field_input(slice, Mask(slice.acquisition().geometry.grid, 1),
                                              VolumeF(slice.acquisition().geometry.grid, 0.1F))), HasSubstr("a single slice"));
    try {
        (void)span("dipol");
        FAIL() << "accepted";
    } catch (const InputError& e) {
        EXPECT_THAT(e.what(), HasSubstr("did you mean 'dipole'"));
    }
    EXPECT_THROW((void)run_span(span("bfr"), field_input(scan, Mask(head.grid(), 0), field_ppm.clone()), {}), NumericalError);
}

TEST(Span, AFieldInHzIsSaidToBeImplausible)
{
    const test::TinyScan scan;
    const Mask head = head_of(scan);
    const auto warnings_of = [&](double factor) {
        const VolumeF field = test::from_function(head.grid(), [factor](const Vec3& r) {
            return factor * test::sphere_field(r, test::TinyScan::ball_radius_mm, 0.3, test::b0_along_z);
        });
        return run_span(span("dipole"), field_input(scan, head, field.clone()), scan.job().options).warnings;
    };
    EXPECT_THAT(warnings_of(1.0), ::testing::Not(::testing::Contains(HasSubstr("if it is in Hz"))));
    EXPECT_THAT(warnings_of(127.7), ::testing::Contains(HasSubstr("if it is in Hz")));
}

}  // namespace qsmpi::pipeline
