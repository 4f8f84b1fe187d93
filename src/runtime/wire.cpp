#include "qsmpi/runtime/wire.hpp"

#include <nlohmann/json.hpp>

#include "qsmpi/core/error.hpp"
#include "qsmpi/core/hash.hpp"

namespace qsmpi::runtime::wire {
namespace {

using nlohmann::json;

constexpr std::string_view magic = "QSMR";
constexpr std::size_t crc_at = 20;

void put(std::string& out, std::uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xFFu));
}

std::uint32_t get(std::string_view bytes, std::size_t at, int n_bytes)
{
    std::uint32_t value = 0;
    for (int i = 0; i < n_bytes; ++i) {
        value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at + static_cast<std::size_t>(i)])) << (8 * i);
    }
    return value;
}

std::uint32_t checksum(std::string_view message)
{
    std::string covered(message.substr(0, crc_at));
    covered += message.substr(header_bytes);
    return crc32_of(covered);
}

/// Text of jobs and of other programs may hold any bytes: invalid UTF-8 is replaced, not thrown at.
std::string dump(const json& j) { return j.dump(-1, ' ', false, json::error_handler_t::replace); }

template <typename Read>
auto parsed(std::string_view body, const char* what, Read&& read)
{
    try {
        return read(json::parse(body));
    } catch (const json::exception& e) {
        throw CommError(str("a message with ", what, " is damaged: ", e.what()));
    }
}

}  // namespace

std::string encode(const Frame& frame)
{
    std::string out;
    out.reserve(header_bytes + frame.body.size());
    out += magic;
    put(out, version, 2);
    put(out, static_cast<std::uint32_t>(frame.type), 2);
    put(out, static_cast<std::uint32_t>(frame.body.size()), 4);
    put(out, frame.job, 4);
    put(out, frame.attempt, 4);
    put(out, 0, 4);
    out += frame.body;
    std::string crc;
    put(crc, checksum(out), 4);
    out.replace(crc_at, 4, crc);
    return out;
}

Frame decode(std::string_view bytes)
{
    if (bytes.size() < header_bytes || bytes.substr(0, 4) != magic) {
        throw CommError(str("a message of ", bytes.size(), " bytes is not one of this program"));
    }
    if (const auto theirs = get(bytes, 4, 2); theirs != version) {
        throw CommError(str("a message has version ", theirs, ", expected ", version, ": are all ranks the same program?"));
    }
    const std::uint32_t length = get(bytes, 8, 4);
    if (length != bytes.size() - header_bytes) {
        throw CommError(str("a message announces ", length, " bytes and has ", bytes.size() - header_bytes));
    }
    if (get(bytes, crc_at, 4) != checksum(bytes)) throw CommError("a message is damaged: wrong checksum");
    const std::uint32_t type = get(bytes, 6, 2);
    if (type < static_cast<std::uint32_t>(Type::hello) || type > static_cast<std::uint32_t>(Type::evict)) {
        throw CommError(str("a message has the unknown type ", type));
    }
    return {static_cast<Type>(type), get(bytes, 12, 4), get(bytes, 16, 4), std::string(bytes.substr(header_bytes))};
}

std::string body_of(const NodeReport& r)
{
    return dump({{"host", r.host}, {"pid", r.pid}, {"start_ticks", r.start_ticks}, {"cores", r.cores},
                 {"cpu_limit", r.cpu_limit}, {"cpus_per_task", r.cpus_per_task}, {"memory_bytes", r.memory_bytes}});
}

NodeReport report_from(std::string_view body)
{
    return parsed(body, "a node report", [](const json& j) {
        NodeReport r;
        r.host = j.at("host").get<std::string>();
        r.pid = j.at("pid").get<int>();
        r.start_ticks = j.at("start_ticks").get<std::uint64_t>();
        r.cores = j.at("cores").get<std::vector<int>>();
        r.cpu_limit = j.at("cpu_limit").get<int>();
        r.cpus_per_task = j.at("cpus_per_task").get<int>();
        r.memory_bytes = j.at("memory_bytes").get<std::uint64_t>();
        return r;
    });
}

std::string body_of(const StartOrder& order)
{
    // No line break inside: JSON escapes those of the key.
    return dump({{"key", order.key}, {"threads", order.slot.threads}, {"cores", order.slot.cores}}) + "\n" + order.payload;
}

StartOrder order_from(const Frame& frame)
{
    const auto end = frame.body.find('\n');
    if (end == std::string::npos) throw CommError("a start order has no payload");
    StartOrder order = parsed(std::string_view(frame.body).substr(0, end), "a start order", [](const json& j) {
        StartOrder o;
        o.key = j.at("key").get<std::string>();
        o.slot.threads = j.at("threads").get<int>();
        o.slot.cores = j.at("cores").get<std::vector<int>>();
        return o;
    });
    order.job = frame.job;
    order.attempt = static_cast<int>(frame.attempt);
    order.payload = frame.body.substr(end + 1);
    return order;
}

std::string body_of(const Outcome& o)
{
    return dump({{"cause", to_text(o.cause)}, {"code", o.code}, {"skipped", o.skipped}, {"message", o.message},
                 {"seconds", o.seconds}, {"peak_mb", o.peak_mb}, {"result", o.result}});
}

Outcome outcome_from(std::string_view body)
{
    return parsed(body, "an outcome", [](const json& j) {
        Outcome o;
        o.cause = cause_from(j.at("cause").get<std::string>());
        o.code = j.at("code").get<int>();
        o.skipped = j.at("skipped").get<bool>();
        o.message = j.at("message").get<std::string>();
        o.seconds = j.at("seconds").get<double>();
        o.peak_mb = j.at("peak_mb").get<double>();
        o.result = j.at("result").get<std::string>();
        return o;
    });
}

}  // namespace qsmpi::runtime::wire
