#include "qsmpi/runtime/wire.hpp"

#include <gtest/gtest.h>

#include <random>

#include "qsmpi/core/error.hpp"

namespace qsmpi::runtime::wire {
namespace {

Frame sample() { return {Type::ended, 0xA1B2C3D4u, 7, std::string("body\0with\xff bytes", 16)}; }

TEST(Wire, BringsBackWhatWasSent)
{
    const Frame f = decode(encode(sample()));
    EXPECT_EQ(f.type, Type::ended);
    EXPECT_EQ(f.job, 0xA1B2C3D4u);
    EXPECT_EQ(f.attempt, 7u);
    EXPECT_EQ(f.body, sample().body);
}

TEST(Wire, HasTheHeaderThatIsDocumented)
{
    const std::string bytes = encode({Type::kill, 0x01020304u, 5, "xyz"});
    ASSERT_EQ(bytes.size(), 27u);
    EXPECT_EQ(bytes.substr(0, 4), "QSMR");
    EXPECT_EQ(bytes.substr(4, 16), std::string("\x01\x00\x03\x00\x03\x00\x00\x00\x04\x03\x02\x01\x05\x00\x00\x00", 16));
    EXPECT_EQ(bytes.substr(24), "xyz");
}

TEST(Wire, RefusesEveryFlippedBitAndEveryTruncation)
{
    const std::string good = encode(sample());
    for (std::size_t i = 0; i < good.size() * 8; ++i) {
        std::string bad = good;
        bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
        EXPECT_THROW((void)decode(bad), CommError) << "bit " << i;
    }
    for (std::size_t n = 0; n < good.size(); ++n) EXPECT_THROW((void)decode(good.substr(0, n)), CommError);
    EXPECT_THROW((void)decode(good + "x"), CommError);
}

TEST(Wire, SurvivesRandomBytesInHeaderAndBody)
{
    std::mt19937 random(20260101);
    const auto byte = [&] { return static_cast<char>(random() & 0xFFu); };
    for (int i = 0; i < 20000; ++i) {
        std::string bytes(random() % 80, '\0');
        for (char& c : bytes) c = byte();
        if (i % 2 == 0 && bytes.size() >= 4) bytes.replace(0, 4, "QSMR");
        EXPECT_THROW((void)decode(bytes), CommError);
    }
    // Well-formed frames around nonsense: the bodies' readers must refuse it as well, and nothing else.
    const std::string real[] = {body_of(NodeReport{.host = "n1", .cores = {0, 3}}), body_of(Outcome{.message = "m"}),
                                body_of(StartOrder{.key = "k", .payload = "p"})};
    for (int i = 0; i < 3000; ++i) {
        std::string body = real[random() % 3];
        for (int k = 0; k < 3; ++k) body[random() % body.size()] = byte();
        try {
            (void)report_from(body);
        } catch (const CommError&) {
        }
        try {
            (void)outcome_from(body);
        } catch (const CommError&) {
        }
        try {
            (void)order_from({Type::start, 1, 1, body});
        } catch (const CommError&) {
        }
    }
}

TEST(Wire, CarriesALargePayloadWithAnyBytes)
{
    StartOrder order{.job = 3, .attempt = 2, .slot = {.rank = 1, .threads = 4, .cores = {8, 9}}, .key = "a\nb", .payload = {}};
    order.payload.assign(200'000, '\n');
    order.payload[5] = '\0';
    const StartOrder back = order_from(decode(encode({Type::start, 3, 2, body_of(order)})));
    EXPECT_EQ(back.job, 3u);
    EXPECT_EQ(back.attempt, 2);
    EXPECT_EQ(back.key, "a\nb");
    EXPECT_EQ(back.payload, order.payload);
    EXPECT_EQ(back.slot.threads, 4);
    EXPECT_EQ(back.slot.cores, (std::vector<int>{8, 9}));
}

TEST(Wire, CarriesReportsAndOutcomesWhole)
{
    const NodeReport r{.host = "node7", .pid = 12, .start_ticks = 1ull << 40, .cores = {1, 5}, .cpu_limit = 2,
                       .cpus_per_task = 1, .memory_bytes = 1ull << 50};
    const NodeReport r2 = report_from(body_of(r));
    EXPECT_EQ(r2.host, r.host);
    EXPECT_EQ(r2.start_ticks, r.start_ticks);
    EXPECT_EQ(r2.cores, r.cores);
    EXPECT_EQ(r2.memory_bytes, r.memory_bytes);

    const Outcome o{.cause = Cause::oom, .code = 9, .skipped = true, .message = "bad \xff utf-8", .seconds = 1.5,
                    .peak_mb = 20, .result = "{\"state\":\"failed\"}"};
    const Outcome o2 = outcome_from(body_of(o));
    EXPECT_EQ(o2.cause, Cause::oom);
    EXPECT_EQ(o2.code, 9);
    EXPECT_TRUE(o2.skipped);
    EXPECT_EQ(o2.seconds, 1.5);
    EXPECT_EQ(o2.result, o.result);
    EXPECT_NE(o2.message.find("utf-8"), std::string::npos);
}

}  // namespace
}  // namespace qsmpi::runtime::wire
