#include "job_support.hpp"

#include <limits>

#include "chain.hpp"
#include "qsmpi/io/nifti.hpp"
#include "qsmpi/numerics/morphology.hpp"

namespace qsmpi::pipeline {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(const std::string& mask)
{
    try {
        (void)json{{"mask", mask}}.get<ChainOptions>();
    } catch (const InputError& e) {
        return e.what();
    }
    return "accepted";
}

JobSpec job_with(const std::string& mask)
{
    JobSpec spec;
    spec.acquisition.key = "sub-01";
    spec.acquisition.subject = "01";
    spec.acquisition.b0_tesla = 3.0;
    spec.acquisition.echoes.resize(2);
    spec.options.mask = mask;
    return spec;
}

std::string text_of(const std::vector<Method>& methods)
{
    std::string text;
    for (const Method& m : methods)
        if (m.stage == "mask") text += m.name + ": " + m.sentence + " " + m.citation + "\n";
    return text;
}

std::vector<Method> methods_with(const std::string& mask)
{
    const JobSpec spec = job_with(mask);
    return methods_of(Chain(spec));
}

class MaskOption : public Job {};

}  // namespace

TEST_F(MaskOption, IsParsedBeforeAnythingRuns)
{
    EXPECT_EQ(refusal("quality & bet 0.4, fill, erode 1"), "accepted");
    EXPECT_EQ(refusal("magnitude"), "accepted");
    EXPECT_THAT(refusal("quality & bte"), AllOf(HasSubstr("column 11"), HasSubstr("did you mean 'bet'")));
    EXPECT_THAT(refusal("auto, erode"), HasSubstr("needs a length in mm"));
}

TEST_F(MaskOption, HashesTheFilesOfAnExpressionAndNotItsBlanks)
{
    const test::TemporaryFolder folder;
    const std::string text = "auto & " + folder.path() + "/a-{sub}.nii | '" + folder.path() + "/b {sub}.nii', fill";
    const JobSpec spec = job_with(text);
    EXPECT_THAT(mask_files(spec), ElementsAre(folder.path() + "/a-01.nii", folder.path() + "/b 01.nii"));
    const std::string missing = job_hash(spec);
    io::write_file_atomic(folder.path() + "/b 01.nii", "one");
    const std::string one = job_hash(spec);
    io::write_file_atomic(folder.path() + "/b 01.nii", "two");
    const std::string two = job_hash(spec);
    EXPECT_NE(missing, one);
    EXPECT_NE(one, two);
    EXPECT_EQ(job_hash(job_with("bet|quality 0.30 , erode 1.0mm")), job_hash(job_with(" (bet | quality 0.3), erode 1")));
    EXPECT_NE(job_hash(job_with("bet | quality")), job_hash(job_with("quality | bet, fill")));
}

TEST_F(MaskOption, JoinsFilesAndSources)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    const Grid& grid = scan.acquisition().geometry.grid;
    const Mask ball = test::ball_mask(grid, 11.0), core = test::ball_mask(grid, 4.0, {6, 0, 0});
    io::write_nifti(scan.folder() / "ball.nii.gz", ball, scan.acquisition().geometry);
    io::write_nifti(scan.folder() / "core-01.nii.gz", core, scan.acquisition().geometry);
    spec.options.mask = str("all & ", scan.folder().string(), "/ball.nii.gz - (", scan.folder().string(), "/core-{sub}.nii.gz, dilate 1)");
    stages_run(spec);
    const Mask used = io::read_mask(image_of(spec, "mask")), larger = numerics::dilate(core, 1.0);
    for (std::size_t i = 0; i < used.size(); ++i) ASSERT_EQ(used[i] != 0, ball[i] && !larger[i]) << i;
    EXPECT_THAT(sidecar_of(spec, "mask").at("Method").at("mask"), Contains("mask expression"));
}

TEST_F(MaskOption, ErosionOfTheChainComesLast)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    spec.options.mask = "robust, fill";
    stages_run(spec);
    const Mask before = io::read_mask(image_of(spec, "mask"));
    spec.options.mask_erosion_mm = 1.0;
    EXPECT_THAT(stages_run(spec), ElementsAre("mask", "local_field", "chi", "swi"));
    const Mask after = io::read_mask(image_of(spec, "mask")), want = numerics::erode(before, 1.0);
    EXPECT_TRUE(std::equal(after.begin(), after.end(), want.begin()));
}

TEST_F(MaskOption, SaysWhichPartLeftNothing)
{
    const TinyScan scan;
    JobSpec spec = scan.job();
    spec.options.mask = "robust, erode 50";
    EXPECT_THAT(run_job(spec).message, AllOf(HasSubstr("mask is empty"), HasSubstr("erode 50 mm: 0 voxels"), HasSubstr("robust: ")));
    spec.options.mask = "robust";
    spec.options.mask_erosion_mm = 40.0;
    EXPECT_THAT(run_job(spec).message, AllOf(HasSubstr("mask_erosion_mm = 40"), HasSubstr("erode less")));
}

TEST_F(MaskOption, WithoutMagnitudeSourcesThatNeedItAreRefused)
{
    const TinyScan scan({.magnitude = false});
    JobSpec spec = scan.job();
    spec.options.mask = "quality & bet";
    EXPECT_THAT(run_job(spec).message, AllOf(HasSubstr("'bet' needs a magnitude"), HasSubstr("use 'quality'")));
    spec.options.mask = "magnitude";
    EXPECT_THAT(run_job(spec).message, HasSubstr("use 'quality'"));
    spec.options.mask = "quality 0.5, largest, fill";
    EXPECT_EQ(run_job(spec).state, "done");
}

TEST_F(MaskOption, MethodsNameEverySourceOnceWithItsPaper)
{
    const std::string text = text_of(methods_with("quality 0.4 & bet | bet & otsu 1.2, fill"));
    EXPECT_THAT(text, AllOf(HasSubstr("quality 0.4 & bet | bet & otsu 1.2, fill"), HasSubstr("above 0.4"), HasSubstr("times 1.2"),
                            HasSubstr("hbm.10062"), HasSubstr("Otsu N.")));
    EXPECT_EQ(text.find("hbm.10062"), text.rfind("hbm.10062"));
    EXPECT_THAT(text_of(methods_with("auto")), Not(HasSubstr("expression")));
    EXPECT_THAT(text_of(methods_with("/a/b.nii")), HasSubstr("Masks were given"));
    EXPECT_THAT(text_of(methods_with("gaussian - corrected")), AllOf(HasSubstr("EM algorithm"), HasSubstr("CLEAR-SWI")));
}

}  // namespace qsmpi::pipeline
