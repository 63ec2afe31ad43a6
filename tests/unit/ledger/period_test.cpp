#include "gateway/ledger/period.h"

#include <cstdlib>
#include <ctime>

#include "tests/catch.h"

using namespace trib::ledger;

namespace {
constexpr std::int64_t dec_2026 = 1'796'054'400'000;  // 2026-12-01T00:00:00+08:00 = 2026-11-30T16:00:00Z
}

TEST_CASE("a month ends half-open at midnight in Shanghai, whatever the host's zone") {
  for (const char* zone : {"UTC", "Asia/Shanghai", "America/New_York"}) {
    setenv("TZ", zone, 1);
    tzset();
    CHECK(period_of(dec_2026 - 1) == 202611);
    CHECK(period_of(dec_2026) == 202612);
    CHECK(period_begin_ms(202612) == dec_2026);
    CHECK(period_end_ms(202611) == dec_2026);
    CHECK(time_text(dec_2026 - 1) == "2026-11-30T23:59:59.999+08:00");
    CHECK(time_text(dec_2026) == "2026-12-01T00:00:00.000+08:00");
  }
  unsetenv("TZ");
  tzset();
}

TEST_CASE("leap day and year end") {
  const auto leap_begin = period_begin_ms(202802);
  CHECK(period_end_ms(202802) - leap_begin == 29 * day_ms);
  CHECK(day_text(period_end_ms(202802) - 1) == "2028-02-29");
  CHECK(period_end_ms(202612) == period_begin_ms(202701));
  CHECK(period_of(period_end_ms(202612) - 1) == 202612);
  CHECK(day_end_ms(dec_2026 - 1) == dec_2026);
  CHECK(day_end_ms(dec_2026) == dec_2026 + day_ms);
}

TEST_CASE("every month of a century is its own inverse") {
  for (Period year = 1992; year < 2092; ++year) {
    for (Period month = 1; month <= 12; ++month) {
      const Period p = year * 100 + month;
      REQUIRE(period_of(period_begin_ms(p)) == p);
      REQUIRE(period_of(period_end_ms(p) - 1) == p);
      REQUIRE(parse_period(period_text(p)) == p);
    }
  }
}

TEST_CASE("a period's text is YYYY-MM and nothing else") {
  for (const char* bad : {"", "2026", "2026-13", "2026-00", "2026-1", "2026/11", "2026-11 ", "x026-11", "1969-12", "2026-11-01"}) {
    CHECK_FALSE(parse_period(bad).has_value());
  }
}
