#include "qsmpi/pipeline/job.hpp"

#include <cmath>

#include "job_support.hpp"
#include "qsmpi/io/nifti.hpp"

namespace qsmpi::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

double mean_in(const VolumeF& v, const Mask& mask)
{
    double sum = 0, n = 0;
    for (std::size_t i = 0; i < v.size(); ++i)
        if (mask[i]) sum += static_cast<double>(v[i]), n += 1;
    return sum / n;
}

}  // namespace

TEST_F(Job, FindsTheBallInTheHead)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    spec.options = {};
    JobResult result;
    EXPECT_EQ(stages_run(spec, &result), all_stages);
    EXPECT_EQ(result.state, "done");
    EXPECT_GT(result.peak_mb, 1.0);
    EXPECT_EQ(result.stage_seconds.size(), all_stages.size() + 2);

    const VolumeF chi = io::read_image(image_of(spec, "Chimap")).data;
    const Grid& grid = chi.grid();
    const Mask ball = test::ball_mask(grid, TinyScan::ball_radius_mm - 1.0);
    const Mask tissue = test::mask_from(grid, [](const Vec3& r) {
        const double d = std::hypot(r[0], r[1], r[2]);
        return d > TinyScan::ball_radius_mm + 1.0 && d < TinyScan::head_radius_mm - 4.0;
    });
    // Inversions of a ball give 0.8 to 1.0 of its contrast, and a shell as thin as this one costs some more.
    const double contrast = mean_in(chi, ball) - mean_in(chi, tissue);
    EXPECT_GT(contrast, 0.6 * TinyScan::dchi_ppm);
    EXPECT_LT(contrast, 1.1 * TinyScan::dchi_ppm);
    EXPECT_TRUE(test::all_finite(chi));
}

TEST_F(Job, PublishesEveryFileWithItsSidecarAndTheGeometryOfTheScan)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    EXPECT_FALSE(outputs_complete(spec));
    JobResult result;
    stages_run(spec, &result);
    EXPECT_TRUE(outputs_complete(spec));
    const std::map<std::string, std::string> units{{"Chimap", "ppm"}, {"mask", "1"}, {"fieldmap", "Hz"},
                                                   {"desc-local_fieldmap", "Hz"}, {"desc-sigma_fieldmap", "Hz"},
                                                   {"desc-romeo_quality", "1"}};
    const io::Geometry input = io::read_nifti_header(scan.acquisition().echoes[0].phase.file).geometry;
    for (const auto& [suffix, unit] : units) {
        const io::NiftiHeader header = io::read_nifti_header(image_of(spec, suffix));
        EXPECT_EQ(header.geometry, input) << suffix;
        EXPECT_EQ(header.datatype, suffix == "mask" ? 2 : 16) << suffix;
        const json sidecar = sidecar_of(spec, suffix);
        EXPECT_EQ(sidecar.at("Units"), unit);
        EXPECT_EQ(sidecar.at("JobHash"), job_hash(spec));
        EXPECT_EQ(sidecar.at("EchoTime").size(), 3u);
        EXPECT_EQ(sidecar.at("PhaseScaling")[0].at("Reason"), "made in radians");
        EXPECT_EQ(sidecar.at("Warnings")[0], "a warning of the scan");
        EXPECT_EQ(sidecar.at("Sources")[0], "bids:raw:sub-01/anat/sub-01_run-2_echo-1_part-mag_MEGRE.nii.gz");
    }
    EXPECT_FALSE(sidecar_of(spec, "fieldmap").at("Parameters").contains("inversion")) << "made before the inversion";
    EXPECT_TRUE(sidecar_of(spec, "Chimap").at("Parameters").contains("inversion"));
    EXPECT_EQ(sidecar_of(spec, "Chimap").at("Method").at("phase"), json({"MCPC-3D-S"})) << "no bipolar readout, no claim";
    EXPECT_GT(fs::file_size(spec.output_dir / "sub-01/anat/sub-01_run-2_Chimap.png"), 100u);
    for (const std::string& file : result.outputs) EXPECT_TRUE(fs::exists(spec.output_dir / file)) << file;
    for (const auto& [name, content] : tree(spec.output_dir)) EXPECT_EQ(name.find(".tmp."), std::string::npos) << name;
}

TEST_F(Job, DoesNothingWhenNothingChanged)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    stages_run(spec);
    const auto before = tree(spec.output_dir);
    JobResult result;
    EXPECT_THAT(stages_run(spec, &result), IsEmpty());
    EXPECT_EQ(result.state, "skipped");
    EXPECT_FALSE(result.outputs.empty());
    EXPECT_EQ(tree(spec.output_dir), before);
}

TEST_F(Job, DoesAllOfItAgainWhenForced)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    const auto before = tree(spec.output_dir);
    spec.force = true;
    EXPECT_EQ(stages_run(json(spec).get<JobSpec>()), all_stages) << "as a child is told";
    EXPECT_EQ(tree(spec.output_dir), before);
}

TEST_F(Job, StartsAtTheFirstStageThatAChangeAffects)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    stages_run(spec);
    spec.options.reference = "none";
    EXPECT_THAT(stages_run(spec), ElementsAre("chi", "swi"));
    spec.options.background_radius_mm = 3.5;
    EXPECT_THAT(stages_run(spec), ElementsAre("local_field", "chi", "swi"));
    spec.acquisition.b0_tesla = 2.9;
    EXPECT_THAT(stages_run(spec), ElementsAre("local_field", "chi", "swi"));
    spec.options.mask = "quality";
    EXPECT_THAT(stages_run(spec), ElementsAre("mask", "local_field", "chi", "swi"));
    spec.options.field_map = "average";
    EXPECT_EQ(stages_run(spec), all_stages) << "phases are not kept";
    spec.input_hash = "another";
    EXPECT_EQ(stages_run(spec), all_stages);
}

TEST_F(Job, AResumedJobEndsWithTheSameBytesAsAnUninterruptedOne)
{
    const TinyScan scan;
    JobSpec direct = scan.job(), resumed = scan.job();
    direct.output_dir = scan.folder() / "direct";
    stages_run(direct);
    resumed.options.inversion = "rts";
    stages_run(resumed);
    resumed.options.inversion = direct.options.inversion;
    EXPECT_THAT(stages_run(resumed), ElementsAre("chi", "swi"));
    auto a = tree(direct.output_dir), b = tree(resumed.output_dir);
    // HDF5 lays copied groups out in its own way; what they hold is compared by their hashes on reading.
    a.erase("intermediates/sub-01_run-2.h5");
    b.erase("intermediates/sub-01_run-2.h5");
    EXPECT_EQ(a, b);
}

TEST_F(Job, GivesTheSameBytesForAnyNumberOfThreads)
{
    const TinyScan scan;
    std::map<std::string, std::string> first;
    for (const int threads : {1, 2}) {
        JobSpec spec = scan.job();
        spec.threads = threads;
        spec.output_dir = scan.folder() / ("out" + std::to_string(threads));
        stages_run(spec);
        if (threads == 1) first = tree(spec.output_dir);
        EXPECT_TRUE(tree(spec.output_dir) == first) << threads << " threads";
    }
}

TEST_F(Job, PublishesAgainFromTheRecordWhenAnOutputIsGone)
{
    const TinyScan scan;
    const JobSpec spec = scan.job();
    stages_run(spec);
    const auto before = tree(spec.output_dir);
    fs::remove(image_of(spec, "mask"));
    JobResult result;
    EXPECT_THAT(stages_run(spec, &result), IsEmpty());
    EXPECT_EQ(result.state, "done");
    EXPECT_EQ(tree(spec.output_dir), before);
}

TEST_F(Job, TakesAMaskFromAFile)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    const Mask mask = test::ball_mask(scan.acquisition().geometry.grid, 11.0);
    io::write_nifti(scan.folder() / "mask-01.nii.gz", mask, scan.acquisition().geometry);
    spec.options.mask = (scan.folder() / "mask-{sub}.nii.gz").string();
    stages_run(spec);
    const Mask used = io::read_mask(image_of(spec, "mask"));
    EXPECT_TRUE(std::equal(mask.begin(), mask.end(), used.begin()));

    const Mask smaller = test::ball_mask(scan.acquisition().geometry.grid, 10.0);
    io::write_nifti(scan.folder() / "mask-01.nii.gz", smaller, scan.acquisition().geometry);
    EXPECT_THAT(stages_run(spec), ElementsAre("mask", "local_field", "chi", "swi")) << "the file changed, not its name";
}

TEST_F(Job, MapsEveryEchoAndTheirCombination)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    spec.options.per_echo = true;
    JobResult result;
    stages_run(spec, &result);
    EXPECT_EQ(sidecar_of(spec, "echo-2_Chimap").at("EchoTime"), json({0.010}));
    const VolumeF combined = io::read_image(image_of(spec, "Chimap")).data;
    // A weighted mean lies between its values; the reference then shifts it by one constant, so the smallest shift that
    // brings every voxel below its largest echo is no larger than the one that keeps it above its smallest.
    VolumeF low = combined.clone(), high = combined.clone();
    for (int e = 1; e <= 3; ++e) {
        const VolumeF chi = io::read_image(image_of(spec, str("echo-", e, "_Chimap"))).data;
        for (std::size_t i = 0; i < chi.size(); ++i) {
            low[i] = e == 1 ? chi[i] : std::min(low[i], chi[i]);
            high[i] = e == 1 ? chi[i] : std::max(high[i], chi[i]);
        }
    }
    float least_shift = -1.0f, most_shift = 1.0f;
    for (std::size_t i = 0; i < combined.size(); ++i) {
        if (combined[i] == 0.0f) continue;
        least_shift = std::max(least_shift, combined[i] - high[i]);
        most_shift = std::min(most_shift, combined[i] - low[i]);
    }
    EXPECT_LE(least_shift, most_shift + 1e-6f) << "float rounding of values of about 0.1";
    EXPECT_LT(std::abs(least_shift), 0.1f) << "the reference is a small correction";
    EXPECT_NEAR(mean_in(combined, io::read_mask(image_of(spec, "mask"))), 0.0, 1e-6);

    spec.options.inversion = "rts";
    EXPECT_THAT(stages_run(spec), ElementsAre("chi", "swi"));

    spec.options.per_echo = false;
    stages_run(spec);
    EXPECT_FALSE(fs::exists(image_of(spec, "echo-2_Chimap"))) << "maps of other options do not stay";
}

TEST_F(Job, AcceptsASingleEchoAndPhaseAlone)
{
    const TinyScan single({.n_echoes = 1});
    JobResult result;
    stages_run(single.job(), &result);
    EXPECT_THAT(result.warnings, ::testing::Contains(HasSubstr("one echo")));
    JobResult again;
    EXPECT_TRUE(stages_run(single.job(), &again).empty());
    EXPECT_EQ(again.state, "skipped");
    EXPECT_EQ(again.warnings, result.warnings) << "what was done before is as doubtful as it was";
    const json methods = sidecar_of(single.job(), "Chimap").at("Method");
    EXPECT_FALSE(methods.contains("phase"));
    EXPECT_EQ(methods.at("field"), json({"weighted average"}));
    const TinyScan bare({.n_echoes = 2, .magnitude = false});
    JobSpec spec = bare.job();
    // Without magnitude nothing tells noise from a head of this size: the phase's quality must.
    spec.options.mask = "quality";
    stages_run(spec, &result);
    EXPECT_THAT(result.warnings, ::testing::Contains(HasSubstr("no magnitude")));
}

TEST_F(Job, DescribesTheFolderOfOutputs)
{
    const test::TemporaryFolder folder;
    write_dataset_description(folder.path(), "/data/bids");
    const json d = json::parse(io::read_file(fs::path(folder.path()) / "dataset_description.json"));
    EXPECT_EQ(d.at("DatasetType"), "derivative");
    EXPECT_EQ(d.at("GeneratedBy")[0].at("Name"), "qsmpi");
    EXPECT_THAT(d.at("DatasetLinks").at("raw").get<std::string>(), HasSubstr("/data/bids"));
}

TEST_F(Job, MethodsTellWhatWasDoneWithEachScanAndNothingElse)
{
    using ::testing::AllOf;
    using ::testing::Not;
    const TinyScan three, one({.n_echoes = 1});
    const JobSpec of_three = three.job(), of_one = one.job();
    stages_run(of_three);
    stages_run(of_one);
    const auto sidecar = [](const JobSpec& spec) { return fs::path(image_of(spec, "Chimap")).replace_extension().replace_extension(".json"); };
    const test::TemporaryFolder folder;
    const auto text = [&](const std::vector<fs::path>& sidecars) {
        write_methods(folder.path(), sidecars);
        return io::read_file(fs::path(folder.path()) / "methods.txt");
    };
    // Branches that the data did not take: "Where odd and even ...", "or else", "two echoes", "of three or more".
    const auto is_definite = AllOf(Not(HasSubstr("Where")), Not(HasSubstr("where")), Not(HasSubstr("or else")), Not(HasSubstr("or more")),
                                   Not(HasSubstr("bipolar")));
    const std::string multi = text({sidecar(of_three)});
    EXPECT_THAT(multi, AllOf(is_definite, HasSubstr("estimated from echoes 1 and 2"), HasSubstr("the others from it in time"),
                             HasSubstr("Dymerska"), HasSubstr("R2* was fitted"), HasSubstr("corrected for underestimation"), Not(HasSubstr("logarithm")), Not(HasSubstr("Of 1 scan"))));
    const std::string single = text({sidecar(of_one)});
    EXPECT_THAT(single, AllOf(is_definite, HasSubstr("The field is the phase over the echo time."), Not(HasSubstr("coil phase")),
                              Not(HasSubstr("nonlinear")), Not(HasSubstr("R2*"))));
    // Together each has a paragraph of its own, and papers are listed once.
    const std::string both = text({sidecar(of_three), sidecar(of_one), sidecar(of_three)});
    EXPECT_THAT(both, AllOf(HasSubstr("Of 2 scans (sub-01_run-2, sub-01_run-2):\n"), HasSubstr("Of 1 scan (sub-01_run-2):\n")));
    EXPECT_EQ(both.find("Dymerska"), both.rfind("Dymerska"));
}

TEST_F(Job, EstimatesGrowWithVoxelsEchoesAndMaps)
{
    io::Acquisition small, large;
    small.geometry.grid = test::grid_of(64, 64, 64);
    large.geometry.grid = test::grid_of(128, 64, 64);
    small.echoes.resize(4);
    large.echoes.resize(4);
    const ChainOptions options;
    ChainOptions per_echo;
    per_echo.per_echo = true;
    EXPECT_GT(estimate_memory_bytes(large, options), estimate_memory_bytes(small, options));
    EXPECT_GT(estimate_cost(small, per_echo), estimate_cost(small, options));
    EXPECT_DOUBLE_EQ(estimate_cost(large, options), 2.0 * estimate_cost(small, options));
}

}  // namespace qsmpi::pipeline
