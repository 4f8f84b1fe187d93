#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "qsmpi/mask/expression.hpp"

namespace qsmpi::mask {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string refusal(const std::string& text)
{
    try {
        return "accepted as " + to_text(parse_expression(text));
    } catch (const InputError& e) {
        return e.what();
    }
}

std::string plain(const std::string& text) { return to_text(parse_expression(text)); }

std::vector<std::string> files_of(const std::string& text)
{
    std::vector<std::string> files;
    for_each_source(parse_expression(text), [&](const Source& s) {
        if (s.kind == SourceKind::file) files.push_back(s.file);
    });
    return files;
}

}  // namespace

TEST(ParseMask, ReadsSourcesOperatorsAndSteps)
{
    const Node node = parse_expression("quality 0.3 & otsu, fill 2, erode 1");
    ASSERT_EQ(node.kind, NodeKind::shaped);
    const std::vector<Step> steps{{StepKind::fill, 2.0}, {StepKind::erode, 1.0}};
    EXPECT_EQ(node.steps, steps);
    const Node& both = node.operands.front();
    ASSERT_EQ(both.kind, NodeKind::both);
    ASSERT_EQ(both.operands.size(), 2u);
    EXPECT_EQ(both.operands[0].source, (Source{SourceKind::quality, 0.3}));
    EXPECT_EQ(both.operands[1].source, (Source{SourceKind::otsu, 0.0}));
}

TEST(ParseMask, AndBindsTighterThanOrAndNotTighterThanBoth)
{
    EXPECT_EQ(parse_expression("auto | otsu & !quality"), parse_expression("auto | (otsu & (!quality))"));
    EXPECT_NE(parse_expression("auto | otsu & quality"), parse_expression("(auto | otsu) & quality"));
    EXPECT_EQ(parse_expression("auto - otsu & quality"), parse_expression("(auto - otsu) & quality"));
    EXPECT_EQ(parse_expression("auto | otsu, fill"), parse_expression("(auto | otsu), fill"));
    EXPECT_NE(parse_expression("auto | (otsu, fill)"), parse_expression("auto | otsu, fill"));
}

TEST(ParseMask, PlainTextReadsBackAsTheSameTree)
{
    for (const char* text : {"auto", "quality 0.25", "auto & otsu & all", "auto - (otsu - all)", "(auto | otsu) & !all", "!(auto, fill 0.5 ml)",
                             "!!auto", "'/a b/m.nii' | \"it's, odd.nii\", fill", "auto - otsu & all | signal - robust 2",
                             "(auto, open 2, largest) & (quality, close 1.5), patch, peel 0.7, smooth 2 mm, dilate 3"}) {
        const Node node = parse_expression(text);
        EXPECT_EQ(parse_expression(to_text(node)), node) << text << " became " << to_text(node);
    }
    EXPECT_EQ(plain("  auto&otsu ,fill,erode 1mm"), "auto & otsu, fill, erode 1 mm");
    EXPECT_EQ(plain("((auto))"), "auto");
    EXPECT_EQ(plain("(auto, fill), erode 1"), "auto, fill, erode 1 mm");
}

TEST(ParseMask, TakesPathsPlainAndQuoted)
{
    using V = std::vector<std::string>;
    EXPECT_EQ(files_of("masks/sub-{sub}_{ses}.nii.gz"), V{"masks/sub-{sub}_{ses}.nii.gz"});
    EXPECT_EQ(files_of("mask.nii & a-b.nii - c.nii"), (V{"mask.nii", "a-b.nii", "c.nii"}));
    EXPECT_EQ(files_of("/my data/new masks/{sub}.nii.gz, erode 1"), V{"/my data/new masks/{sub}.nii.gz"});
    EXPECT_EQ(files_of("'/a,b & (c)/m.nii' | auto"), V{"/a,b & (c)/m.nii"});
    EXPECT_EQ(files_of("\"01\" | 01.nii"), (V{"01", "01.nii"}));
    EXPECT_EQ(plain("\"mask.nii\""), "mask.nii");
}

TEST(ParseMask, SaysWhereWhatWasExpectedAndWhatIsNear)
{
    EXPECT_THAT(refusal("quality & bte, fill"), AllOf(HasSubstr("column 11"), HasSubstr("'bte'"), HasSubstr("did you mean 'bet'")));
    EXPECT_THAT(refusal("auto, eroed 1"), AllOf(HasSubstr("column 7"), HasSubstr("did you mean 'erode'")));
    EXPECT_THAT(refusal("auto, xyzzy"), AllOf(HasSubstr("not a step"), HasSubstr("peel")));
    EXPECT_THAT(refusal("plugh"), AllOf(HasSubstr("not a source"), HasSubstr("quality"), HasSubstr(".nii")));
    EXPECT_THAT(refusal(""), HasSubstr("empty"));
    EXPECT_THAT(refusal("auto &"), AllOf(HasSubstr("column 7"), HasSubstr("expected a source"), HasSubstr("found the end")));
    EXPECT_THAT(refusal("(auto | otsu"), AllOf(HasSubstr("column 1:"), HasSubstr("not closed")));
    EXPECT_THAT(refusal("auto)"), AllOf(HasSubstr("column 5"), HasSubstr("not opened")));
    EXPECT_THAT(refusal("'mask.nii"), HasSubstr("quote is not closed"));
    EXPECT_THAT(refusal("auto, "), AllOf(HasSubstr("expected a step"), HasSubstr("found the end")));
    EXPECT_THAT(refusal("auto,, fill"), AllOf(HasSubstr("column 6"), HasSubstr("expected a step")));
}

TEST(ParseMask, KnowsCommonSlips)
{
    EXPECT_THAT(refusal("auto fill"), HasSubstr("comma is missing"));
    EXPECT_THAT(refusal("auto and otsu"), HasSubstr("written &"));
    EXPECT_THAT(refusal("not auto"), HasSubstr("written !"));
    EXPECT_THAT(refusal("auto & fill"), HasSubstr("it is a step"));
    EXPECT_THAT(refusal("auto, otsu"), HasSubstr("it is a source"));
    EXPECT_THAT(refusal("auto-otsu"), HasSubstr("blanks around it"));
    EXPECT_THAT(refusal("/a,b.nii"), HasSubstr("quotes"));
    EXPECT_THAT(refusal("auto quality"), HasSubstr("expected &"));
}

TEST(ParseMask, RefusesNumbersThatMakeNoSense)
{
    EXPECT_THAT(refusal("quality 1.5"), AllOf(HasSubstr("column 9"), HasSubstr("between 0 and 1"), HasSubstr("1.5")));
    EXPECT_THAT(refusal("otsu 0"), HasSubstr("between 0 and"));
    EXPECT_THAT(refusal("auto 2"), HasSubstr("takes no number"));
    EXPECT_THAT(refusal("auto, largest 2"), HasSubstr("takes no number"));
    EXPECT_THAT(refusal("auto, erode"), HasSubstr("'erode 2'"));
    EXPECT_THAT(refusal("auto, erode 500"), HasSubstr("up to 100 mm"));
    EXPECT_THAT(refusal("auto, erode -1"), HasSubstr("needs a length"));
    EXPECT_THAT(refusal("auto, erode 1 ml"), HasSubstr("in mm, not 'ml'"));
    EXPECT_THAT(refusal("auto, erode 1 2"), HasSubstr("expected &, |, - or a comma"));
    EXPECT_THAT(refusal("0.3 quality"), HasSubstr("expected a source"));
}

TEST(ParseMask, DoesNotExhaustTheStack)
{
    EXPECT_THAT(refusal(std::string(100'000, '(')), HasSubstr("too deeply"));
    EXPECT_THAT(refusal(std::string(100'000, '!')), HasSubstr("too deeply"));
    EXPECT_THAT(refusal(std::string(20, '(') + "auto" + std::string(20, ')')), "accepted as auto");
    std::string wide = "all";
    for (int i = 0; i < 2000; ++i) wide += " & !all";
    EXPECT_THAT(refusal(wide), Not(HasSubstr("too deeply")));
}

TEST(ParseMask, HelpNamesEveryWord)
{
    for (const char* word : {"auto", "quality", "magnitude", "robust", "otsu", "gaussian", "corrected", "bet", "signal", "all", "FILE", "fill", "patch", "erode", "peel",
                             "dilate", "open", "close", "smooth", "largest"})
        EXPECT_THAT(expression_help(), HasSubstr(word));
}

}  // namespace qsmpi::mask
