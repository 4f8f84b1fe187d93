#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "qsmpi/core/hash.hpp"
#include "qsmpi/core/log.hpp"
#include "qsmpi/core/parallel.hpp"
#include "qsmpi/core/suggest.hpp"
#include "qsmpi/core/volume.hpp"

namespace qsmpi {

TEST(Volume, IsAlignedForSimdAndCountsXFastest)
{
    VolumeF v(Grid{{3, 4, 5}, {1, 1, 1}}, 2.0f);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(v.data()) % 64, 0u);
    v(1, 2, 3) = 7.0f;
    EXPECT_EQ(v[1 + 3 * (2 + 4 * 3)], 7.0f);
    EXPECT_EQ(v.clone()[43], v[43]);
}

TEST(Volume, RefusesToMixGrids)
{
    const VolumeF a(Grid{{3, 4, 5}, {1, 1, 1}}), b(Grid{{3, 4, 5}, {1, 1, 2}});
    EXPECT_THROW(require_same_grid(a, b, "a and b"), InputError);
}

TEST(Parallel, SumsAreTheSameBitsForAnyNumberOfThreads)
{
    std::vector<float> x(300'001);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 1.0f / static_cast<float>(i + 1);
    const auto sum = [&] {
        return parallel::sum_blocks<double>(x.size(), [&](std::size_t begin, std::size_t end) {
            double s = 0;
            for (std::size_t i = begin; i < end; ++i) s += x[i];
            return s;
        });
    };
    parallel::set_threads(1);
    const double one = sum();
    for (const int n : {2, 3, 4}) {
        parallel::set_threads(n);
        EXPECT_EQ(sum(), one) << n << " threads";
    }
    EXPECT_NEAR(one, 13.18877, 1e-4);  // harmonic number H(300001) = ln(300001) + 0.5772...
}

TEST(Parallel, RethrowsAnExceptionFromALoopBody)
{
    EXPECT_THROW(parallel::for_each(100, [](std::size_t i) { require(i != 57, "57"); }), InputError);
}

TEST(Hash, MatchesTheReferenceValueAndSeparatesFields)
{
    // XXH3_128bits of the empty input, from the xxHash specification.
    EXPECT_EQ(Hasher().hex(), "99aa06d3014798d86001c324468d497f");
    Hasher a, b;
    a.add("ab");
    a.add("c");
    b.add("a");
    b.add("bc");
    EXPECT_NE(a.hex(), b.hex());
    EXPECT_EQ(crc32_of("123456789"), 0xCBF43926u);  // the check value of CRC-32
}

TEST(Suggest, NamesTheNearestWordAndStaysSilentOtherwise)
{
    const std::vector<std::string> words{"run", "status", "unwrap", "background", "phantom"};
    EXPECT_EQ(nearest_word("backgruond", words), "background");
    EXPECT_EQ(nearest_word("statsu", words), "status");
    EXPECT_EQ(nearest_word("zzzzzz", words), "");
}

TEST(Log, WritesTimeContextLevelAndMessage)
{
    std::string line;
    log::set_sink([&](std::string_view text) { line = text; });
    log::set_context("rank=3 job=sub-07");
    log::warn("mask shrank by 31 %");
    EXPECT_TRUE(line.ends_with("Z rank=3 job=sub-07 WARN mask shrank by 31 %")) << line;
    line.clear();
    log::debug("not at this level");
    EXPECT_EQ(line, "");
}

}  // namespace qsmpi
