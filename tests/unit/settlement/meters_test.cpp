// The meters' meeting: quantities in Q900, and what the close makes of counts that are estimates.
#include "gateway/settlement/meters.h"

#include "gateway/ledger/receipt_intake.h"
#include "tests/unit/ledger/receipts.h"
#include "tests/unit/settlement/books.h"

using namespace trib;
using namespace trib::settlement;
using namespace trib::test;

namespace {

constexpr std::int64_t day_begin = nov_2026 + 23 * ledger::day_ms;  // of `noon`
const ledger::Quantity nothing{};

bool dials_in(const std::string& site) { return site != "dc-one"; }

struct NoonClock final : Clock {
  std::int64_t mono_ns() const override { return 1; }
  std::int64_t wall_ms() const override { return noon + 60'000; }
};

struct Yard : Books {
  NoonClock clock;
  Agent agent;
  std::unique_ptr<ledger::ReceiptIntake> intake;
  using Books::Books;

  void take(std::vector<Receipt> receipts) {
    std::string why;
    if (!intake) intake = ledger::ReceiptIntake::open(*ledger, journal, clock, why);
    REQUIRE(intake);
    REQUIRE(intake->take("cafe-one", agent.next(std::move(receipts))).result == ledger::ReceiptIntake::Result::taken);
    post_all();
  }
  std::size_t meet(std::int64_t wall_ms = noon + ledger::day_ms) {
    const Meeting met = settlement::meet(*ledger, day_begin, day_begin + ledger::day_ms, wall_ms, dials_in, {});
    REQUIRE(met.error == "");
    return met.booked;
  }
  ledger::Quantity quantity(const std::string& account, std::optional<Period> period = {}) {
    for (const auto& row : read()->quantities(period))
      if (row.account == account && row.site == "cafe-one") return row.amount;
    return nothing;
  }
  void explain(const std::string& subject) { REQUIRE(settlement::explain(*ledger, subject, "a test", "doc 1", december_4) == ledger::Posting::posted); }
};

// A stream whose customer left: no usage came, the count is an estimate.
metering::Final left(std::uint64_t n, const std::string& site) {
  auto out = served(n, site);
  out.outcome = metering::Outcome::cancelled;
  out.source = metering::CountSource::estimate;
  out.results.back().claimed.reset();
  return out;
}

Receipt pieces_of(const metering::Final& final, std::uint64_t pieces) {
  Receipt out = receipt_of(final);
  out.tokens.reset();
  out.pieces = pieces;
  return out;
}

}  // namespace

TEST_CASE("what the meters differ by stands in Q900 as the site signed it, each difference once") {
  Yard yard;
  std::vector<metering::Final> finals;
  for (std::uint64_t n = 1; n <= 4; ++n) REQUIRE(yard.journal.append(finals.emplace_back(served(n))) > 0);
  REQUIRE(yard.journal.append(served(5, "dc-one")) > 0);
  yard.post_all();
  yard.take({receipt_of(finals[0]), receipt_of(finals[1], 250), receipt_of(finals[2], 190)});  // the fourth signs nothing
  CHECK(yard.quantity("Q900/produced") == ledger::Quantity{-4, -400, 0, 0, -800, 0});

  CHECK(yard.meet() == 1);
  CHECK(yard.quantity("Q900/meters") == ledger::Quantity{-1, -100, 0, 0, 50 - 10 - 200, 0});
  CHECK(yard.quantity("Q900/produced") == ledger::Quantity{-3, -300, 0, 0, -640, 0});
  CHECK(yard.quantity("Q900/consumed") == ledger::Quantity{4, 400, 0, 0, 800, 0});
  CHECK(yard.meet() == 0);  // nothing is new

  yard.take({receipt_of(finals[3])});  // it comes late
  CHECK(yard.meet() == 1);
  CHECK(yard.quantity("Q900/meters") == ledger::Quantity{0, 0, 0, 0, 40, 0});
  CHECK(yard.meet() == 0);
  yard.sound();
}

TEST_CASE("the close books what the daily meeting has not, and a closed month's goes to the next") {
  Yard yard;
  yard.rules.dials_in = dials_in;
  const auto final = served(1);
  REQUIRE(yard.journal.append(final) > 0);
  yard.post_all();
  yard.take({receipt_of(final, 300)});
  REQUIRE(yard.step(november, december_4) == "grace");
  CHECK(yard.step(november, december_4).find("1 attempts on which the meters differ, the first: cafe-one signed more") != std::string::npos);
  CHECK(yard.quantity("Q900/meters") == nothing);  // it did not move on, so it booked nothing
  yard.explain("receipts:cafe-one:2026-11-24");
  REQUIRE(yard.step(november, december_4) == "reconciled");
  CHECK(yard.quantity("Q900/meters", november) == ledger::Quantity{0, 0, 0, 0, 100, 0});
  REQUIRE(yard.step(november, december_4) == "closed");

  Receipt stranger = receipt_of(final);
  stranger.request.lo = 4711;
  yard.take({stranger});
  CHECK(yard.meet(december_4) == 1);
  CHECK(yard.quantity("Q900/meters", november) == ledger::Quantity{0, 0, 0, 0, 100, 0});
  CHECK(yard.quantity("Q900/meters", december) == ledger::Quantity{1, 100, 0, 0, 200, 0});
  yard.sound();
}

TEST_CASE("the meters meet daily over the days of the last grace, and what is not booked is the next day's") {
  constexpr std::int64_t grace_days = 3;
  Yard yard;
  const auto first = served(1), second = served(2);
  for (const auto& final : {first, second}) REQUIRE(yard.journal.append(final) > 0);
  yard.post_all();
  yard.take({receipt_of(first, 300)});
  const auto daily = [&](std::int64_t days_later) {
    auto met = meet_daily(*yard.ledger, grace_days, noon + days_later * ledger::day_ms, dials_in, {});
    REQUIRE(met.error == "");
    REQUIRE(met.days.size() == grace_days + 1);
    return met;
  };
  const auto booked = [](const DailyMeeting& met) {
    std::size_t out = 0;
    for (const auto& day : met.days) out += day.booked;
    return out;
  };

  CHECK(booked(daily(0)) == 0);  // the day is not over
  CHECK(daily(0).unexplained == 0);
  const auto met = daily(1);
  CHECK(met.days.front().day == "2026-11-21");
  CHECK(met.days.back().day == "2026-11-24");
  CHECK(met.days.back().booked == 1);
  CHECK(met.unexplained == 2);  // one signed more, one signed nothing
  CHECK(yard.quantity("Q900/meters") == ledger::Quantity{-1, -100, 0, 0, 100 - 200, 0});

  yard.take({receipt_of(second)});  // late
  CHECK(booked(daily(grace_days + 1)) == 1);
  CHECK(yard.quantity("Q900/meters") == ledger::Quantity{0, 0, 0, 0, 100, 0});
  CHECK(daily(grace_days + 1).unexplained == 1);
  yard.explain("receipts:cafe-one:2026-11-24");
  CHECK(daily(grace_days + 1).unexplained == 0);
  CHECK(daily(grace_days + 2).days.front().day == "2026-11-25");
  yard.sound();

  Receipt stranger = receipt_of(first);
  stranger.request.lo = 4711;
  yard.take({stranger});
  CHECK(meet_daily(*yard.ledger, grace_days, noon + ledger::day_ms, dials_in, [] { return false; }).days.empty());
  yard.journal.refuse = true;
  const auto failed = meet_daily(*yard.ledger, grace_days, noon + 2 * ledger::day_ms, dials_in, {});
  CHECK(failed.error.rfind("2026-11-24: meters:2026-11-24:", 0) == 0);
  CHECK(failed.days.back().day == "2026-11-24");  // the next day is not looked at
}

TEST_CASE("the next daily meeting is a quarter past midnight in Asia/Shanghai, after a failure in ten minutes") {
  constexpr std::int64_t minute_ms = 60'000;
  CHECK(next_meeting_in_ms(day_begin, false) == ledger::day_ms + 15 * minute_ms);
  CHECK(next_meeting_in_ms(day_begin + ledger::day_ms - 1, false) == 15 * minute_ms + 1);
  CHECK(next_meeting_in_ms(day_begin + 20 * minute_ms, false) == ledger::day_ms - 5 * minute_ms);
  CHECK(next_meeting_in_ms(day_begin, true) == 10 * minute_ms);
}

TEST_CASE("a site's part of an estimated count waits in its reserve until its receipts or a person confirm it") {
  Yard yard;  // contracts without a holdback
  yard.rules.dials_in = dials_in;
  const auto cafe = left(1, "cafe-one"), silent = left(2, "cafe-one"), dialled = left(3, "dc-one"), whole = served(4, "dc-one");
  for (const auto& final : {cafe, silent, dialled, whole}) REQUIRE(yard.journal.append(final) > 0);
  yard.post_all();
  yard.take({pieces_of(cafe, 200)});
  const auto part = [&](const metering::Final& final) {
    const auto row = yard.ledger->request(final.admit.id);
    Amount out;
    for (const auto& one : row->parts)
      if (one.party.rfind("site:", 0) == 0) out += one.amount;
    return out;
  };
  REQUIRE(part(dialled) > Amount{});
  REQUIRE(yard.step(november, december_4) == "grace");
  yard.explain("receipts:cafe-one:2026-11-24");  // the silent one: with the difference, the count is confirmed
  REQUIRE(yard.step(november, december_4) == "reconciled");

  SECTION("nobody has confirmed those of the site without a second meter") {
    const Closing closed = yard.advance(november, december_4);
    REQUIRE(closed.moved);
    const auto told = std::find_if(closed.items.begin(), closed.items.end(), [](const Item& item) { return item.name == "estimated counts of dc-one"; });
    REQUIRE(told != closed.items.end());
    CHECK(told->fine);
    CHECK(told->why.find("CNY " + part(dialled).text()) == 0);
    CHECK(yard.stands("L211/cafe-one").zero());
    CHECK(yard.stands("L211/dc-one") == part(dialled));
    CHECK(yard.stands("L210/dc-one") == part(whole));
    REQUIRE(yard.step(november, december_4) == "stated");
    CHECK(yard.stated(november).at("site:dc-one").reserve_withheld == -part(dialled));
    yard.close(december, january_4);  // 31 days on
    CHECK(yard.stands("L211/dc-one").zero());
    CHECK(yard.stated(december).at("site:dc-one").reserve_released == part(dialled));
  }
  SECTION("a person has seen the site's own records") {
    yard.explain("estimates:dc-one:2026-11");
    REQUIRE(yard.step(november, december_4) == "closed");
    CHECK(yard.stands("L211/dc-one").zero());
    CHECK(yard.stands("L210/dc-one") == part(dialled) + part(whole));
  }
  yard.sound();
}
