// Accounting time: periods are calendar months in Asia/Shanghai (UTC+8 throughout; the zone has known
// no summer time since 1991). Computed by arithmetic, so the host's zone and tz database do not matter.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace trib::ledger {

constexpr std::int64_t shanghai_offset_ms = 8 * 3'600'000;
constexpr std::int64_t day_ms = 86'400'000;

// A month as year * 100 + month: 202611. Half-open: a month owns its first millisecond, not its end.
using Period = std::int32_t;

Period period_of(std::int64_t wall_ms);
constexpr Period next_period(Period period) { return period % 100 == 12 ? period + 89 : period + 1; }
std::string period_text(Period period);                      // "2026-11"
std::optional<Period> parse_period(std::string_view text);   // "2026-11" only
std::int64_t period_begin_ms(Period period);
std::int64_t period_end_ms(Period period);                   // the first millisecond of the next

std::string day_text(std::int64_t wall_ms);   // "2026-11-24", the day in Asia/Shanghai
std::string time_text(std::int64_t wall_ms);  // RFC 3339 with offset: "2026-11-24T08:00:00.000+08:00"
// The first millisecond of the next day in Asia/Shanghai: where an inclusive `until` ends.
std::int64_t day_end_ms(std::int64_t wall_ms);

}  // namespace trib::ledger
