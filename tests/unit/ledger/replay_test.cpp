// Exactly once: however the journal is cut, repeated, shuffled, killed and read again.
#include <map>

#include "gateway/ledger/copy.h"
#include "tests/unit/ledger/world.h"

using namespace trib;
using namespace trib::ledger;
using test::noon;
using test::World;

namespace {

struct Image {  // what must be the same whatever the delivery
  std::map<std::string, std::string> requests;  // id -> state, charge, detail
  std::map<std::string, std::string> balances;  // account and period -> debit, credit
  std::map<std::string, std::string> sites;
  std::map<std::string, Quantity> quantities;  // account, site, model and period
  friend bool operator==(const Image&, const Image&) = default;
};

Image image_of(World& world) {
  Image out;
  std::string why;
  const auto reader = world.ledger->reader(why);
  REQUIRE(reader);
  for (const Period period : {202611, 202612}) {
    reader->usage(period, [&](const RequestRow& r) {
      out.requests[r.row.id.text()] = std::string(name(r.row.state)) + (r.row.gross ? r.row.gross->text() : "-") + r.row.detail;
      return true;
    });
    const auto trial = reader->trial_balance(period);
    CHECK(trial.sum.zero());
    for (const auto& row : trial.accounts) {
      out.balances[row.account + "@" + std::to_string(period)] = row.debit_total.text() + "/" + row.credit_total.text();
    }
    for (const auto& site : reader->site_totals(period)) {
      out.sites[site.site + "@" + std::to_string(period)] =
          std::to_string(site.requests) + "/" + std::to_string(site.counts.total()) + "/" + site.gross.text();
    }
  }
  for (const Period period : {202611, 202612}) {
    Quantity sum{};
    for (const auto& row : reader->quantities(period)) {
      out.quantities[row.account + "@" + row.site + "@" + row.model + "@" + std::to_string(period)] = row.amount;
      add(sum, row.amount);
    }
    CHECK(sum == Quantity{});
  }
  REQUIRE(reader->error() == "");
  return out;
}

std::vector<metering::Final> random_requests(std::uint64_t seed, std::size_t count) {
  SeededRng rng(seed);
  std::vector<metering::Final> out;
  const std::int64_t edge = period_end_ms(202611);
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(test::random_final(rng, edge - 30'000 + static_cast<std::int64_t>(rng.below(60'000))));
  }
  return out;
}

void require_sound(World& world) {
  const Verdict verdict = verify(world.path(), "", 0, &world.journal);
  INFO(verdict.place << ": " << verdict.why);
  REQUIRE(verdict.ok);
}

}  // namespace

TEST_CASE("any order, duplication and batch size give the same rows and balances") {
  const auto finals = random_requests(7, 60);
  Image expected;
  SeededRng rng(8);
  for (const std::size_t batch_max : {60, 1, 7, 1000}) {
    World world;
    world.batch_max = static_cast<std::size_t>(batch_max);
    world.start();
    REQUIRE(world.ledger->topup("acme", "t", *money::Amount::parse("5"), noon) == Posting::posted);
    std::vector<metering::Final> delivery = finals;
    if (!expected.requests.empty()) {
      for (std::size_t i = 0; i < finals.size(); ++i) {
        if (rng.below(2)) delivery.push_back(finals[i]);
      }
      for (std::size_t i = delivery.size(); i > 1; --i) std::swap(delivery[i - 1], delivery[rng.below(i)]);
    }
    for (std::size_t i = 0; i < delivery.size(); ++i) {
      world.journal.append(delivery[i].admit);  // what is not money lies between
      world.journal.append(delivery[i]);
      if (rng.below(10) == 0) world.ledger->post_once();
      if (rng.below(20) == 0) world.open();
    }
    world.post_all();
    require_sound(world);
    const Image image = image_of(world);
    CHECK(image.requests.size() == finals.size());
    CHECK_FALSE(image.quantities.empty());
    if (expected.requests.empty()) expected = image;
    const bool same = image == expected;
    CHECK(same);
  }
}

TEST_CASE("a store lost or put back is posted again in the same batches, from the SEALs") {
  World world;
  world.start();
  world.batch_max = 1000;
  world.open();
  std::size_t at = 0;
  const auto finals = random_requests(9, 40);
  std::string why;
  for (const std::size_t batch : {3, 1, 17, 19}) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(batch); ++i) world.journal.append(finals[at++]);
    REQUIRE(world.ledger->post_once());
    if (batch != 1) continue;
    REQUIRE(copy_store(world.path(), world.dir.file("early.db"), {}, why));
  }
  const Verdict before = verify(world.path(), "", 0, &world.journal);
  REQUIRE(before.ok);
  const Image image = image_of(world);
  const metering::Lsn last = world.journal.last();

  world.ledger.reset();
  world.lose_store();
  const bool put_back = GENERATE(false, true);
  if (put_back) REQUIRE(copy_store(world.dir.file("early.db"), world.path(), {}, why));
  world.batch_max = 5;  // boundaries come from the SEALs, not from here
  world.open();
  world.post_all();
  const Verdict after = verify(world.path(), "", 0, &world.journal);
  INFO(after.place << ": " << after.why);
  CHECK(after.ok);
  CHECK(after.head == before.head);
  CHECK(after.batches == before.batches);
  CHECK(world.journal.last() == last);  // no second SEALs
  const bool same = image_of(world) == image;
  CHECK(same);
}

TEST_CASE("killed between commit and SEAL: the SEAL is written at the next start, once") {
  World world;
  world.start();
  world.journal.append(random_requests(1, 1)[0]);
  world.journal.refuse_seals = true;
  CHECK(world.ledger->post_once());
  CHECK_FALSE(world.ledger->post_once());
  CHECK(world.ledger->failure() == "the journal takes no SEAL");
  const metering::Lsn last = world.journal.last();
  world.ledger.reset();
  world.journal.refuse_seals = false;
  world.open();
  CHECK(world.journal.last() == last + 1);
  CHECK(std::holds_alternative<metering::Seal>(world.journal.records.back()));
  world.open();
  CHECK(world.journal.last() == last + 1);
  require_sound(world);
}

TEST_CASE("a store and a journal that do not belong together are refused") {
  World world;
  world.start();
  for (const auto& final : random_requests(2, 5)) world.journal.append(final);
  world.post_all();
  SECTION("the journal has lost its end") {
    world.ledger.reset();
    world.journal.records.resize(4);
    CHECK(world.try_open().find("the journal ends at 4") != std::string::npos);
  }
  SECTION("the journal has lost what was not posted") {
    world.ledger.reset();
    world.journal.kept_from = world.journal.last() + 5;
    CHECK(world.try_open().find("the journal begins at") != std::string::npos);
  }
  SECTION("another journal") {
    world.ledger.reset();
    test::FakeJournal other;
    SeededRng rng(3);
    for (std::size_t i = 0; i < 30; ++i) other.append(test::random_final(rng, noon));
    std::string why;
    LedgerOptions options;
    options.path = world.path();
    CHECK_FALSE(Ledger::open(options, system_clock(), other, why));
    CHECK(why.find("is not the one that was posted") != std::string::npos);
  }
  SECTION("a SEAL of another history") {
    world.ledger.reset();
    auto& seal = std::get<metering::Seal>(world.journal.records.back());
    seal.chain[0] ^= 1;
    CHECK(world.try_open().find("differs from its SEAL") != std::string::npos);
  }
  SECTION("a SEAL that posting again does not reach") {
    world.ledger.reset();
    auto& seal = std::get<metering::Seal>(world.journal.records.back());
    seal.chain[0] ^= 1;
  world.lose_store();
    world.open();
    while (world.ledger->post_once()) {
    }
    CHECK(world.ledger->failure().find("differs from its SEAL") != std::string::npos);
  }
}

TEST_CASE("a request that ends in the next month is booked there") {
  World world;
  world.start();
  const std::int64_t edge = period_end_ms(202611);
  for (int i = 0; i < 2; ++i) {
    auto final = test::request({static_cast<std::uint64_t>(edge) << 16, static_cast<std::uint64_t>(i)}, edge - 10, {0, 0, 0, 1, 0});
    final.wall_ms = edge - 1 + i;  // 23:59:59.999 and 00:00
    test::add_attempt(final, "dc-one", "nvidia", 1);
    world.journal.append(final);
  }
  world.post_all();
  std::string why;
  const auto reader = world.ledger->reader(why);
  for (const Period period : {202611, 202612}) {
    int rows = 0;
    reader->usage(period, [&](const RequestRow& r) {
      CHECK(r.row.period == period);
      return ++rows > 0;
    });
    CHECK(rows == 1);
    bool found = false;
    for (const auto& row : reader->trial_balance(period).accounts) {
      if (row.account == "L200/acme") found = row.debit == money::Amount::pico(8'000'001);
    }
    CHECK(found);
  }
  require_sound(world);
}

TEST_CASE("legs are aggregated: their number does not grow with the requests") {
  World world;
  world.start();
  for (const auto& final : random_requests(5, 300)) world.journal.append(final);
  world.post_all();
  std::string why;
  std::size_t legs = 0;
  world.ledger->reader(why)->transfers({}, [&](const TransferRow& row) {
    money::Amount sum;
    for (const auto& leg : row.legs) sum += leg.amount;
    CHECK(sum.zero());
    legs += row.legs.size();
    return true;
  });
  CHECK(legs <= 2 * 20);  // two periods
}
