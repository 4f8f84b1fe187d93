// Scans that are not what they should be: each ends in a map with a warning or in a clear refusal, never in NaN.

#include "bad_data.hpp"

namespace qsmpi::pipeline {

using ::testing::AllOf;

TEST_F(BadData, AnEchoOfZerosGetsNoWeight)
{
    const TinyScan whole;
    JobSpec good = whole.job();
    ASSERT_EQ(run(good).state, "done");
    struct Case {
        std::size_t i_echo;
        bool zero_phase, zero_magnitude;
    };
    for (const Case c : {Case{0, true, true}, Case{1, true, false}, Case{2, false, true}}) {
        const TinyScan scan;
        edit(scan, c.i_echo, [&](VolumeF& phase, VolumeF& magnitude) {
            if (c.zero_phase) std::fill(phase.begin(), phase.end(), 0.0f);
            if (c.zero_magnitude) std::fill(magnitude.begin(), magnitude.end(), 0.0f);
        });
        expect_map(scan.job(), str("echo ", c.i_echo + 1, " holds no signal").c_str());
        EXPECT_NEAR(contrast(scan.job()), contrast(good), 0.1) << "two echoes are left of three";
    }
    // The echo's own map cannot be made.
    const TinyScan scan;
    edit(scan, 1, [](VolumeF& phase, VolumeF&) { std::fill(phase.begin(), phase.end(), 0.0f); });
    JobSpec spec = scan.job();
    spec.options.per_echo = true;
    expect_refusal(spec, "per_echo");
}

TEST_F(BadData, AScanThatLacksAnEchoIsMadeFromTheTrueTimesOfTheOthers)
{
    const TinyScan scan({.n_echoes = 4});
    JobSpec good = scan.job();
    ASSERT_EQ(run(good).state, "done");
    const double want = contrast(good);
    for (const std::size_t missing : {0u, 1u, 2u, 3u}) {
        JobSpec spec = scan.job();
        auto& echoes = spec.acquisition.echoes;
        echoes.erase(echoes.begin() + static_cast<std::ptrdiff_t>(missing));
        const JobResult result = run(spec);
        EXPECT_EQ(result.state, "done") << result.message;
        EXPECT_NEAR(contrast(spec), want, 0.1) << "without echo " << missing + 1;
        // Odd and even echoes are those of the scanner's count, not of ours.
        const bool in_between = missing == 1 || missing == 2;
        const auto findings = sidecar_of(spec, "Chimap").at("Findings").at("phase");
        EXPECT_EQ(findings.contains("bipolar_evidence"), !in_between);
        EXPECT_EQ(std::count(result.warnings.begin(), result.warnings.end(),
                             "an echo is missing between the others: alternating readouts cannot be corrected"),
                  in_between ? 1 : 0);
        JobSpec renumbered = spec;
        for (std::size_t e = 0; e < 3; ++e) renumbered.acquisition.echoes[e].number = static_cast<int>(e) + 1;
        EXPECT_EQ(job_hash(renumbered) != job_hash(spec), missing < 3) << "the same images by other numbers are another scan";
    }
}

TEST_F(BadData, NothingButZerosIsRefused)
{
    const TinyScan scan({.n_echoes = 2});
    for (const std::size_t i_echo : {0u, 1u})
        edit(scan, i_echo, [](VolumeF& phase, VolumeF&) { std::fill(phase.begin(), phase.end(), 0.0f); });
    expect_refusal(scan.job(), "all voxels are zero");
}

TEST_F(BadData, NoiseIsRefusedAndANoisyEchoGetsNoWeight)
{
    for (const std::size_t n_echoes : {1u, 3u}) {
        const TinyScan scan({.n_echoes = n_echoes});
        for (std::size_t e = 0; e < n_echoes; ++e)
            edit(scan, e, [&](VolumeF& phase, VolumeF& magnitude) {
                fill_with_noise(phase, magnitude, static_cast<unsigned>(e) + 1);
            });
        expect_refusal(scan.job(), "phase is noise");
    }
    // A good magnitude does not make noise a phase.
    const TinyScan scan;
    for (const std::size_t e : {0u, 1u, 2u})
        edit(scan, e, [&](VolumeF& phase, VolumeF& magnitude) {
            VolumeF kept = magnitude.clone();
            fill_with_noise(phase, magnitude, static_cast<unsigned>(e) + 1);
            magnitude = std::move(kept);
        });
    expect_refusal(scan.job(), "phase is noise");

    const TinyScan one_bad;
    edit(one_bad, 2, [](VolumeF& phase, VolumeF& magnitude) {
        VolumeF kept = magnitude.clone();
        fill_with_noise(phase, magnitude, 9);
        magnitude = std::move(kept);
    });
    expect_map(one_bad.job(), "echo 3 has phase that is noise");
    EXPECT_GT(contrast(one_bad.job()), 0.5);
}

TEST_F(BadData, ASignalToNoiseRatioOfThreeGivesAMapAndAWarning)
{
    const TinyScan scan({.noise = 0.33});
    expect_map(scan.job(), "the phase is noisy");
}

TEST_F(BadData, ExchangedMagnitudeAndPhaseAreRefused)
{
    const auto exchange = [](VolumeF& phase, VolumeF& magnitude) {
        for (std::size_t i = 0; i < phase.size(); ++i) std::swap(phase[i], magnitude[i]);
    };
    const TinyScan scan;
    for (const std::size_t e : {0u, 1u, 2u})
        edit(scan, e, [&](VolumeF& phase, VolumeF& magnitude) {
            for (float& m : magnitude) m *= 0.002f;  // in the range of radians, or reading refuses it
            exchange(phase, magnitude);
        });
    expect_refusal(scan.job(), "exchange");

    // As unsigned numbers neither has a sign.
    const TinyScan positive;
    for (const std::size_t e : {0u, 1u, 2u})
        edit(positive, e, [&](VolumeF& phase, VolumeF& magnitude) {
            for (float& m : magnitude) m = 0.002f * m - 3.0f;
            for (float& p : phase) p = 2048.0f + 650.0f * p;
            exchange(phase, magnitude);
        });
    expect_refusal(positive.job(), "exchange");
}

TEST_F(BadData, AFlatMagnitudeIsNotTakenForPhase)
{
    // An object that fills the field of view, and magnitudes that are 1 but for round-off.
    const TinyScan filled({.noise = 0.03, .head = [](const Vec3&) { return true; }});
    EXPECT_EQ(run(filled.job()).state, "done");
    const TinyScan unit({.head = [](const Vec3&) { return true; }});
    for (const std::size_t e : {0u, 1u, 2u})
        edit(unit, e, [](VolumeF& phase, VolumeF& magnitude) {
            for (std::size_t i = 0; i < phase.size(); ++i) magnitude[i] = std::abs(std::polar(1.0f, phase[i]));
        });
    EXPECT_EQ(run(unit.job()).state, "done");
}

TEST_F(BadData, MissingPartsOfAnEchoAreLeftToTheOthers)
{
    const TinyScan whole;
    JobSpec good = whole.job();
    ASSERT_EQ(run(good).state, "done");
    const double want = contrast(good);
    struct Case {
        float value;
        std::size_t i_echo;
        bool half;
    };
    for (const Case c : {Case{0.0f, 0, true}, Case{0.0f, 0, false}, Case{std::nanf(""), 0, false}, Case{std::nanf(""), 2, true}}) {
        const TinyScan scan;
        edit(scan, c.i_echo, [&](VolumeF& phase, VolumeF&) {
            // Half of the volume, or a block in the ball.
            for (std::size_t i = 0; i < phase.size(); ++i) {
                const std::size_t x = i % 32, y = i / 32 % 30, z = i / (32 * 30);
                const bool block = x > 14 && x < 20 && y > 12 && y < 18 && z > 11 && z < 16;
                if (c.half ? x < 16 : block) phase[i] = c.value;
            }
        });
        expect_map(scan.job(), str("echo ", c.i_echo + 1, " is missing in").c_str());
        EXPECT_NEAR(contrast(scan.job()), want, 0.1) << c.value << " in echo " << c.i_echo + 1 << (c.half ? ", half" : "");
    }
}

TEST_F(BadData, APartThatIsMissingDoesNotCountAsDecay)
{
    // The last of three echoes is missing in a block of the head: R2* of 1 / 40 ms comes from the other two.
    const TinyScan scan;
    edit(scan, 2, [](VolumeF& phase, VolumeF& magnitude) {
        for (std::size_t z = 12; z < 16; ++z)
            for (std::size_t y = 12; y < 16; ++y)
                for (std::size_t x = 20; x < 24; ++x) phase(x, y, z) = magnitude(x, y, z) = 0.0f;
    });
    ASSERT_EQ(run(scan.job()).state, "done");
    const VolumeF r2star_per_s = io::read_image(image_of(scan.job(), "R2starmap")).data;
    // 1 % of noise over 6 ms: 2.4 / s a voxel; nine of the block are averaged.
    double sum = 0.0;
    for (std::size_t i = 0; i < 9; ++i) sum += static_cast<double>(r2star_per_s(20 + i % 3, 13 + i / 3, 14));
    EXPECT_NEAR(sum / 9.0, 25.0, 4.0);
}

TEST_F(BadData, WithoutMagnitudeMissingPartsAreFoundInThePhase)
{
    const TinyScan scan({.magnitude = false, .head = [](const Vec3&) { return true; }});
    edit(scan, 0, [](VolumeF& phase, VolumeF&) {
        for (std::size_t i = 0; i < phase.size() / 4; ++i) phase[i] = 0.0f;
    });
    JobSpec spec = scan.job();
    spec.options.mask = "quality";
    const JobResult result = run(spec);
    EXPECT_EQ(result.state, "done") << result.message;
    EXPECT_THAT(result.warnings, AllOf(Contains(HasSubstr("no magnitude")), Contains(HasSubstr("echo 1 is missing in"))));
}

TEST_F(BadData, ASpikeOfTheMagnitudeDoesNotOutweighItsSurroundings)
{
    const TinyScan whole;
    JobSpec good = whole.job();
    ASSERT_EQ(run(good).state, "done");
    const TinyScan scan;
    for (const std::size_t e : {0u, 1u, 2u}) edit(scan, e, [](VolumeF&, VolumeF& magnitude) { magnitude(20, 15, 14) *= 1e4f; });
    expect_map(scan.job(), "1 voxel is many times as bright");
    EXPECT_NEAR(contrast(scan.job()), contrast(good), 0.02);
}

TEST_F(BadData, EchoesThatAreCopiesAreRefused)
{
    const TinyScan scan;
    const VolumeF first = io::read_image(scan.acquisition().echoes[0].phase.file).data;
    edit(scan, 1, [&](VolumeF& phase, VolumeF&) { phase = first.clone(); });
    expect_refusal(scan.job(), "echoes 1 and 2: 100 % of the phase values are the same");
}

}  // namespace qsmpi::pipeline
