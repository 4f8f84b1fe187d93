#include "qsmpi/pipeline/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "registries.hpp"
#include "tiny_scan.hpp"

namespace qsmpi::pipeline {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const json& options)
{
    try {
        (void)options.get<ChainOptions>();
    } catch (const InputError& e) {
        return e.what();
    }
    return "accepted";
}

/// Another allowed value for every option.
const std::map<std::string, json>& other_values()
{
    static const std::map<std::string, json> values{
        {"preset", "fast"}, {"unwrapping", "laplacian"}, {"bipolar", "off"}, {"offset_removal", false},
        {"offset_method", "mcpc3ds"}, {"offset_sigma_mm", 5.0},
        {"field_map", "average"}, {"mask", "quality"}, {"mask_quality_threshold", 0.4}, {"mask_erosion_mm", 1.0},
        {"background", background_names().back()}, {"background_radius_mm", 6.0},
        {"background_rounds", 5.0}, {"background_cleanup", "on"}, {"inversion", "tkd"}, {"inversion_lambda", 0.01},
        {"inversion_edges", false},
        {"null_space", "off"}, {"reference", "none"}, {"per_echo", true}, {"r2star", "arlo"}, {"swi", "clear"}, {"two_pass", "on"}};
    return values;
}

JobSpec job_with(const json& options)
{
    JobSpec spec;
    spec.acquisition.key = "sub-01";
    spec.acquisition.b0_tesla = 3.0;
    spec.acquisition.echoes.resize(2);
    spec.input_hash = "abc";
    spec.options = options.get<ChainOptions>();
    return spec;
}

std::size_t first_difference(const JobSpec& a, const JobSpec& b)
{
    const auto ha = stage_hashes(a), hb = stage_hashes(b);
    std::size_t i = 0;
    while (i < ha.size() && ha[i] == hb[i]) ++i;
    for (std::size_t k = i; k < ha.size(); ++k) EXPECT_NE(ha[k], hb[k]) << "a later stage forgot what came before";
    return i;
}

}  // namespace

TEST(Options, SurviveJsonBothWays)
{
    const json all = other_values();
    EXPECT_EQ(json(all.get<ChainOptions>()), all);
    EXPECT_EQ(json(json::object().get<ChainOptions>()), json(ChainOptions{}));
    EXPECT_EQ(all.size(), option_names().size());
}

TEST(Options, AbsentKeysKeepTheirValue)
{
    ChainOptions o;
    o.inversion = "tkd";
    from_json({{"background", "vsharp"}}, o);
    EXPECT_EQ(o.inversion, "tkd");
    EXPECT_EQ(o.background, "vsharp");
}

TEST(Options, ASlipIsAnsweredWithTheNearestWord)
{
    EXPECT_THAT(refusal({{"inversoin", "tkd"}}), AllOf(HasSubstr("'inversoin'"), HasSubstr("did you mean 'inversion'")));
    EXPECT_THAT(refusal({{"unwrapping", "romoe"}}), HasSubstr("did you mean 'romeo'"));
    EXPECT_THAT(refusal({{"background", "vsharpp"}}), HasSubstr("did you mean 'vsharp'"));
    EXPECT_THAT(refusal({{"mask", "qualty"}}), HasSubstr("did you mean 'quality'"));
}

TEST(Options, AReferenceIsAWordOrAPath)
{
    EXPECT_THAT(refusal({{"reference", "cfs"}}), HasSubstr("did you mean 'csf'"));
    EXPECT_THAT(refusal({{"reference", "csf"}, {"r2star", "off"}}), HasSubstr("R2*"));
    EXPECT_EQ(refusal({{"reference", "csf"}}), "accepted");
    EXPECT_EQ(refusal({{"reference", "labels.nii.gz:4,43"}}), "accepted");
}

TEST(Options, ValuesOfTheWrongKindOrRangeAreRefused)
{
    EXPECT_THAT(refusal({{"offset_removal", "yes"}}), HasSubstr("true or false"));
    EXPECT_THAT(refusal({{"offset_sigma_mm", "7 mm"}}), HasSubstr("a number"));
    EXPECT_THAT(refusal({{"offset_sigma_mm", -1.0}}), HasSubstr("-1"));
    EXPECT_THAT(refusal({{"offset_sigma_mm", 0.0}}), HasSubstr("offset_sigma_mm: 0 is outside [0.1, 100]"));
    EXPECT_EQ(refusal({{"background_radius_mm", 0.0}}), "accepted");
    EXPECT_THAT(refusal({{"background_radius_mm", 1e9}}), HasSubstr("outside [1, 100] and not 0"));
    EXPECT_THAT(refusal({{"inversion_lambda", 1e30}}), HasSubstr("1e+30"));
    EXPECT_THAT(refusal({{"background_rounds", 2.5}}), HasSubstr("whole number"));
    EXPECT_THAT(refusal({{"inversion", 3}}), HasSubstr("a text"));
    EXPECT_THAT(refusal(json::array()), HasSubstr("object"));
    EXPECT_EQ(refusal({{"mask", "masks/{sub}.nii.gz"}}), "accepted");
}

TEST(Options, TheNullSpaceIsSettledAfterSeparation)
{
    const auto chosen = [](const json& options) { return resolved(options.get<ChainOptions>()).null_space; };
    EXPECT_EQ(chosen(json::object()), "on");
    EXPECT_EQ(chosen({{"inversion", "tkd"}}), "on");
    EXPECT_EQ(chosen({{"r2star", "off"}}), "on");
    EXPECT_EQ(chosen({{"preset", "fast"}}), "off");
    EXPECT_EQ(chosen({{"background", "vsharp"}}), "off");
    EXPECT_EQ(chosen({{"background", "vsharp"}, {"null_space", "on"}}), "on");
    EXPECT_EQ(chosen({{"inversion", "tfi"}}), "off");
    EXPECT_EQ(chosen({{"preset", "body"}}), "off");
}

TEST(Presets, SayWhatDiffersFromTheDefaultsAndAreAccepted)
{
    const json defaults = ChainOptions{};
    for (const Preset& preset : presets()) {
        SCOPED_TRACE(preset.name);
        const json values = json::parse(preset.values);
        EXPECT_EQ(refusal({{"preset", preset.name}}), "accepted");
        EXPECT_FALSE(values.contains("preset"));
        json expected = defaults;
        expected["preset"] = preset.name;
        expected.update(values);
        EXPECT_EQ(json(json{{"preset", preset.name}}.get<ChainOptions>()), expected);
        for (const auto& [name, value] : values.items()) EXPECT_NE(value, defaults.at(name)) << name;
    }
    EXPECT_STREQ(presets().front().name, "default");
    EXPECT_STREQ(presets().front().values, "{}");
}

TEST(Presets, GiveWayToWhatStandsBesideThem)
{
    const auto o = json{{"preset", "fast"}, {"background", "pdf"}}.get<ChainOptions>();
    EXPECT_EQ(o.background, "pdf");
    EXPECT_EQ(o.inversion, "rts");
}

TEST(Presets, StartFromTheDefaults)
{
    ChainOptions o;
    o.reference = "none";
    from_json({{"preset", "fast"}}, o);
    EXPECT_EQ(o.reference, "mean");
}

TEST(Presets, ASlipIsAnsweredWithTheNearestWord)
{
    EXPECT_THAT(refusal({{"preset", "robust "}}), HasSubstr("did you mean 'robust'"));
    EXPECT_THAT(refusal({{"preset", 3}}), HasSubstr("not a text"));
}

TEST(StageHashes, DoNotAskHowAValueCameAbout)
{
    EXPECT_EQ(stage_hashes(job_with({{"preset", "fast"}})),
              stage_hashes(job_with({{"field_map", "average"}, {"background_rounds", 2}, {"inversion", "rts"}, {"null_space", "off"}, {"r2star", "off"}})));
}

TEST(StageHashes, EveryOptionAltersItsStageAndAllLaterOnesOnly)
{
    const JobSpec defaults = job_with(json::object());
    std::set<std::string> seen;
    for (std::size_t i = 0; i < stage_table().size(); ++i)
        for (const std::string& option : stage_table()[i].options) {
            EXPECT_TRUE(seen.insert(option).second) << option << " belongs to two stages";
            EXPECT_EQ(first_difference(defaults, job_with({{option, other_values().at(option)}})), i) << option;
        }
    auto names = option_names();
    std::erase(names, "preset");  // a name for values of the others
    EXPECT_EQ(seen, std::set<std::string>(names.begin(), names.end())) << "an option belongs to no stage";
}

TEST(StageHashes, DoNotTellDefaultFromItsName)
{
    const JobSpec defaults = job_with(json::object());
    const JobSpec named = job_with({{"background", background_names().front()}, {"inversion", inversion_names().front()}});
    EXPECT_EQ(stage_hashes(defaults), stage_hashes(named));
}

TEST(StageHashes, DependOnInputsAndNotOnPlaces)
{
    const JobSpec a = job_with(json::object());
    JobSpec b = a;
    b.input_hash = "abd";
    EXPECT_EQ(first_difference(a, b), 0u);
    b = a;
    b.acquisition.echoes[1].phase_scaling.slope = 0.001;
    EXPECT_EQ(first_difference(a, b), 0u);
    b = a;
    b.acquisition.b0_tesla = 7.0;
    EXPECT_EQ(first_difference(a, b), 5u) << "only the local field is in ppm";
    b = a;
    b.output_dir = "/elsewhere";
    b.wisdom_file = "/elsewhere/wisdom";
    b.threads = 64;
    EXPECT_EQ(first_difference(a, b), stage_table().size());
    EXPECT_EQ(job_hash(a), job_hash(b));
}

TEST(JobSpecs, SurviveJsonBothWays)
{
    const test::TinyScan scan;
    const JobSpec a = scan.job();
    const auto b = json::parse(json(a).dump()).get<JobSpec>();
    EXPECT_EQ(json(a), json(b));
    EXPECT_EQ(job_hash(a), job_hash(b));
    EXPECT_EQ(a.acquisition.geometry, b.acquisition.geometry);
}

TEST(JobResults, SurviveJsonBothWays)
{
    const JobResult a{.state = "failed", .message = "m", .outputs = {"o"}, .warnings = {"w"}, .seconds = 1.5,
                      .peak_mb = 2.5, .stage_seconds = {{"unwrap", 1.0}, {"field", 0.5}}};
    const auto b = json::parse(json(a).dump()).get<JobResult>();
    EXPECT_EQ(json(a), json(b));
    EXPECT_EQ(b.stage_seconds.front().first, "unwrap");
}

TEST(ReferenceFile, SplitsPathAndLabels)
{
    JobSpec spec = job_with({{"reference", "/m/dseg-{sub}.nii.gz:4,43"}});
    spec.acquisition.subject = "07";
    ASSERT_TRUE(reference_file(spec).has_value());
    EXPECT_EQ(reference_file(spec)->file, "/m/dseg-07.nii.gz");
    EXPECT_EQ(reference_file(spec)->labels, (std::vector<int>{4, 43}));
    const JobSpec plain = job_with({{"reference", "/m:1,x/region.nii.gz"}});
    EXPECT_EQ(reference_file(plain)->file, "/m:1,x/region.nii.gz") << "what follows a colon are labels only if they are numbers";
    EXPECT_TRUE(reference_file(plain)->labels.empty());
    EXPECT_FALSE(reference_file(job_with(json::object())).has_value());
    EXPECT_FALSE(reference_file(job_with({{"reference", "csf"}})).has_value());
}

TEST(R2starMethod, FollowsTheEchoes)
{
    JobSpec spec = job_with(json::object());
    io::Acquisition& a = spec.acquisition;
    a.echoes.resize(4);
    for (std::size_t e = 0; e < 4; ++e) a.echoes[e].echo_time_s = 0.004 + 0.008 * static_cast<double>(e);
    EXPECT_EQ(r2star_method(a, spec.options), "off") << "no magnitude";
    for (io::Echo& echo : a.echoes) echo.magnitude.file = "mag.nii.gz";
    EXPECT_EQ(r2star_method(a, spec.options), "nlls");
    spec.options.r2star = "arlo";
    EXPECT_EQ(r2star_method(a, spec.options), "arlo");
    a.echoes[3].echo_time_s = 0.030;
    EXPECT_EQ(r2star_method(a, spec.options), "nlls") << "not equally spaced";
    a.echoes.resize(2);
    EXPECT_EQ(r2star_method(a, spec.options), "loglinear");
    a.echoes.resize(1);
    EXPECT_EQ(r2star_method(a, spec.options), "off");
}

TEST(MaskFile, FillsInTheWordsOfItsTemplate)
{
    JobSpec spec = job_with({{"mask", "/m/sub-{sub}/{sub}_{run}.nii.gz"}});
    spec.acquisition.subject = "07";
    spec.acquisition.entities["run"] = "1";
    EXPECT_THAT(mask_files(spec), ElementsAre("/m/sub-07/07_1.nii.gz"));
    EXPECT_TRUE(mask_files(job_with(json::object())).empty());
}

}  // namespace qsmpi::pipeline
