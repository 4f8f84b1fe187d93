#include <gtest/gtest.h>

#include "qsmpi/core/error.hpp"
#include "qsmpi/io/csv.hpp"
#include "qsmpi/io/file.hpp"
#include "volumes.hpp"

namespace qsmpi::io
{
namespace
{

TEST(Csv, QuotesWhatNeedsItAndNothingElse)
{
    EXPECT_EQ(csv_field("plain text"), "plain text");
    EXPECT_EQ(csv_field(""), "");
    EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
    EXPECT_EQ(csv_field("say \"no\""), "\"say \"\"no\"\"\"");
    EXPECT_EQ(csv_field("two\nlines"), "\"two\nlines\"");
}

TEST(Csv, IsWrittenWholeAndRefusesRaggedRows)
{
    CsvTable table({"job", "cause"});
    table.add({"sub-01", "signal 11, echo 2"});
    EXPECT_THROW(table.add({"sub-02"}), InputError);
    const test::TemporaryFolder folder;
    table.write(folder.path() + "/jobs.csv");
    EXPECT_EQ(read_file(folder.path() + "/jobs.csv"), "job,cause\r\nsub-01,\"signal 11, echo 2\"\r\n");
    EXPECT_THROW(CsvTable({}), InputError);
}

TEST(Csv, NumbersReadBackTheSame)
{
    EXPECT_EQ(number_text(0.1), "0.1");
    EXPECT_EQ(number_text(3.0), "3");
    for (const double x : {1.0 / 3.0, 1e-300, -2.5e17}) EXPECT_EQ(std::stod(number_text(x)), x);
}

}  // namespace
}  // namespace qsmpi::io
