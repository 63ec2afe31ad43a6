#include "gateway/metering/trim.h"

#include "tests/catch.h"

using trib::metering::TrimRule;

namespace {

constexpr std::int64_t minute = 60'000, hour = 60 * minute;

// A record a minute: at minute n the newest is n.
void pass(TrimRule& rule, std::int64_t from, std::int64_t to) {
  for (std::int64_t n = from; n <= to; ++n) {
    REQUIRE(rule.due(n * minute));
    rule.note(n * minute, static_cast<trib::metering::Lsn>(n));
    REQUIRE_FALSE(rule.due(n * minute + minute - 1));
  }
}

}  // namespace

TEST_CASE("a segment goes when it is posted and a backup covers it; keep bounds what no backup covers") {
  TrimRule rule(30 * 24 * hour, 11 * minute, 24 * hour);
  pass(rule, 1, 25 * 60);
  constexpr auto never = UINT64_MAX;
  CHECK(rule.keep_from(never, 0) == 0);           // no backup, younger than keep
  CHECK(rule.keep_from(never, 40) == 40);         // covered, older than a day
  CHECK(rule.keep_from(never, 25 * 60) == 60);    // covered, but keys of the last day are needed
  CHECK(rule.keep_from(17, 40) == 17);            // not posted
  CHECK_FALSE(rule.uncovered(never, 40));
  pass(rule, 25 * 60 + 1, 31 * 24 * 60);
  CHECK(rule.keep_from(never, 0) == 24 * 60);     // a month and a day: the first day goes, covered or not
  CHECK(rule.uncovered(never, 0));
  CHECK(rule.keep_from(never, never) == 30 * 24 * 60);
}

TEST_CASE("with the usual day a backup makes nothing go earlier, and an open request holds its records") {
  TrimRule day(24 * hour, 11 * minute, 24 * hour);
  pass(day, 1, 24 * 60 + 5);
  CHECK(day.keep_from(UINT64_MAX, UINT64_MAX) == 5);
  CHECK(day.keep_from(UINT64_MAX, 0) == 5);
  TrimRule none(0, 11 * minute, 24 * hour);  // keep: 0s
  pass(none, 1, 20);
  CHECK(none.keep_from(UINT64_MAX, 0) == 9);
}
