#include "gateway/ledger/period.h"

#include <algorithm>
#include <chrono>

#include "gateway/base/base.h"

namespace trib::ledger {
namespace {

using std::chrono::year_month_day;

// Years 1 to 9999: a clock that says anything else is held at the edge.
constexpr std::int64_t wall_ms_min = -62'135'596'800'000;
constexpr std::int64_t wall_ms_max = 253'402'214'400'000 - 1;

std::int64_t local_day(std::int64_t wall_ms) {
  const std::int64_t local = std::clamp(wall_ms, wall_ms_min, wall_ms_max) + shanghai_offset_ms;
  return local >= 0 ? local / day_ms : -((-local + day_ms - 1) / day_ms);
}

year_month_day date_of(std::int64_t wall_ms) {
  return year_month_day{std::chrono::sys_days{std::chrono::days{static_cast<int>(local_day(wall_ms))}}};
}

void append_digits(std::string& out, unsigned value, std::size_t width) {
  const std::string digits = std::to_string(value);
  if (digits.size() < width) out.append(width - digits.size(), '0');
  out += digits;
}

}  // namespace

Period period_of(std::int64_t wall_ms) {
  const auto date = date_of(wall_ms);
  return static_cast<int>(date.year()) * 100 + static_cast<int>(static_cast<unsigned>(date.month()));
}

std::string period_text(Period period) {
  TRIB_ASSERT(period > 0);
  std::string out;
  append_digits(out, static_cast<unsigned>(period / 100), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(period % 100), 2);
  return out;
}

std::optional<Period> parse_period(std::string_view text) {
  if (text.size() != 7 || text[4] != '-') return std::nullopt;
  Period value = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == 4) continue;
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = value * 10 + (text[i] - '0');
  }
  const Period month = value % 100;
  if (month < 1 || month > 12 || value / 100 < 1970) return std::nullopt;
  return value;
}

std::int64_t period_begin_ms(Period period) {
  const std::chrono::sys_days day{std::chrono::year{period / 100} / std::chrono::month{static_cast<unsigned>(period % 100)} / 1};
  return static_cast<std::int64_t>(day.time_since_epoch().count()) * day_ms - shanghai_offset_ms;
}

std::int64_t period_end_ms(Period period) {
  return period_begin_ms(period % 100 == 12 ? period + 89 : period + 1);
}

std::string day_text(std::int64_t wall_ms) {
  const auto date = date_of(wall_ms);
  std::string out;
  append_digits(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  return out;
}

std::string time_text(std::int64_t wall_ms) {
  wall_ms = std::clamp(wall_ms, wall_ms_min, wall_ms_max);
  const auto in_day = static_cast<unsigned>(wall_ms + shanghai_offset_ms - local_day(wall_ms) * day_ms);
  std::string out = day_text(wall_ms);
  out += 'T';
  append_digits(out, in_day / 3'600'000, 2);
  out += ':';
  append_digits(out, in_day / 60'000 % 60, 2);
  out += ':';
  append_digits(out, in_day / 1000 % 60, 2);
  out += '.';
  append_digits(out, in_day % 1000, 3);
  return out + "+08:00";
}

std::int64_t day_end_ms(std::int64_t wall_ms) { return (local_day(wall_ms) + 1) * day_ms - shanghai_offset_ms; }

}  // namespace trib::ledger
