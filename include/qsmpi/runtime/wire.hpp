#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "qsmpi/runtime/outcome.hpp"
#include "qsmpi/runtime/resources.hpp"
#include "qsmpi/runtime/supervisor.hpp"

/// Messages between coordinator and supervisors. A message is a header of 24 bytes, little-endian,
///   "QSMR", version u16, type u16, body length u32, job u32, attempt u32, CRC-32 of all the rest u32,
/// and a body: JSON text, in a start order followed by a line break and the payload as it is.
namespace qsmpi::runtime::wire {

inline constexpr std::uint16_t version = 1;
inline constexpr std::size_t header_bytes = 24;

enum class Type : std::uint16_t {
    hello = 1,   ///< supervisor: here I am, NodeReport
    start,       ///< coordinator: StartOrder
    kill,        ///< coordinator: with the cause
    ended,       ///< supervisor: Outcome of a job's attempt
    beat,        ///< both: I am alive
    withdraw,    ///< supervisor: no more jobs for me
    dismiss,     ///< coordinator: the run is over, answer goodbye
    goodbye,     ///< supervisor: no child is left here
    release,     ///< coordinator: end now; body "all" if every rank does
    evict        ///< coordinator: end the process of a lost rank of this node, NodeReport
};

struct Frame {
    Type type = Type::beat;
    std::uint32_t job = 0;
    std::uint32_t attempt = 0;
    std::string body = {};
};

[[nodiscard]] std::string encode(const Frame& frame);
/// @throws CommError unless this is exactly one whole, undamaged message of this version
[[nodiscard]] Frame decode(std::string_view bytes);

/// Bodies. The readers throw CommError for what is not such a body.
[[nodiscard]] std::string body_of(const NodeReport& report);
[[nodiscard]] NodeReport report_from(std::string_view body);
[[nodiscard]] std::string body_of(const StartOrder& order);
/// Job and attempt come from the header.
[[nodiscard]] StartOrder order_from(const Frame& frame);
[[nodiscard]] std::string body_of(const Outcome& outcome);
[[nodiscard]] Outcome outcome_from(std::string_view body);

}  // namespace qsmpi::runtime::wire
