// Named invariants of the ledger that belong to no one part of it: sums, content, batches, the edges of time.
#include <cstdlib>
#include <ctime>
#include <map>
#include <set>

#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

// 00:00 in Shanghai on this day of November 2026; the 31st: of December.
constexpr std::int64_t nov_2026_day(int day) { return test::nov_2026 + (day - 1) * day_ms; }

struct Books {
  std::map<std::string, std::string> requests, balances;
  std::uint64_t transfers = 0;
  friend bool operator==(const Books&, const Books&) = default;
};

Books books_of(World& world) {
  std::string why;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  Books out;
  for (const auto& row : reader->trial_balance().accounts) out.balances[row.account] = row.debit_total.text() + "/" + row.credit_total.text();
  std::set<Period> periods;
  reader->batches([&](const BatchRow& batch) {
    for (Period p = batch.period_from; p != 0 && p <= batch.period_to; p = next_period(p)) periods.insert(p);
    return true;
  });
  for (const Period period : periods) {
    reader->usage(period, [&](const RequestRow& r) {
      out.requests[r.row.id.text()] = period_text(period) + std::string(name(r.row.state)) + (r.row.gross ? r.row.gross->text() : "-") + r.row.detail;
      return true;
    });
  }
  reader->transfers({}, [&](const TransferRow&) { return ++out.transfers > 0; });
  REQUIRE(reader->error() == "");
  return out;
}

void require_sound(World& world) {
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  REQUIRE(verdict.ok);
}

metering::Final one(std::uint64_t n, std::int64_t wall_ms, std::uint64_t output = 5) {
  auto out = test::request({static_cast<std::uint64_t>(wall_ms) << 16, n}, wall_ms, {3, 0, 0, output, 0});
  test::add_attempt(out, "dc-one", "nvidia", output);
  return out;
}

}  // namespace

TEST_CASE("invariant 1: legs sum to zero per transfer, batch and ledger, after every batch", "[invariant]") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    INFO("seed " << seed);
    SeededRng rng(seed);
    World world;
    world.batch_max = 1 + rng.below(30);
    world.start();
    for (int lot = 0; lot < 8; ++lot) {
      for (std::uint64_t n = rng.below(25); n > 0; --n) {
        auto final = test::random_final(rng, noon + lot * 1000 + static_cast<std::int64_t>(n));
        // Some cost more than was held.
        if (rng.below(3) == 0) final.admit.hold = money::Amount::pico(static_cast<money::int128>(rng.below(1'000'000'000)));
        world.journal.append(final);
      }
      if (rng.below(2)) world.ledger->topup("acme", std::to_string(lot), money::Amount::pico(7), noon);
      world.post_all();
      std::string why;
      const auto reader = world.ledger->reader(why);
      std::map<std::uint64_t, money::Amount> by_batch, clearing;
      money::Amount all;
      reader->transfers({}, [&](const TransferRow& row) {
        money::Amount sum;
        for (const Leg& leg : row.legs) {
          sum += leg.amount;
          if (leg.account == account_clearing) clearing[row.batch] += leg.amount;
        }
        REQUIRE(sum.zero());
        by_batch[row.batch] += sum;
        all += sum;
        return true;
      });
      for (const auto& [batch, sum] : by_batch) REQUIRE(sum.zero());
      for (const auto& [batch, sum] : clearing) REQUIRE(sum.zero());
      REQUIRE(all.zero());
      REQUIRE(reader->trial_balance().sum.zero());
    }
    require_sound(world);
  }
}

TEST_CASE("invariant 13: the same request id with other content never changes money", "[invariant]") {
  World world;
  world.start();
  const auto first = one(1, noon);
  world.journal.append(first);
  world.post_all();
  const Books before = books_of(world);
  std::vector<metering::Final> others;
  others.push_back(one(1, noon, 6));  // more tokens
  others.push_back(first);
  others.back().admit.tenant = "bolt";
  others.push_back(first);
  others.back().outcome = metering::Outcome::failed;
  others.back().counts = {};
  others.push_back(first);
  others.back().wall_ms += 40 * 86'400'000LL;  // in another month
  others.push_back(first);
  others.back().admit.hold = money::Amount::pico(1);
  others.push_back(first);
  others.back().attempts[0].site = "cafe-one";
  const bool one_batch = GENERATE(true, false);
  for (const auto& other : others) {
    world.journal.append(other);
    if (!one_batch) world.post_all();
  }
  world.post_all();
  const Books after = books_of(world);
  CHECK(after.requests == before.requests);
  CHECK(after.balances == before.balances);
  std::string why;
  std::size_t quarantined = 0;
  world.ledger->reader(why)->quarantine([&](const QuarantineRow& row) {
    CHECK(row.subject == first.admit.id.text());
    return ++quarantined > 0;
  });
  CHECK(quarantined == others.size());  // seen and kept, not dropped
  require_sound(world);
}

TEST_CASE("invariant 14: fully duplicate batches, empty ones and those of a single row", "[invariant]") {
  World world;
  world.batch_max = 1;
  world.start();
  for (std::uint64_t n = 1; n <= 3; ++n) world.journal.append(one(n, noon));
  world.post_all();  // batches of a single row
  const Books single = books_of(world);
  CHECK(single.requests.size() == 3);
  CHECK_FALSE(world.ledger->post_once());  // nothing to do is no batch
  world.batch_max = 100;
  world.open();
  for (int again = 0; again < 4; ++again)
    for (std::uint64_t n = 1; n <= 3; ++n) world.journal.append(one(n, noon));
  world.post_all();
  CHECK(books_of(world) == single);  // no row, no transfer, no leg
  std::string why;
  std::uint64_t duplicates = 0, last_transfers = 1;
  money::Amount last_debit = money::Amount::pico(1);
  world.ledger->reader(why)->batches([&](const BatchRow& batch) {
    duplicates += batch.duplicates;
    last_transfers = batch.transfers;
    last_debit = batch.debit;
    return true;
  });
  CHECK(duplicates == 12);
  CHECK(last_transfers == 0);
  CHECK(last_debit.zero());
  // What lies between is not money: it makes no batch either.
  world.journal.append(one(9, noon).admit);
  const std::size_t records = world.journal.records.size();
  CHECK_FALSE(world.ledger->post_once());
  CHECK(world.journal.records.size() == records);
  require_sound(world);
}

TEST_CASE("invariant 17: what is posted is at most what was held; the rest is an overrun, explicit, and the sum is the same", "[invariant]") {
  World plain, tight;
  for (World* const world : {&plain, &tight}) {
    world->start();
    auto final = one(1, noon, 1000);
    if (world == &tight) final.admit.hold = money::Amount::pico(5'000'000'000);
    world->journal.append(final);
    world->journal.append(one(2, noon, 10));
    world->post_all();
    require_sound(*world);
  }
  std::string why;
  money::Amount of_charge, of_overrun, clearing;
  tight.ledger->reader(why)->transfers({}, [&](const TransferRow& row) {
    for (const Leg& leg : row.legs) {
      if (leg.account == account_clearing) clearing += leg.amount;
      if (leg.account != customer_account("acme")) continue;
      if (row.code == static_cast<std::uint16_t>(Code::usage_charge)) of_charge += leg.amount;
      if (row.code == static_cast<std::uint16_t>(Code::overrun)) of_overrun += leg.amount;
    }
    return true;
  });
  const auto gross = money::charge(3, money::Price::pico_per_unit(2'000'000)) + money::charge(1000, money::Price::pico_per_unit(8'000'001));
  const auto small = money::charge(3, money::Price::pico_per_unit(2'000'000)) + money::charge(10, money::Price::pico_per_unit(8'000'001));
  CHECK(of_overrun == gross - money::Amount::pico(5'000'000'000));
  CHECK(of_charge + of_overrun == gross + small);
  CHECK(clearing.zero());
  // Nobody but the customer's transfer sees a difference.
  CHECK(tight.ledger->tenant_balance("acme") == plain.ledger->tenant_balance("acme"));
  CHECK(books_of(tight).requests == books_of(plain).requests);
  for (const auto& [account, turnover] : books_of(plain).balances)
    if (account != account_clearing) CHECK(books_of(tight).balances[account] == turnover);
}

TEST_CASE("what was spent is read from the rows, by tenant, key and day in Shanghai", "[budget]") {
  World world;
  world.start();
  const std::int64_t midnight = nov_2026_day(25);
  struct Case {
    std::uint64_t n;
    std::int64_t end_ms;
    const char* tenant;
    int key;
  };
  for (const Case c : {Case{1, midnight - 1, "acme", 1}, Case{2, midnight, "acme", 1}, Case{3, midnight + 5, "acme", 2}, Case{4, midnight + 5, "bolt", 1},
                       Case{5, midnight + 6, "acme", 2}}) {
    auto final = one(c.n, c.end_ms - 2000);
    final.wall_ms = c.end_ms;
    final.admit.tenant = c.tenant;
    final.admit.key_hash = sha256(std::to_string(c.key));
    world.journal.append(final);
    world.post_all();
  }
  auto none = one(6, midnight);
  none.counts = {};
  none.outcome = metering::Outcome::failed;
  world.journal.append(none);
  auto unknown = one(7, midnight);
  unknown.admit.price_version = 9;  // to quarantine: it costs nothing yet
  world.journal.append(unknown);
  world.post_all();
  std::string why;
  const auto reader = world.ledger->reader(why);
  const auto gross = money::charge(3, money::Price::pico_per_unit(2'000'000)) + money::charge(5, money::Price::pico_per_unit(8'000'001));
  std::map<std::string, std::string> found;
  for (const auto& row : reader->spent_since(period_begin_ms(202611)))
    if (!row.amount.zero()) found[day_text(row.wall_ms) + " " + row.tenant + " " + to_hex(row.key).substr(0, 4)] = row.amount.text();
  const auto key = [](int n) { return " " + to_hex(sha256(std::to_string(n))).substr(0, 4); };
  const std::map<std::string, std::string> expected{{"2026-11-24 acme" + key(1), gross.text()},
                                                    {"2026-11-25 acme" + key(1), gross.text()},
                                                    {"2026-11-25 acme" + key(2), (gross + gross).text()},
                                                    {"2026-11-25 bolt" + key(1), gross.text()}};
  CHECK(found == expected);
  CHECK(reader->spent_since(midnight).size() >= 3);
  for (const auto& row : reader->spent_since(midnight)) CHECK(day_text(row.wall_ms) == "2026-11-25");
}

TEST_CASE("invariant 23: periods have sharp edges, in leap years, at the year's end, with clocks that step back, under any host zone", "[invariant]") {
  const std::string zone = GENERATE(as<std::string>{}, "UTC", "Asia/Shanghai", "America/New_York");
  const char* const was = std::getenv("TZ");
  const std::string before = was ? was : "";
  ::setenv("TZ", zone.c_str(), 1);
  ::tzset();
  struct Edge {
    std::int64_t begin_ms;
    Period earlier, later;
    const char* last_day;
  };
  for (const Edge edge : {Edge{nov_2026_day(31), 202611, 202612, "2026-11-30"}, Edge{1'798'732'800'000, 202612, 202701, "2026-12-31"},
                          Edge{1'835'452'800'000, 202802, 202803, "2028-02-29"}, Edge{1'803'830'400'000, 202702, 202703, "2027-02-28"},
                          // New York goes forward on 2027-03-14 and back on 2027-11-07: nothing happens here.
                          Edge{1'806'508'800'000, 202703, 202704, "2027-03-31"}}) {
    INFO(zone << ", edge of " << edge.last_day);
    REQUIRE(period_of(edge.begin_ms - 1) == edge.earlier);
    REQUIRE(period_of(edge.begin_ms) == edge.later);
    CHECK(day_text(edge.begin_ms - 1) == edge.last_day);
    CHECK(time_text(edge.begin_ms - 1) == std::string(edge.last_day) + "T23:59:59.999+08:00");
    CHECK(period_end_ms(edge.earlier) == edge.begin_ms);
    World world;
    world.start();
    // Three streams across the edge, and a clock that steps back over it between them.
    auto last = one(1, edge.begin_ms - 2000);
    last.wall_ms = edge.begin_ms - 1;
    auto across = one(2, edge.begin_ms - 1000);
    across.wall_ms = edge.begin_ms;
    auto back = one(3, edge.begin_ms - 900);
    back.wall_ms = edge.begin_ms - 500;
    for (const auto& final : {last, across, back}) world.journal.append(final);
    world.post_all();
    std::string why;
    const auto reader = world.ledger->reader(why);
    std::map<Period, std::set<std::uint64_t>> rows;
    for (const Period period : {edge.earlier, edge.later})
      reader->usage(period, [&](const RequestRow& r) { return rows[period].insert(r.row.id.lo).second; });
    CHECK(rows[edge.earlier] == std::set<std::uint64_t>{1, 3});
    CHECK(rows[edge.later] == std::set<std::uint64_t>{2});
    const auto charged = [&](Period period) {
      for (const auto& row : reader->trial_balance(period).accounts)
        if (row.account == customer_account("acme")) return row.debit;
      return money::Amount{};
    };
    CHECK(charged(edge.earlier) == charged(edge.later) + charged(edge.later));
    require_sound(world);
  }
  was ? ::setenv("TZ", before.c_str(), 1) : ::unsetenv("TZ");
  ::tzset();
}
