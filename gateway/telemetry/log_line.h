// The text of one log line, apart from writing it. Pure.
#pragma once
#include <span>
#include <string>

#include "gateway/telemetry/telemetry.h"

namespace trib::telemetry {

constexpr std::size_t log_value_bytes_max = 2048;  // longer values are cut and end in "..."

std::string time_text(
    std::int64_t unix_ms);  // RFC 3339, UTC, milliseconds: "2026-01-02T03:04:05.678Z"
// One JSON object or one line for people; ends in a newline and holds no other.
std::string log_line(bool json, std::int64_t unix_ms, Level level, std::string_view event,
                     std::span<const LogField> fields);

}  // namespace trib::telemetry
